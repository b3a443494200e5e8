"""`slipstream schema`: what a batch changes of the columns of the data, and a person's decision on it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slipstream.cli.output import ACTOR, AsJson, Model, open_store, out, print_rows, print_value, show, spec_of

if TYPE_CHECKING:
    from slipstream.commands.schema_diff import ColumnChange

schema = typer.Typer(
    name="schema",
    help="Say what a batch changes of the columns of the data table, and accept it.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@schema.command()
def diff(
    model: Model,
    path: Annotated[
        Path | None, typer.Option(help="A file to compare; default: the batch that waits, or the source's next.")
    ] = None,
    json_: AsJson = False,
) -> None:
    """Show which columns come, go, look renamed, are widened or of another type; who uses them, and what to do.

    Changes nothing.
    """
    from slipstream.commands.schema_diff import schema_diff

    difference = schema_diff(spec_of(model), open_store(), path)
    if json_:
        print_value(difference, True)
        return
    out.print(
        f"{difference.model}: {difference.compared}, beside dataset version {difference.dataset[:12]}",
        markup=False,
        highlight=False,
    )
    if not difference.changes:
        out.print("The columns are those of the table.", markup=False, highlight=False)
        return
    print_rows([_row(change) for change in difference.changes], False)
    for todo in dict.fromkeys(change.todo for change in difference.changes if change.todo):
        out.print(f"  {todo}", markup=False, highlight=False, soft_wrap=True)


def _row(change: ColumnChange) -> dict[str, str]:
    return {
        "change": f"{change.kind}?" if change.kind == "renamed" else change.kind,
        "column": change.column,
        "was": change.was,
        "now": change.now,
        "used by": ", ".join((*change.used, *change.versions)),
        "effect": change.effect,
    }


@schema.command()
def accept(
    model: Model,
    columns: Annotated[
        list[str] | None, typer.Argument(help="Columns whose change is accepted; default: all that came or went.")
    ] = None,
    rename: Annotated[
        list[str] | None, typer.Option(help="OLD=NEW: the column OLD is called NEW; may be repeated.")
    ] = None,
    same_unit: Annotated[
        bool, typer.Option("--same-unit", help="Renamed columns hold the same quantity in the same unit: I looked.")
    ] = False,
    reason: Annotated[str, typer.Option(help="Why; kept in the ledger.")] = "",
    json_: AsJson = False,
) -> None:
    """Accept what the batch that waits changes of the columns; who accepted it and why is kept in the ledger."""
    from slipstream.stages.schema_accept import ColumnChoice
    from slipstream.stages.schema_accept import accept as stage

    pairs: dict[str, str] = {}
    for text in rename or ():
        old, equals, new = text.partition("=")
        if not (old and equals and new):
            raise typer.BadParameter(f"{text!r}: write --rename OLD=NEW")
        if old in pairs or new in pairs.values():
            raise typer.BadParameter(f"{text!r}: a column is named twice")
        pairs[old] = new
    choice = ColumnChoice(columns or (), pairs, same_unit)
    show(stage(spec_of(model), open_store(), choice, reason=reason, actor=ACTOR), json_)
