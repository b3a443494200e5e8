"""`slipstream contract`: bring a suite of Great Expectations, have one proposed, try it on the batches that came."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Annotated

import typer

from slipstream.cli.output import AsJson, Model, err, open_store, print_rows, spec_of

contracts = typer.Typer(
    name="contract",
    help="Bring a contract from Great Expectations, have one proposed, and try it on the batches that came.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@contracts.command(name="import")
def import_(
    suite: Annotated[Path, typer.Argument(help="The suite as JSON, of Great Expectations 0.18 or 1.x.")],
) -> None:
    """Print a suite as the contract of a model file; what cannot be taken stands there as a comment with the reason."""
    from slipstream.commands.contract.suite import read_suite

    imported = read_suite(suite)
    sys.stdout.write(imported.contract())
    taken, whole = len(imported.rules), len(imported.rules) + len(imported.left_out)
    err.print(
        f"{taken} of {whole} expectations; put them into model.yaml, then: slipstream contract test MODEL",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


@contracts.command()
def propose(model: Model) -> None:
    """Print a contract that the committed rows keep, with some room, and with what was seen beside each expectation."""
    from slipstream.commands.contract.propose import block
    from slipstream.commands.contract.propose import propose as rules

    sys.stdout.write(block(rules(spec_of(model), open_store())))
    command = f"slipstream contract test {model}"
    err.print(f"Read it, put it into model.yaml, then: {command}", markup=False, highlight=False, soft_wrap=True)


@contracts.command(name="test")
def past(
    model: Model,
    last: Annotated[int, typer.Option(min=1, help="How many of the newest batches.")] = 10,
    json_: AsJson = False,
) -> None:
    """Say what the contract as it stands would have done to past batches, beside what was done; changes nothing."""
    from slipstream.commands.contract.past import past_batches

    batches = past_batches(spec_of(model), open_store(), last)
    if json_:
        print_rows([dataclasses.asdict(one) for one in batches], True)
        return
    print_rows(
        [
            {
                "batch": one.batch[:12],
                "came": one.time[:19],
                "rows": one.rows,
                "contract": one.outcome,
                "aside": one.aside,
                "then": one.then,
                "broken": "; ".join(one.broken),
            }
            for one in batches
        ],
        False,
    )
