"""The command that answers many rows at once: batch scoring."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from slipstream.cli.output import ACTOR, AsJson, Model, err, open_store, show, spec_of
from slipstream.errors import SpecError, shown
from slipstream.spec.score import ScoreTableSpec, score_table

scoring = typer.Typer()


@scoring.command()
def score(  # noqa: PLR0913 - a command's options are its arguments
    model: Model,
    rows: Annotated[
        str,
        typer.Option(
            "--input",
            help="CSV, Parquet or Excel: a file, a folder or a glob, local or s3://, or a URL; default: score.source "
            "of the model file or, without it, the model's newest data.",
        ),
    ] = "",
    output: Annotated[
        str,
        typer.Option(
            help="A .parquet or .csv file or a folder/, local or s3://, or with --table the URL of a database, "
            "connection:ID or env:NAME; default: what the model file says or, if it does not, the table scores of the "
            "store, to which only rows are added that this version has not answered yet."
        ),
    ] = "",
    table: Annotated[str, typer.Option(help="The table of that database; it is made if there is none.")] = "",
    replace: Annotated[bool, typer.Option("--replace", help="Let the table hold this run's rows alone.")] = False,
    version: Annotated[int | None, typer.Option(help="Version number; default: the champion.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All that score.source has, not only what is new.")] = False,
    json_: AsJson = False,
) -> None:
    """Answer all rows of files, or what is new in the model's data, and write the predictions whole and once."""
    from slipstream.stages.score import score as stage

    place = _table(model, output, table, replace) if table or replace else _here(output)
    spec, path = spec_of(model), _here(rows)
    done = stage(spec, open_store(), path=path, output=place, version=version, every=every, actor=ACTOR)
    show(done, json_)
    for problem in done.problems:
        err.print(f"not answered: {problem}", markup=False, highlight=False, soft_wrap=True)


def _table(model: str, output: str, table: str, replace: bool) -> ScoreTableSpec:
    """The table of the database that *output* names.

    Raises:
        SpecError: ``score_output``: one is named without the other.
    """
    from slipstream.commands.init.origin import is_database, named_database

    if not table or not is_database(output):
        message = (
            f"table {shown(table)} of output {shown(output)}: name both, --output URL (or connection:ID, "
            "or env:NAME) and --table NAME."
        )
        raise SpecError(message, code="score_output")
    mode = "replace" if replace else "append"
    return score_table({**named_database(output, model)[0], "table": table, "mode": mode})


def _here(path: str) -> str:
    """A path relative to where the command is given, absolute; a slash at its end says that it is a folder."""
    if not path or "://" in path:
        return path
    return str(Path(path).absolute()) + ("/" if path.endswith("/") else "")
