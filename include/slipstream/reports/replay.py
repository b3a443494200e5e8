"""The page about one replay: how far champion and challenger are apart on the same captured requests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from slipstream.reports.page import render

MOST_INPUTS = 8


def page(model: str, replay: Mapping[str, Any]) -> bytes:
    """The HTML report of the JSON record that the stage *replay* keeps."""
    rows = replay["furthest"]
    names = list(rows[0]["inputs"])[:MOST_INPUTS] if rows else []
    return render(
        "replay.html",
        title="Replay",
        model=model,
        found=replay,
        names=names,
        rows=[
            {
                "values": [_shown(row["inputs"][name]) for name in names],
                "champion": _answer(row["champion"]),
                "challenger": _answer(row["challenger"]),
            }
            for row in rows
        ],
    )


def _answer(answer: Mapping[str, Any]) -> str:
    """The label with its probability, or the number."""
    probability = answer["probability"]
    if probability is None:
        return _shown(answer["prediction"])
    most = max(probability) if isinstance(probability, list) else probability
    return f"{answer['prediction']} ({most:.4g})"


def _shown(value: Any) -> str:
    if value is None:
        return "\N{EN DASH}"
    return f"{value:.6g}" if isinstance(value, float) else str(value)[:60]
