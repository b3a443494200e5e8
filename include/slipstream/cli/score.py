"""The command that answers many rows at once: batch scoring."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from slipstream.cli.output import ACTOR, AsJson, Model, err, open_store, show, spec_of

scoring = typer.Typer()


@scoring.command()
def score(
    model: Model,
    rows: Annotated[
        str,
        typer.Option(
            "--input",
            help="CSV, Parquet or Excel: a file, a folder or a glob, local or s3://, or a URL; default: the model's "
            "newest data.",
        ),
    ] = "",
    output: Annotated[
        str,
        typer.Option(
            help="A .parquet or .csv file or a folder/, local or s3://; default: the table scores of the store, to "
            "which only rows are added that this version has not answered yet."
        ),
    ] = "",
    version: Annotated[int | None, typer.Option(help="Version number; default: the champion.")] = None,
    json_: AsJson = False,
) -> None:
    """Answer all rows of files, or what is new in the model's data, and write the predictions whole and once."""
    from slipstream.stages.score import score as stage

    done = stage(spec_of(model), open_store(), path=_here(rows), output=_here(output), version=version, actor=ACTOR)
    show(done, json_)
    for problem in done.problems:
        err.print(f"not answered: {problem}", markup=False, highlight=False, soft_wrap=True)


def _here(path: str) -> str:
    """A path relative to where the command is given, absolute; a slash at its end says that it is a folder."""
    if not path or "://" in path:
        return path
    return str(Path(path).absolute()) + ("/" if path.endswith("/") else "")
