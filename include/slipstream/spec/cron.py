"""Cron expressions: what is wrong with one, in words."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import cache

from slipstream.errors import shown
from slipstream.hints import nearest
from slipstream.number_formats import counted

_NAMES = ("@hourly", "@daily", "@weekly", "@monthly", "@quarterly", "@yearly")
_FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day of the month", 1, 31), ("month", 1, 12), ("weekday", 0, 7))
_HINT = "write one such as '0 6 * * *' (each day at 6:00 UTC) or '@daily'"


@cache
def wrong_cron(expression: str) -> str:
    """What is wrong with *expression*; "" if it has a next time."""
    if expression.startswith("@"):
        known = expression in _NAMES
        return "" if known else f"no schedule is called {shown(expression)}; {nearest(expression, _NAMES)}"
    fields = expression.split()
    if len(fields) != len(_FIELDS):
        count = counted(len(fields), "field")
        names = ", ".join(name for name, *_ in _FIELDS)
        return f"{shown(expression)} is no cron expression: it has {count}, not five ({names}); {_HINT}"
    for (name, low, high), field in zip(_FIELDS, fields, strict=True):
        for number in re.findall(r"(?<![/#\d])\d+", field):
            if not low <= int(number) <= high:
                problem = f"{number} is no {name}, which goes from {low} to {high}"
                return f"{shown(expression)} is no cron expression: {problem}; {_HINT}"
    return _proved(expression)


def _proved(expression: str) -> str:
    """What the library that finds the times says, which knows the rest of the language."""
    from croniter import CroniterBadDateError, croniter

    try:
        croniter(expression, datetime(2024, 1, 1, tzinfo=UTC)).get_next()
    except CroniterBadDateError:
        return f"{shown(expression)} never comes: there is no such day"
    except ValueError:
        return f"{shown(expression)} is no cron expression; {_HINT}"
    return ""
