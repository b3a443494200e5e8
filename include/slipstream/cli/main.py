"""The command line: the same stages without Airflow. Results go to standard output, the rest to standard error."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from slipstream.cli.contract import contracts
from slipstream.cli.endpoint import endpoint
from slipstream.cli.history import past
from slipstream.cli.import_model import taking_in
from slipstream.cli.init import beginning
from slipstream.cli.keys import keys
from slipstream.cli.loop import loop
from slipstream.cli.output import (
    ACTOR,
    AsJson,
    Model,
    Version,
    error_row,
    every_spec,
    known_spec,
    open_store,
    out,
    print_error,
    print_plan,
    print_rows,
    print_value,
    refuse,
    settings_now,
    show,
    spec_of,
)
from slipstream.cli.predict import asking
from slipstream.cli.run import whole
from slipstream.cli.schema import schema
from slipstream.cli.score import scoring
from slipstream.cli.verify import looking
from slipstream.errors import SlipstreamError, SpecError
from slipstream.newest import newest_batch, newest_dataset, newest_run, newest_version
from slipstream.rollout.admission import standing
from slipstream.runs import Result
from slipstream.spec import loader
from slipstream.spec.model import ModelSpec
from slipstream.store import Store

app = typer.Typer(
    name="slipstream",
    help=(
        "From a table of data to a deployed model that is kept good.\n\n"
        "The stages pass ids: each prints the id that the next one takes, and takes the newest one if you give none."
    ),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(keys)
app.add_typer(loop)
app.add_typer(past)
app.add_typer(endpoint)
app.add_typer(beginning)
app.add_typer(whole)
app.add_typer(taking_in)
app.add_typer(asking)
app.add_typer(scoring)
app.add_typer(looking)
app.add_typer(contracts)
app.add_typer(schema)


def main() -> None:
    """Run the command line; an error that Slipstream raises on purpose is one line, with exit code 1."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    for noisy in ("great_expectations", "bentoml", "evidently", "botocore", "numexpr", "httpx"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        app()
    except SlipstreamError as error:
        if "--json" in sys.argv:
            sys.stderr.write(json.dumps({"error": {"code": error.code, "message": str(error)}}) + "\n")
        else:
            print_error(error)
        sys.exit(1)


@app.command()
def models(json_: AsJson = False) -> None:
    """List the models: task, champion, newest dataset version, and whether one is retired or its folder removed."""
    settings, store = settings_now(), open_store()
    known = {file.parent.name for file in settings.models.glob(f"*/{loader.FILE}")}
    specs = list(every_spec())
    wrong = [one for one in specs if isinstance(one, SpecError)]
    rows = [_listed(store, one.name, one) for one in specs if not isinstance(one, SpecError)]
    removed = sorted(name for name in store.ledger.state().models if name not in known)
    rows += [_listed(store, name, None) for name in removed]
    print_rows([*rows, *map(error_row, wrong)] if json_ else rows, json_)
    refuse(wrong, json_)


def _listed(store: Store, name: str, spec: ModelSpec | None) -> dict[str, Any]:
    """One line of the list; without *spec* the model's folder was removed."""
    now = store.ledger.state().model(name)
    return {
        "model": name,
        "task": spec.task if spec else "",
        "target": spec.target if spec else "",
        "versions": len(now.versions),
        "champion": now.champion,
        "dataset": (now.dataset or "")[:12],
        "state": ", ".join((["removed"] if spec is None else []) + [standing(now)]),
    }


@app.command()
def plan(
    model: Annotated[str | None, typer.Argument(help="The model's name; without it, all.")] = None,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of model.yaml, for editors.")] = False,
    json_: AsJson = False,
) -> None:
    """Show what a model file gives, when it would retrain, and what a change to it will change."""
    if schema:
        sys.stdout.write(json.dumps(loader.json_schema(), indent=2) + "\n")
        return
    from slipstream.commands.plan import plan as make

    store, plans, wrong = open_store(), [], []
    for spec in [spec_of(model)] if model else every_spec():
        try:
            if isinstance(spec, SpecError):
                raise spec
            plans.append(make(spec, store))
        except SlipstreamError as error:
            if model:
                raise
            wrong.append(error)
    if json_:
        sys.stdout.write(json.dumps([*msgspec.to_builtins(plans), *map(error_row, wrong)]) + "\n")
    else:
        for one in plans:
            print_plan(one)
    refuse(wrong, json_)


@app.command()
def ingest(model: Model, json_: AsJson = False) -> None:
    """Bring the next batch from the source."""
    from slipstream.stages.ingest import ingest as stage

    show(stage(spec_of(model), open_store(), actor=ACTOR), json_)


@app.command()
def validate(
    model: Model,
    batch: Annotated[str | None, typer.Option(help="Batch id; default: the newest.")] = None,
    json_: AsJson = False,
) -> None:
    """Check a batch against the contract and commit its good rows."""
    from slipstream.stages.validate import validate as stage

    spec, store = spec_of(model), open_store()
    show(stage(spec, store, batch or newest_batch(store, spec), actor=ACTOR), json_)


@app.command()
def rebuild(model: Model, json_: AsJson = False) -> None:
    """Derive the data table anew from the kept deliveries, after an edit of features.py, data.schema or data.join."""
    from slipstream.stages.rebuild import rebuild as stage

    show(stage(spec_of(model), open_store(), actor=ACTOR), json_)


@app.command()
def train(
    model: Model,
    dataset: Annotated[str | None, typer.Option(help="Dataset version; default: the newest.")] = None,
    json_: AsJson = False,
) -> None:
    """Fit a candidate on a dataset version."""
    from slipstream.stages.train import train as stage

    spec, store = spec_of(model), open_store()
    show(stage(spec, store, dataset or newest_dataset(store, spec), actor=ACTOR), json_)


Candidate = Annotated[str | None, typer.Option(help="Id of a training or an import; default: the newest.")]


@app.command()
def evaluate(model: Model, candidate: Candidate = None, json_: AsJson = False) -> None:
    """Score a candidate on the held-out rows, beside the champion."""
    _on_candidate(model, candidate, json_, "evaluate")


@app.command()
def explain(model: Model, candidate: Candidate = None, json_: AsJson = False) -> None:
    """Say which inputs move a candidate's answers."""
    _on_candidate(model, candidate, json_, "explain")


def _on_candidate(model: str, candidate: str | None, as_json: bool, name: str) -> None:
    import importlib

    stage: Callable[..., Result] = getattr(importlib.import_module(f"slipstream.stages.{name}"), name)
    spec, store = spec_of(model), open_store()
    show(stage(spec, store, candidate or newest_run(store, spec, "train"), actor=ACTOR), as_json)


@app.command()
def package(model: Model, candidate: Candidate = None, json_: AsJson = False) -> None:
    """Make the signed bundle and the Bento of an evaluated and explained candidate; registers a version."""
    from slipstream.stages.package import package as stage

    spec, store, settings = spec_of(model), open_store(), settings_now()
    ids = [candidate or newest_run(store, spec, "train")]
    ids += [newest_run(store, spec, stage_before) for stage_before in ("evaluate", "explain")]
    show(stage(spec, store, *ids, keys=settings.keys, bentos=settings.bentos, actor=ACTOR), json_)


@app.command()
def gate(model: Model, version: Version = None, json_: AsJson = False) -> None:
    """Judge a version by the gates of the model file."""
    from slipstream.stages.gate import gate as stage

    spec, store = spec_of(model), open_store()
    result = stage(spec, store, version or newest_version(store, spec), actor=ACTOR)
    show(result, json_)
    if not result.passed:
        raise typer.Exit(2)


@app.command()
def deploy(
    model: Model,
    version: Version = None,
    weight: Annotated[
        float | None, typer.Option(min=0, max=1, help="Share of the keys that it answers, as a canary that stays.")
    ] = None,
    shadow: Annotated[bool, typer.Option("--shadow", help="It answers too, but to nobody, and stays so.")] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Although an alarm took it back before, or the model is retired.")
    ] = False,
    json_: AsJson = False,
) -> None:
    """Deliver a version that passed its gates: step by step, watched, as the model file says; or begin a canary."""
    spec, store, settings = spec_of(model), open_store(), settings_now()
    version = version or newest_version(store, spec)
    place: dict[str, Any] = {"endpoint": settings.endpoint, "endpoint_key": settings.endpoint_key, "actor": ACTOR}
    from slipstream.stages.deploy import How
    from slipstream.stages.deploy import deploy as stage

    how: How = "shadow" if shadow else "steps" if weight is None else "weight"
    result = stage(
        spec, store, version, **place, how=how, weight=weight, again=again, progress=partial(typer.echo, err=True)
    )
    show(result, json_)


class BundlePart(StrEnum):
    """What `slipstream bundle` prints."""

    manifest = "manifest"
    card = "card"
    lineage = "lineage"
    schema = "schema"


@app.command()
def bundle(
    model: Model,
    version: Version = None,
    part: Annotated[BundlePart, typer.Option(help="What to print.")] = BundlePart.manifest,
    into: Annotated[Path | None, typer.Option(help="Write all files of the bundle to this new folder.")] = None,
    json_: AsJson = False,
) -> None:
    """Show or export the verified files of a version."""
    from slipstream.commands.bundles import export_bundle, read_bundle

    store = open_store()
    spec = known_spec(model, store)
    number = version or newest_version(store, spec)
    if into is not None:
        count = export_bundle(spec, store, number, into)
        if json_:
            print_value({"model": model, "version": number, "files": count, "folder": str(into)}, as_json=True)
        else:
            out.print(f"{count} files of {model}/{number} written to {into}", markup=False, highlight=False)
        return
    sys.stdout.write(json.dumps(read_bundle(spec, store, number, part.value), indent=2) + "\n")
