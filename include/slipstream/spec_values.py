"""The values that a model file holds, and how it says that one is wrong."""

from __future__ import annotations

import difflib
import re
from datetime import timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_DURATION = re.compile(r"^([1-9][0-9]{0,5})\s*([smhdw])$")
CRON = re.compile(
    r"^@(hourly|daily|weekly|monthly|quarterly|yearly)$|^([0-9A-Za-z*/,\-?#L]+\s+){4}[0-9A-Za-z*/,\-?#L]+$"
)


class Part(BaseModel):
    """A part of the model file: frozen, strictly typed, unknown keys refused."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True, serialize_by_alias=True
    )


def duration(value: object) -> timedelta:
    """The duration that *value* writes; raises ValueError."""
    if isinstance(value, timedelta):
        return value
    match = _DURATION.match(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("expected a duration such as 30s, 15m, 6h, 14d or 8w")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def written(value: timedelta) -> str:
    """The duration as the model file writes it: ``365d``, ``6h``."""
    seconds = int(value.total_seconds())
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _typed(value: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(value.get("type"), str):
        raise ValueError("needs a 'type' that names the back end")
    return value


Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
Column = Annotated[str, Field(min_length=1, max_length=128)]
Duration = Annotated[
    timedelta, BeforeValidator(duration, json_schema_input_type=str), PlainSerializer(written, return_type=str)
]
Backend = Annotated[dict[str, Any], AfterValidator(_typed), Field(json_schema_extra={"required": ["type"]})]


class SpecProblem(ValueError):
    """What is wrong, with its stable code and the keys that lead to it from where it was noticed."""

    def __init__(self, message: str, *place: str | int, code: str = "spec_invalid") -> None:
        super().__init__(message)
        self.code = code
        self.place = place


def unknown(what: str, value: str, known: tuple[str, ...], code: str, *place: str | int) -> SpecProblem:
    """The problem of a *value* that is not among those *known*, with the nearest of them."""
    near = difflib.get_close_matches(value, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
    return SpecProblem(f"{what} {value!r} isn't in the allowed list; {hint}", *place, code=code)
