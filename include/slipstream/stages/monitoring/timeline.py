"""The measurements of a model so far, as points of a chart: drift, quality and its estimate, window after window."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from slipstream.store.state import Event

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


def timeline(events: Iterable[Event], newest: dict[str, Any]) -> list[Point]:
    """The last windows, oldest first; a window that was measured again, when its labels had come, counts once.

    Args:
        events: Earlier measurements, in the ledger's order.
        newest: The figures of the measurement that is being made.
    """
    found: dict[tuple[int, str], Point] = {}
    for figures in [*(event.data["result"] for event in events), newest]:
        point = _point(figures)
        if point is not None:
            # Again at its old place, unless the window itself went on.
            found[point.version, point.ends or f"{point.rows} rows"] = point
    return list(found.values())[-MOST:]


def _point(figures: dict[str, Any]) -> Point | None:
    if not figures["columns"]:  # too few rows for a verdict
        return None
    return Point(
        version=figures["champion"],
        named=figures["window"],
        ends=figures.get("last", ""),
        rows=figures["rows"],
        share=len(figures["drifted_columns"]) / figures["columns"],
        drifted=figures["drifted"],
        quality=figures["quality"],
        low=figures.get("quality_low"),
        high=figures.get("quality_high"),
        estimated=figures.get("estimated"),
    )
