"""The commands of the loop behind training: watching, deciding, going back, and what happened."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import msgspec
import typer

from slipstream.cli_show import ACTOR, AsJson, Model, open_store, print_rows, settings_now, show, spec_of

loop = typer.Typer()


@loop.command()
def rollback(
    model: Model,
    reason: Annotated[str, typer.Option(help="Why; kept in the ledger.")] = "",
    json_: AsJson = False,
) -> None:
    """Take back the canary, shadow or deployment that is under way; without one, go back to the champion before."""
    from slipstream.stages.deploy import roll_back as stage

    settings = settings_now()
    place = {"endpoint": settings.endpoint, "endpoint_key": settings.endpoint_key}
    show(stage(spec_of(model), open_store(), **place, reason=reason, actor=ACTOR), json_)


@loop.command()
def monitor(model: Model, json_: AsJson = False) -> None:
    """Compare what came since training with the training reference; may ask for retraining."""
    from slipstream.stages.monitor import monitor as stage

    show(stage(spec_of(model), open_store(), actor=ACTOR), json_)


@loop.command()
def history(model: Model, newest: Annotated[int, typer.Option(min=1, max=10_000)] = 30, json_: AsJson = False) -> None:
    """What happened to a model, newest first, in plain sentences."""
    from slipstream.stages.history import history as read

    entries = read(spec_of(model), open_store(), newest=newest)
    if json_:
        sys.stdout.write(json.dumps(msgspec.to_builtins(entries)) + "\n")
        return
    print_rows([{"seq": e.seq, "time": e.time[:19], "who": e.actor, "what": e.text} for e in entries], as_json=False)
