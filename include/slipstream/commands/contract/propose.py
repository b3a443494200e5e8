"""Proposes a contract from the rows that were committed: what they keep to, with some room, and why."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from slipstream.commands.flow import flow, outwards
from slipstream.data.validated import Validated
from slipstream.duck import columns_of, duck, first_row, quoted
from slipstream.newest import newest_dataset
from slipstream.number_formats import counted
from slipstream.spec.model import ModelSpec
from slipstream.store import Store
from slipstream.store.datasets import load_dataset, read_dataset

if TYPE_CHECKING:
    import duckdb

SET = 20
"""A column of at most so many words is held to them, if each is there often enough to be no slip."""
OFTEN = 5
ROOM = 0.5
"""How far, in parts of the range that was seen, a number may lie beyond it."""
LESS, MORE = 4, 4
"""How many times fewer or more rows than the least and the greatest batch may come."""


@dataclass(frozen=True)
class ProposedRule:
    """One expectation and what was seen."""

    rule: dict[str, Any]
    why: str


def propose(spec: ModelSpec, store: Store) -> list[ProposedRule]:
    """Expectations that the newest dataset version of the model keeps.

    Raises:
        StageError: ``run_not_found``: nothing was committed yet.
    """
    dataset = load_dataset(store.objects, store.ledger.state(), spec.name, newest_dataset(store, spec))
    with duck() as connection:
        rows = read_dataset(store.tables, dataset, connection)
        used = [name for name in dict.fromkeys((*spec.data.key, spec.data.time, *spec.inputs, spec.target)) if name]
        kinds = dict(columns_of(rows))
        total = int(first_row(rows.aggregate("count(*)"))[0])
        rules = [rule for name in used if name in kinds for rule in _column(spec, rows, name, kinds[name], total)]
    return [*_batches(spec, store), *_key(spec, total), *rules]


def block(rules: Sequence[ProposedRule]) -> str:
    """The rules as the block of model.yaml."""
    lines = [line for one in rules for line in (f"    # {one.why}", f"    - {flow(one.rule)}")]
    return "\n".join(["contract:", "  on_failure: quarantine", "  expectations:", *lines]) + "\n"


def _batches(spec: ModelSpec, store: Store) -> Iterator[ProposedRule]:
    events = store.ledger.state().model(spec.name).on("validation.finished")
    sizes = [result.rows for result in (event.result_as(Validated) for event in events) if result.success]
    if not sizes:
        return
    bounds = {"min_value": max(1, min(sizes) // LESS), "max_value": max(sizes) * MORE}
    batches = "1 batch" if len(sizes) == 1 else f"{len(sizes):,} batches"
    seen = f"{min(sizes):,} rows" if min(sizes) == max(sizes) else f"{min(sizes):,} to {max(sizes):,} rows"
    why = f"{batches} of {seen}; {LESS} times fewer or {MORE} times more are let pass."
    yield ProposedRule({"type": "expect_table_row_count_to_be_between"} | bounds, why)


def _key(spec: ModelSpec, total: int) -> Iterator[ProposedRule]:
    if len(spec.data.key) > 1:
        rule = {"type": "expect_compound_columns_to_be_unique", "column_list": list(spec.data.key)}
    elif spec.data.key:
        rule = {"type": "expect_column_values_to_be_unique", "column": spec.data.key[0]}
    else:
        return
    yield ProposedRule(rule, f"data.key: each of {total:,} rows has its own.")


def _column(spec: ModelSpec, rows: duckdb.DuckDBPyRelation, name: str, kind: str, total: int) -> Iterator[ProposedRule]:
    cell = quoted(name)
    finite = f" FILTER (WHERE isfinite({cell}))" if kind == "DOUBLE" else ""
    ends = f"min({cell}){finite}, max({cell}){finite}"
    known, distinct, low, high = first_row(rows.aggregate(f"count({cell}), count(DISTINCT {cell}), {ends}"))
    yield from _missing(name, int(known), total)
    if not known or name == spec.target:
        return
    if kind in {"BIGINT", "DOUBLE"} and name not in spec.data.key and low is not None:
        yield _between(name, low, high)
    if kind == "VARCHAR" and 0 < distinct <= SET:
        words = rows.filter(f"{cell} IS NOT NULL").aggregate(f"{cell} AS word, count(*) AS n", cell).order("word")
        with_rows = words.fetchall()
        least = min(count for _, count in with_rows)
        if least >= OFTEN:
            value_set = [word for word, _ in with_rows]
            rule = {"type": "expect_column_values_to_be_in_set", "column": name, "value_set": value_set}
            yield ProposedRule(rule, f"{counted(distinct, 'value')}, each in {least:,} rows or more.")


def _missing(name: str, known: int, total: int) -> Iterator[ProposedRule]:
    rule: dict[str, Any] = {"type": "expect_column_values_to_not_be_null", "column": name}
    if known == total:
        yield ProposedRule(rule, f"None of {total:,} rows is without it.")
    elif known:
        # Twice as many may be missing: three errors of the share that was seen, of a batch of 100 rows at the least.
        share = 1 - known / total
        room = max(share, 3 * math.sqrt(share * (1 - share) / 100))
        mostly = max(0.0, math.floor((1 - share - room) * 100) / 100)
        if mostly:
            why = f"{share:.1%} of {total:,} rows are without it; at least {mostly:.0%} have to have it."
            yield ProposedRule(rule | {"mostly": mostly}, why)


def _between(name: str, low: Any, high: Any) -> ProposedRule:
    room = ROOM * (high - low) or abs(high) or 1
    least = 0 if 0 <= low <= room else outwards(low - room, math.floor)
    bounds = {"min_value": least, "max_value": outwards(high + room, math.ceil)}
    rule = {"type": "expect_column_values_to_be_between", "column": name} | bounds
    return ProposedRule(rule, f"From {low:,.6g} to {high:,.6g} so far; half the range more on either side.")
