"""Parts of dates and timestamps that are written as ISO 8601 words; one reading for training and for serving."""

from __future__ import annotations

import math
import re
from datetime import date

PARTS = ("year", "month", "day", "weekday", "hour", "minute")
NO_DATE = (math.nan,) * len(PARTS)

_ISO = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})(?:[T ](\d{2}):(\d{2})(?::\d{2}(?:[.,]\d{1,9})?)?(?:Z|[+-]\d{2}:?\d{2})?)?", re.ASCII
)


def date_parts(word: object) -> tuple[float, ...]:
    """The :data:`PARTS` of *word* as it is written, whatever its zone; NaN each for what is no date.

    Monday is weekday 0. A date without time has hour and minute 0.
    """
    match = _ISO.fullmatch(word) if isinstance(word, str) else None
    if match is None:
        return NO_DATE
    year, month, day, hour, minute = (int(part or 0) for part in match.groups())
    try:
        weekday = date(year, month, day).weekday()
    except ValueError:
        return NO_DATE
    if hour > 23 or minute > 59:
        return NO_DATE
    return float(year), float(month), float(day), float(weekday), float(hour), float(minute)


def is_date(word: object) -> bool:
    """Whether *word* is a date or timestamp that :func:`date_parts` can read."""
    return date_parts(word) is not NO_DATE
