"""The commands of the loop behind training: watching, deciding, going back, and what happened."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

import typer

from slipstream.cli.output import (
    ACTOR,
    AsJson,
    Model,
    Version,
    known_spec,
    open_store,
    out,
    print_rows,
    print_value,
    settings_now,
    show,
    spec_of,
)
from slipstream.errors import SpecError, shown
from slipstream.newest import newest_version
from slipstream.spec.model import ModelSpec
from slipstream.store import Store

loop = typer.Typer()


class LabelledBy(StrEnum):
    """How a delivery of labels tells predictions."""

    key = "key"
    prediction = "prediction"


@loop.command()
def rollback(
    model: Model,
    reason: Annotated[str, typer.Option(help="Why; kept in the ledger.")] = "",
    json_: AsJson = False,
) -> None:
    """Take back the canary, shadow or deployment that is under way; without one, go back to the champion before."""
    from slipstream.stages.deploy import roll_back as stage

    spec, store = _known(model)
    show(stage(spec, store, **_place(), reason=reason, actor=ACTOR), json_)


@loop.command()
def retire(
    model: Model,
    reason: Annotated[str, typer.Option(help="Why; kept in the ledger.")] = "",
    json_: AsJson = False,
) -> None:
    """Take a model out of service; its record stays. `slipstream deploy MODEL --again` brings it back."""
    from slipstream.stages.retire import retire as stage

    spec, store = _known(model)
    show(stage(spec, store, **_place(), reason=reason, actor=ACTOR), json_)


def _known(model: str) -> tuple[ModelSpec, Store]:
    """The model, whose folder may have been removed, and the store."""
    store = open_store()
    return known_spec(model, store), store


def _place() -> dict[str, str]:
    settings = settings_now()
    return {"endpoint": settings.endpoint, "endpoint_key": settings.endpoint_key}


@loop.command()
def labels(
    model: Model,
    file: Annotated[
        str,
        typer.Argument(
            help="CSV, Parquet or JSON lines: columns id (or those of data.key), label, and if wanted time; default: "
            "what is new of the source monitor.labels of the model file."
        ),
    ] = "",
    by: Annotated[
        LabelledBy | None, typer.Option(help="How predictions are told, where the key of the model is called id.")
    ] = None,
    json_: AsJson = False,
) -> None:
    """Add what turned out to be true of predictions; labels that are there already are not added again."""
    from pathlib import Path

    from slipstream.stages.labels import labels as stage

    # Relative to where the command is given.
    path = file if "://" in file else str(Path(file).absolute()) if file else None
    chosen: Literal["key", "prediction"] | None = by.value if by else None
    show(stage(spec_of(model), open_store(), path, by=chosen, actor=ACTOR), json_)


@loop.command()
def join(model: Model, json_: AsJson = False) -> None:
    """Join the labels to the captured predictions, and say how good the champion's answers were."""
    from slipstream.stages.join import join as stage

    show(stage(spec_of(model), open_store(), actor=ACTOR), json_)


@loop.command()
def monitor(model: Model, json_: AsJson = False) -> None:
    """Compare what came since training with the training reference."""
    from slipstream.stages.monitor import monitor as stage

    show(stage(spec_of(model), open_store(), actor=ACTOR), json_)


@loop.command()
def replay(model: Model, version: Version = None, json_: AsJson = False) -> None:
    """Let champion and a version answer the newest captured requests, and say how far they are apart."""
    from slipstream.stages.replay import replay as stage

    spec, store = spec_of(model), open_store()
    show(stage(spec, store, version or newest_version(store, spec), actor=ACTOR), json_)


@loop.command()
def decide(model: Model, json_: AsJson = False) -> None:
    """Hold what is known against the retraining policy: ask for a retraining, or keep why not."""
    from slipstream.stages.decide import decide as stage

    show(stage(spec_of(model), open_store(), actor=ACTOR), json_)


@loop.command(name="dry-run")
def dry_run(
    model: Model,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", help="A key of the model file with another value: retrain.windows=2; may be repeated."),
    ] = None,
    json_: AsJson = False,
) -> None:
    """Replay the retraining policy over the measurements of the past, with other values; changes nothing."""
    from slipstream.commands.dry_run import dry_run as replay

    pairs = [entry.partition("=") for entry in changes or ()]
    bare = next((key for key, sign, _ in pairs if not sign), None)
    if bare is not None:
        raise SpecError(f"--set {shown(bare)}: expected KEY=VALUE, such as retrain.windows=2.", code="dry_run_key")
    result = replay(spec_of(model), open_store(), {key.strip(): value.strip() for key, _, value in pairs})
    if json_:
        print_value(result, as_json=True)
        return
    print_rows(
        [
            {"measured": one.time[:19], "window": one.window, "would": one.action, "then": one.then, "why": one.reason}
            for one in result.windows
        ],
        as_json=False,
    )
    out.print(result.sentence, highlight=False, markup=False, soft_wrap=True)
