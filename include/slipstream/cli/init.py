"""The command that makes a model project out of a file of rows, or a table of a database."""

from __future__ import annotations

import shutil
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from slipstream.cli.output import err, out, settings_now
from slipstream.errors import SpecError

beginning = typer.Typer()


class Task(StrEnum):
    """What a model can do."""

    binary = "binary"
    multiclass = "multiclass"
    regression = "regression"


@beginning.command()
def init(  # noqa: PLR0913 - each is an option of the command line
    model: Annotated[str, typer.Argument(help="The new model's name; its folder below SLIPSTREAM_MODELS.")],
    given: Annotated[
        str,
        typer.Option(
            "--from",
            help="A CSV, TSV, JSON lines, Parquet or Excel file, or its URL; or a database: connection:ID, env:NAME or "
            "its URL.",
        ),
    ],
    target: Annotated[str | None, typer.Option(help="The column to predict; without it, all are listed.")] = None,
    task: Annotated[Task | None, typer.Option(help="Default: by the values of the target.")] = None,
    positive: Annotated[str, typer.Option(help="Of two labels the one that is meant.")] = "",
    time: Annotated[str, typer.Option(help="The column that says when a row happened.")] = "",
    key: Annotated[list[str] | None, typer.Option(help="A column of the key; may be repeated.")] = None,
    table: Annotated[str, typer.Option(help="The table of the database, or the sheet of the Excel file.")] = "",
    watermark: Annotated[str, typer.Option(help="The table's column by which new rows are told.")] = "",
    into: Annotated[Path | None, typer.Option(help="Folder of the model projects.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a model file that is there.")] = False,
) -> None:
    """Look at a whole file or table and write a commented model file for it; what is doubtful begins with '# ?'.

    Ends with exit code 2 where the model file cannot run before somebody has decided such a line.
    """
    from slipstream.commands.init.choose import InitOptions, choose, undecided
    from slipstream.commands.init.origin import is_database, is_on_the_web, of_database, of_file, of_url
    from slipstream.commands.init.write import model_file
    from slipstream.spec.loader import FILE, parse_spec
    from slipstream.store.files import atomic_write

    folder = (into or settings_now().models) / model
    if (folder / FILE).exists() and not force:
        raise SpecError(f"{folder / FILE}: is there already; write over it with --force.", code="init_exists")
    if is_on_the_web(given):
        origin = of_url(given, table, model)
    else:
        origin = of_database(given, table, watermark, model) if is_database(given) else of_file(Path(given), table)
    looked = origin.look
    if target is None:
        _list(looked)
        raise typer.Exit(2)
    choice = choose(looked, target, InitOptions(task.value if task else "", positive, tuple(key or ()), time))
    text = model_file(model, origin.source, looked, choice)
    if choice.inputs:
        parse_spec(text, f"{model}/{FILE}")
    folder.mkdir(parents=True, exist_ok=True)
    beside = _copied(origin.copied, folder)
    atomic_write(folder / FILE, text.encode())
    summary = f"{choice.task} of {target!r} from {len(choice.inputs)} inputs"
    _say(f"{looked.rows:,} rows, {len(looked.columns)} columns; {summary}")
    for line in text.splitlines():
        if line.lstrip().startswith("# ?"):
            _say(f"  {line.strip()}")
    written = f"{folder / FILE} written{beside}."
    _say(origin.remark)
    open_ = ([] if choice.inputs else ["inputs"]) + ([target] if undecided(looked.columns[target]) else [])
    if open_:
        _say(f"{written} It cannot run yet: decide the lines '# ? {open_[0]}: ...' in it, then slipstream run {model}")
        raise typer.Exit(2)
    _say(f"{written} Next: slipstream run {model}")


def _list(looked: object) -> None:
    from slipstream.cli.output import print_rows
    from slipstream.commands.init.look import Look

    assert isinstance(looked, Look)  # noqa: S101 - imported late
    print_rows(
        [
            {
                "column": one.name,
                "type": one.type,
                "missing": looked.rows - one.known,
                "different values": one.distinct,
                "such as": ", ".join(str(word) for word, _ in one.words[:4]) or f"{one.low} to {one.high}",
            }
            for one in looked.columns.values()
        ],
        as_json=False,
    )
    out.print("Name one of them: --target COLUMN", markup=False)


def _copied(file: Path | None, folder: Path) -> str:
    """Copy a small file beside the model file; what is to be said of it."""
    if file is None:
        return ""
    if file.resolve().parent != folder.resolve():
        shutil.copy2(file, folder / file.name)
    return f", {file.name} copied beside it"


def _say(line: str) -> None:
    if line:
        err.print(line, markup=False, highlight=False, soft_wrap=True)
