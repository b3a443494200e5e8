"""What a split did, in words: by what rows are held out, and whether something stands on both sides that should not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from slipstream.duck import columns_of, first_row, quoted

if TYPE_CHECKING:
    import duckdb

FEW = 20
"""A part of a key with fewer values, such as a year, is no entity."""
MANY = 0.1
"""A part of a key is told of where more than this share of its values stand on both sides."""


def held_out_by(time: str, cutoff: str, key: Sequence[str], group: Sequence[str], share: float) -> str:
    """By what rows are held out, one sentence."""
    names = ", ".join(group or key)
    if not time:
        return f"Held out are {share:.0%} of the rows, by the digest of {names}: equal ones share a side."
    if group:
        return (
            f"Held out are the rows from {cutoff} on of {share:.0%} of the groups ({names}, by digest); their earlier "
            "rows are left out of training, and the later rows of the other groups are not judged."
        )
    return f"Held out are the rows from {cutoff} on, by {time}."


def on_both_sides(rows: duckdb.DuckDBPyRelation, key: Sequence[str], train: str, holdout: str) -> tuple[str, ...]:
    """A sentence for each part of a composite *key* whose values stand on both sides.

    Args:
        rows: The labelled rows.
        key: The key's columns.
        train: SQL of which rows train.
        holdout: SQL of which are held out.
    """
    sentences = []
    dates = {name for name, kind in columns_of(rows) if kind in {"DATE", "TIMESTAMP"}}
    for name in key if len(key) > 1 else ():
        if name in dates:
            continue
        sides = rows.aggregate(
            f"bool_or({train}) AS trained, bool_or({holdout}) AS held, count(*) AS n", quoted(name)
        ).aggregate("count(*) FILTER (WHERE held AND trained), count(*) FILTER (WHERE held), max(n), count(*)")
        both, held, most, values = first_row(sides)
        if held and most > 1 and values >= FEW and both > MANY * held:
            sentences.append(
                f"{both:,} of {held:,} held-out values of {name!r} stand among the training rows too. If rows of one "
                f"{name} are alike, the figures flatter the model; write train.group: {name} to keep them on one side."
            )
    return tuple(sentences)
