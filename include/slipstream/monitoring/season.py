"""Seasons: a column that is proven to look now as it did one season before has not drifted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from slipstream.duck import evenly_spaced, first_row
from slipstream.monitoring.reference import Subject
from slipstream.monitoring.scored_window import SCORED_ROWS, answered
from slipstream.monitoring.window import Window
from slipstream.profiling.column_drift import alike, drifts
from slipstream.profiling.profile import ANSWER, Profile
from slipstream.spec.values import written


@dataclass(frozen=True)
class Season:
    """The comparison with the time one season before.

    Attributes:
        span: How long a season is, in words; empty where the model file names none.
        rows: Rows that there are of that time.
        columns: The columns that look now as they did then: proven to be nearer than the threshold.
        note: Why nothing could be compared, or of which columns the rows are too few to tell.
    """

    span: str = ""
    rows: int = 0
    columns: tuple[str, ...] = ()
    note: str = ""


def seasonal(subject: Subject, window: Window, now: Profile, columns: Sequence[str]) -> Season:
    """Which of *columns*, which differ from the reference, look as they did one season before.

    Args:
        subject: The champion.
        window: The rows.
        now: Their profile.
        columns: Inputs, and the answer.
    """
    span = subject.spec.monitor.drift.season
    if span is None:
        return Season()
    length = written(span)
    rows = window.earlier(span, subject.spec.monitor.window)
    if rows is None:
        return Season(length, note="the rows have no event time (data.time)")
    (count,) = first_row(rows.aggregate("count(*)"))
    if count < subject.spec.monitor.min_rows:
        return Season(
            length,
            count,
            note=f"there are {count:,} rows of {length} before, fewer than monitor.min_rows",
        )
    if not columns:
        return Season(length, count)
    answers = None
    if ANSWER in columns:
        _, answers = answered(subject.candidate, evenly_spaced(rows, count, SCORED_ROWS).df())
    then = subject.reference.on(rows, answers)
    both = [name for name in columns if name in then.columns and name in now.columns]
    sides = [Profile({name: side.columns[name] for name in both}) for side in (then, now)]
    likeness = alike(sides[0], sides[1], subject.methods)
    differ = {one.column for one in drifts(sides[0], sides[1], subject.methods) if one.drifted}
    unsure = [name for name, proven in likeness.items() if not proven and name not in differ]
    note = f"too few rows to tell whether {', '.join(unsure)} looked the same then" if unsure else ""
    return Season(length, count, tuple(name for name, proven in likeness.items() if proven), note)
