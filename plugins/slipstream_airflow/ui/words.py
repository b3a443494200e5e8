"""How the pages write figures and times."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from slipstream.number_formats import counted

_STEPS = ((60, "second", 1), (3600, "minute", 60), (86400, "hour", 3600), (float("inf"), "day", 86400))


def ago(time: str, now: datetime | None = None) -> str:
    """How long ago the ISO 8601 *time* was, e.g. "3 minutes ago"."""
    seconds = max(0.0, ((now or datetime.now(UTC)) - datetime.fromisoformat(time)).total_seconds())
    word, size = next((word, size) for limit, word, size in _STEPS if seconds < limit)
    return f"{counted(int(seconds // size), word)} ago"


def figure(value: Any) -> str:
    """A number with four significant digits; what is missing as a dash."""
    if value is None or value == "":
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}" if isinstance(value, float) else str(value)


def when(time: str) -> str:
    """An ISO 8601 time as people read it, to the second, UTC."""
    return time[:19].replace("T", " ")


def who(actor: str) -> str:
    """Who asked for it: a person's name as it is, of a run its DAG."""
    kind, _, run = actor.partition(":")
    return run.partition("/")[0] if kind == "airflow" and run else actor


FILTERS = {"ago": ago, "figure": figure, "when": when, "who": who}
