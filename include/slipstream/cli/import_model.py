"""The command that takes in a model that was fitted elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from slipstream.cli.output import ACTOR, AsJson, Model, err, open_store, show, spec_of
from slipstream.newest import newest_dataset

taking_in = typer.Typer()


@taking_in.command(name="import")
def import_(
    model: Model,
    path: Annotated[
        Path,
        typer.Option(
            "--from",
            help="skops, ONNX, LightGBM text, XGBoost JSON or UBJSON, CatBoost cbm or JSON, or a folder of MLflow.",
        ),
    ],
    dataset: Annotated[str | None, typer.Option(help="Dataset version; default: the newest.")] = None,
    reason: Annotated[str, typer.Option(help="Why; kept in the ledger.")] = "",
    json_: AsJson = False,
) -> None:
    """Make a candidate of a model that was fitted elsewhere; judged on the held-out rows of a dataset version."""
    from slipstream.stages.import_model import import_model as stage

    spec, store = spec_of(model), open_store()
    imported = stage(spec, store, path, dataset or newest_dataset(store, spec), actor=ACTOR, reason=reason)
    show(imported, json_)
    if not json_:
        command = f"slipstream run {model} --candidate {imported.candidate}"
        err.print(f"It goes on with: {command}", markup=False, highlight=False, soft_wrap=True)
