"""`slipstream history`: what happened to a model, who was in production when, and what was decided by itself."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from slipstream.cli.output import AsJson, Model, known_spec, open_store, out, print_rows
from slipstream.number_formats import percent

if TYPE_CHECKING:
    from slipstream.commands.history import DecisionEntry
    from slipstream.rollout.production_periods import Production, ProductionPeriod

past = typer.Typer()


@past.command()
def history(
    model: Model,
    newest: Annotated[int, typer.Option(min=1, max=10_000, help="How many entries.")] = 30,
    as_of: Annotated[
        str | None,
        typer.Option("--as-of", help="What was in production then: a number of the ledger or an ISO 8601 time."),
    ] = None,
    champions: Annotated[bool, typer.Option("--champions", help="All versions that were in production.")] = False,
    decisions: Annotated[bool, typer.Option("--decisions", help="The automatic decisions alone.")] = False,
    json_: AsJson = False,
) -> None:
    """What happened to a model, newest first, in plain sentences."""
    from slipstream.commands import history as stage
    from slipstream.rollout.production_periods import as_of as at
    from slipstream.rollout.production_periods import production_periods

    if (as_of is not None, champions, decisions).count(True) > 1:
        raise typer.BadParameter("give one of --as-of, --champions and --decisions")
    store = open_store()
    spec = known_spec(model, store)
    if as_of is not None:
        _print(at(spec, store, as_of), _production, json_)
    elif champions:
        _print(production_periods(spec, store)[-newest:], _terms, json_)
    elif decisions:
        _print(stage.decisions(spec, store, newest=newest), _decisions, json_)
    else:
        _print(stage.history(spec, store, newest=newest), _entries, json_)


def _print(value: Any, as_text: Any, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(msgspec.to_builtins(value)) + "\n")
    else:
        as_text(value)


def _entries(entries: list[Any]) -> None:
    print_rows([{"seq": e.seq, "time": _time(e.time), "who": e.actor, "what": e.text} for e in entries], as_json=False)


def _decisions(entries: list[DecisionEntry]) -> None:
    for one in entries:
        _say(f"{one.seq:>5}  {_time(one.time)}  {one.kind}: {one.text}")
        for name, value in one.evidence.items():
            text = value if isinstance(value, str) else json.dumps(value)
            _say(f"{'':7}{name}: {text if len(text) < 200 else text[:199] + '…'}")


def _terms(periods: list[ProductionPeriod]) -> None:
    for period in periods:
        _say(f"version {period.version:<4} {_time(period.since)} to {_time(period.until) or 'now'}")
        _term(period)


def _production(production: Production) -> None:
    moment = f"event {production.seq} ({_time(production.time)} UTC)" if production.seq else "the beginning"
    term = production.term
    if term is None:
        _say(f"As of {moment} nothing was in production.")
    else:
        _say(f"As of {moment} version {term.version} was in production, since {_time(term.since)} UTC.")
        _term(term)
    if production.candidate is not None:
        share = "as a shadow" if production.shadow else f"to {percent(production.weight)} of the keys"
        _say(f"{'':13}rolling out: version {production.candidate} {share}")


def _term(term: ProductionPeriod) -> None:
    lines = {
        "came": term.why,
        "approved by": term.approved_by or "nobody was asked",
        "trained on": f"dataset {term.dataset[:12]}" if term.dataset else "",
        "in place of": f"version {term.replaced}" if term.replaced else "",
        "left": term.left,
    }
    for name, text in lines.items():
        if text:
            _say(f"{'':13}{name}: {text}")


def _time(time: str) -> str:
    return time[:19].replace("T", " ")


def _say(text: str) -> None:
    out.print(text, highlight=False, markup=False, soft_wrap=True)
