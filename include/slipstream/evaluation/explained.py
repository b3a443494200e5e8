"""Which inputs matter to a candidate, as later stages read it."""

from __future__ import annotations

from dataclasses import dataclass

from slipstream.runs import Result


@dataclass(frozen=True)
class Explained(Result):
    """Which inputs matter.

    Attributes:
        candidate: The train run.
        method: The explainer's method.
        rows: Held-out rows that were explained.
        scale: The unit of the importances.
        importance: ``(input, mean effect)``, largest first, at most 20; pairs, because JSON objects keep no order.
        details: Digest of the whole :class:`~slipstream.slots.Explanation`.
        report: Digest of the HTML report.
    """

    candidate: str
    method: str
    rows: int
    scale: str
    importance: tuple[tuple[str, float], ...]
    details: str
    report: str
