"""What back ends, estimators and expectations take, as data: model files are read where no library may be imported.

The table beside this module is written by ``docs/signatures.py`` from the classes themselves.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from slipstream.errors import shown
from slipstream.hints import near_word, nearest
from slipstream.spec.values import Place, SpecProblem, as_written

Signature = Mapping[str, Mapping[str, Any]]


@cache
def table() -> dict[str, Any]:
    """The whole table: ``slots``, ``estimators``, ``boosters`` and ``expectations``."""
    signatures: dict[str, Any] = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
    return signatures


def wrong_arguments(
    who: str, arguments: Mapping[str, Any], takes: Signature, place: Place, code: str
) -> Iterator[SpecProblem]:
    """What is wrong with the arguments *given* to *who*, which stands at *place*."""
    for name, value in arguments.items():
        if name not in takes:
            near = near_word(str(name), takes)
            hint = f"did you mean {near!r}?" if near else _takes(takes)
            yield SpecProblem(f"{who} takes no {name!r}; {hint}", *place, name, code=code)
        elif problem := expected(takes[name]["takes"], value):
            yield SpecProblem(problem, *place, name, code=code)
    for name, argument in takes.items():
        if argument.get("required") and name not in arguments:
            yield SpecProblem(f"{who} needs '{name}'; write {name}: ... beside its type", *place, code=code)


def expected(kinds: Sequence[Sequence[Any]], value: Any) -> str:
    """What was expected in place of *value*, in words; "" if it is of one of *kinds*."""
    if any(_fits(kind, value) for kind in kinds):
        return ""
    words = [word for kind in kinds if kind[0] == "words" for word in kind[1:]]
    if isinstance(value, str) and words:
        return f"{shown(value)} is no word for this; {nearest(value, words)}"
    if [kind[0] for kind in kinds] == ["regex"] and isinstance(value, str):
        return f"{shown(value)} is no regular expression: {_regex_error(value)}"
    kinds_in_words = [_TOLD[kind[0]](kind) for kind in kinds if kind[0] != "none"]
    rest = ["null"] if any(kind[0] == "none" for kind in kinds) else []
    wanted = " or ".join(dict.fromkeys((*kinds_in_words, *rest))) or "nothing: leave it out"
    return f"expected {wanted}, got {as_written(value)}"


def _takes(takes: Signature) -> str:
    return f"it takes {', '.join(takes)}" if takes else "it takes no arguments"


def _fits(kind: Sequence[Any], value: Any) -> bool:
    return _FITS[kind[0]](kind, value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _within(kind: Sequence[Any], value: float) -> bool:
    low = -math.inf if kind[1] is None else kind[1]
    high = math.inf if kind[2] is None else kind[2]
    return (low < value or (kind[3][0] == "[" and low == value)) and (
        value < high or (kind[3][1] == "]" and high == value)
    )


def _is_moment(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _regex_error(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        return str(error)
    return ""


def span(kind: Sequence[Any]) -> str:
    """The bounds of a number in words: ``from 1 to 2000``, ``above 0 and below 1``."""
    low, high, sides = kind[1:4]
    if low is not None and high is not None and sides == "[]":
        return f" from {low:g} to {high:g}"
    sides_in_words = [f"{'of at least' if sides[0] == '[' else 'above'} {low:g}"] if low is not None else []
    sides_in_words += [f"{'of at most' if sides[1] == ']' else 'below'} {high:g}"] if high is not None else []
    return " " + " and ".join(sides_in_words) if sides_in_words else ""


_FITS: dict[str, Callable[[Sequence[Any], Any], bool]] = {
    "any": lambda _, value: True,
    "text": lambda _, value: isinstance(value, str),
    "filled": lambda _, value: isinstance(value, str) and bool(value),
    "column": lambda _, value: isinstance(value, str) and bool(value),
    "columns": lambda _, value: isinstance(value, list) and len(value) > 1 and all(map(_is_text, value)),
    "flag": lambda _, value: isinstance(value, bool),
    "none": lambda _, value: value is None,
    "whole": lambda kind, value: _is_number(value) and isinstance(value, int) and _within(kind, value),
    "number": lambda kind, value: _is_number(value) and _within(kind, value),
    "words": lambda kind, value: isinstance(value, str) and value in kind[1:],
    "moment": lambda _, value: isinstance(value, str) and _is_moment(value),
    "regex": lambda _, value: isinstance(value, str) and not _regex_error(value),
    "list": lambda _, value: isinstance(value, list),
    "mapping": lambda _, value: isinstance(value, dict),
}
_TOLD: dict[str, Callable[[Sequence[Any]], str]] = {
    "any": lambda _: "anything",
    "text": lambda _: "a text",
    "filled": lambda _: "a text",
    "column": lambda _: "the name of a column",
    "columns": lambda _: "a list of two columns or more, such as [a, b]",
    "flag": lambda _: "true or false",
    "whole": lambda kind: f"a whole number{span(kind)}",
    "number": lambda kind: f"a number{span(kind)}",
    "words": lambda kind: " or ".join(map(str, kind[1:])),
    "moment": lambda _: "a date such as 2024-01-31",
    "regex": lambda _: "a regular expression",
    "list": lambda _: "a list such as [a, b]",
    "mapping": lambda _: "keys and values such as {a: 1}",
}
