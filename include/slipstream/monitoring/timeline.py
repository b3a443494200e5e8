"""The measurements of a model so far, as points of a chart: drift, quality and its estimate, window after window."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from slipstream.store.figures import MonitorFigures

MOST = 20


@dataclass(frozen=True)
class Point:
    """One measured window.

    Attributes:
        version: The champion of then.
        named: The window in words.
        ends: Event time of its newest row; empty if unknown.
        rows: Its rows.
        share: Of the watched columns, those that drifted.
        drifted: The verdict.
        quality: The deciding metric, where truth was known; ``low`` and ``high`` are its interval.
        estimated: The same, estimated without truth.
    """

    version: int
    named: str
    ends: str
    rows: int
    share: float
    drifted: bool
    quality: float | None
    low: float | None
    high: float | None
    estimated: float | None


def timeline(measured: Iterable[MonitorFigures]) -> list[Point]:
    """The last windows, oldest first; a window that was measured again, when its labels had come, counts once.

    Args:
        measured: The figures of every measurement, in the ledger's order; last those of the one that is being made.
    """
    points: dict[tuple[int, str], Point] = {}
    for figures in measured:
        point = _point(figures)
        if point is not None:
            # Again at its old place, unless the window itself went on.
            points[point.version, point.ends or f"{point.rows} rows"] = point
    return list(points.values())[-MOST:]


def _point(figures: MonitorFigures) -> Point | None:
    if not figures.columns or figures.champion is None:  # too few rows for a verdict
        return None
    return Point(
        version=figures.champion,
        named=figures.window,
        ends=figures.last or "",
        rows=figures.rows,
        share=len(figures.drifted_columns) / figures.columns,
        drifted=figures.drifted,
        quality=figures.quality,
        low=figures.quality_low,
        high=figures.quality_high,
        estimated=figures.estimated,
    )
