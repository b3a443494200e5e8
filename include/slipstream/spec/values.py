"""The values that a model file holds, and how it says that one is wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import timedelta
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

from slipstream.errors import shown
from slipstream.hints import nearest

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_DURATION = re.compile(r"^([1-9][0-9]{0,5})\s*([smhdw])$")
_ECHO = 80


class SpecPart(BaseModel):
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
        unit = f"; write its unit too, such as {value}d" if isinstance(value, int) and value > 0 else ""
        raise ValueError(f"expected a duration such as 30s, 15m, 6h, 14d or 8w, got {as_written(value)}{unit}")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def written(value: timedelta) -> str:
    """The duration as the model file writes it: ``365d``, ``6h``."""
    seconds = int(value.total_seconds())
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
Column = Annotated[str, Field(min_length=1, max_length=128)]
Duration = Annotated[
    timedelta, BeforeValidator(duration, json_schema_input_type=str), PlainSerializer(written, return_type=str)
]
Backend = Annotated[dict[str, Any], Field(json_schema_extra={"required": ["type"]})]
PAIRS: tuple[tuple[str, str], ...] = (("false", "true"), ("0", "1"), ("no", "yes"))
"""Labels of a binary task that need no `positive:` (in any case): the second is it."""
Place = tuple[str | int, ...]
"""The keys and the positions (from 0) that lead to a value of the model file."""


class SpecProblem(ValueError):
    """What is wrong, with its stable code and the keys that lead to it from where it was noticed."""

    def __init__(self, message: str, *place: str | int, code: str = "spec_invalid") -> None:
        super().__init__(message)
        self.code = code
        self.place = place


def as_written(value: object) -> str:
    """The value as errors echo it: as the model file writes it, at most 80 characters."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | dict):
        text = json.dumps(value, ensure_ascii=False, default=str)
        text = re.sub(r'"([\w.*/-]+)"', r"\1", text)
        return text if len(text) <= _ECHO else f"{text[: _ECHO - 1]}…"
    return shown(value)


def unknown(what: str, value: str, known: Iterable[str], code: str, *place: str | int) -> SpecProblem:
    """The problem of a *value* that is not among those *known*, with the nearest of them."""
    return SpecProblem(f"no {what} is called {shown(value)}; {nearest(value, known)}", *place, code=code)
