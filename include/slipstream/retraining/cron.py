"""When the times of a cron expression fall, in UTC."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from slipstream.errors import SpecError

_NAMED = {"@quarterly": "0 0 1 */3 *"}
"""What Airflow knows beyond the names of crontab."""


def last_due(expression: str, now: datetime) -> datetime:
    """The newest time of *expression* that is not after *now*; raises SpecError where there is none."""
    times, match = _times(expression, now)
    return now.astimezone(UTC) if match else _moment(expression, times.get_prev)


def next_due(expression: str, now: datetime) -> datetime:
    """The first time of *expression* after *now*; raises SpecError where there is none."""
    return _moment(expression, _times(expression, now)[0].get_next)


def _times(expression: str, now: datetime) -> tuple[Any, bool]:
    """The times around *now*, and whether it is one of them."""
    from croniter import croniter

    plain, moment = _NAMED.get(expression, expression), now.astimezone(UTC)
    try:
        exact = moment.second == moment.microsecond == 0 and croniter.match(plain, moment)
        return croniter(plain, moment), bool(exact)
    except ValueError as error:
        raise _wrong(expression, error) from error


def _moment(expression: str, turn: Any) -> datetime:
    try:
        moment: datetime = turn(datetime)
    except ValueError as error:
        raise _wrong(expression, error) from error
    return moment


def _wrong(expression: str, error: Exception) -> SpecError:
    return SpecError(f"retrain.cron: {expression!r} is no cron expression: {error}; write one such as '0 3 * * 0'.")
