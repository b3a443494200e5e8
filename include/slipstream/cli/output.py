"""What the commands of the command line share: where they work, and how they print."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from slipstream.commands.plan import Plan
from slipstream.commands.recorded_spec import recorded_spec
from slipstream.errors import SlipstreamError, SpecError
from slipstream.runs import Result
from slipstream.settings import Settings
from slipstream.spec import loader
from slipstream.spec.model import ModelSpec
from slipstream.store import Store

out, err = Console(), Console(stderr=True)

Model = Annotated[str, typer.Argument(help="The model's name: its folder below SLIPSTREAM_MODELS.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
ACTOR = "cli"
Version = Annotated[int | None, typer.Option(help="Version number; default: the newest.")]


def settings_now() -> Settings:
    """The settings of the environment."""
    return Settings.from_environment()


def spec_of(name: str) -> ModelSpec:
    """The spec of the model called *name*.

    Raises:
        SpecError: ``spec_not_found``, ``model_removed``, or whatever is wrong with the file.
    """
    settings = settings_now()
    try:
        return loader.find_spec(settings.models, name, allow_code=settings.allow_code, pools=settings.pools)
    except SpecError as error:
        if error.code == "spec_not_found" and name in open_store().ledger.state().models:
            remedy = f"put it back, or take the model out of service: slipstream retire {name}"
            message = f"{name}: its folder was removed; {remedy}."
            raise SpecError(message, code="model_removed") from error
        raise


def known_spec(name: str, store: Store) -> ModelSpec:
    """The spec of the model called *name*; of one whose folder was removed, the last that the ledger knows.

    Raises:
        SpecError: no model is called so, or its file is wrong.
    """
    settings = settings_now()
    try:
        return spec_of(name)
    except SpecError as error:
        if error.code != "model_removed":
            raise
        recorded = recorded_spec(store, name, settings.models / name, allow_code=settings.allow_code)
        if recorded is None:
            raise
        return recorded


def every_spec() -> Iterator[ModelSpec | SpecError]:
    """The spec of each model project, or what is wrong with it."""
    settings = settings_now()
    return loader.load_specs(settings.models, allow_code=settings.allow_code, pools=settings.pools)


def error_row(error: SlipstreamError) -> dict[str, Any]:
    """What stands in a list in place of a model whose file is wrong."""
    return {"model": getattr(error, "model", ""), "error": {"code": error.code, "message": str(error)}}


def print_error(error: SlipstreamError) -> None:
    """Print what is wrong, for people."""
    err.print(f"error [{error.code}]: {error}", markup=False, highlight=False, soft_wrap=True)


def refuse(wrong: Sequence[SlipstreamError], as_json: bool) -> None:
    """Exit with 1 if something is *wrong*; JSON says it already."""
    for error in () if as_json else wrong:
        print_error(error)
    if wrong:
        raise typer.Exit(1)


def open_store() -> Store:
    """The store of the environment."""
    return Store.open(settings_now().store)


def show(result: Result, as_json: bool) -> None:
    """Print the figures of a stage."""
    print_value(result.figures(), as_json)


def print_value(value: Any, as_json: bool) -> None:
    """Print a record, as JSON or as a small table."""
    if as_json:
        sys.stdout.write(json.dumps(msgspec.to_builtins(value)) + "\n")
        return
    table = Table(show_header=False, box=None, pad_edge=False)
    for key, entry in msgspec.to_builtins(value).items():
        text = entry if isinstance(entry, str) else json.dumps(entry, ensure_ascii=False)
        table.add_row(Text(key, "bold"), Text(text if len(text) < 400 else text[:399] + "…"))
    out.print(table, highlight=False)


def print_rows(rows: list[dict[str, Any]], as_json: bool) -> None:
    """Print records, as JSON or as a table; what looks like rich's markup is text like any other."""
    if as_json:
        sys.stdout.write(json.dumps(rows) + "\n")
        return
    table = Table(box=None, pad_edge=False)
    for column in rows[0] if rows else ():
        table.add_column(Text(column), overflow="fold")
    for row in rows:
        table.add_row(*(Text("-" if value in (None, "") else str(value)) for value in row.values()))
    out.print(table, highlight=False)


def print_plan(plan: Plan) -> None:
    """Print what a model file gives."""

    def line(text: str) -> None:
        out.print(f"  {text}", highlight=False, markup=False, soft_wrap=True)

    out.print(Text.assemble((plan.model, "bold"), f"   predictions at POST {plan.endpoint}"), highlight=False)
    for dag in plan.dags:
        line(f"{dag.id:<24} {dag.does}   (starts: {dag.starts})")
    for word, text in plan.loop:
        line(f"{word:<24} {text}")
    for name, uri in plan.tables:
        line(f"table {name:<18} {uri}")
    for change in plan.changes:
        anew = ", ".join(change.anew) or "nothing"
        line(f"changed {change.key}: {change.before!r} -> {change.after!r}; works anew: {anew}")
    for note in (*(f"look at this: {note}" for note in plan.notes), *filter(None, [plan.rebuild])):
        line(note)
    if plan.compared and not plan.changes:
        line(f"unchanged since {plan.compared}")
