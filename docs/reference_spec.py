"""The reference of model.yaml, from the classes that parse it."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from pydantic import BaseModel

from slipstream.spec.model import ModelSpec

if typing.TYPE_CHECKING:
    from pydantic.fields import FieldInfo

_WORDS = {str: "text", int: "whole number", float: "number", bool: "true or false", timedelta: "duration"}
_SIGNS = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}


def spec() -> Iterator[str]:
    """One table for each part of the file."""
    yield from _part(ModelSpec, "")


def keys() -> list[str]:
    """The full name of every key: ``train.trainer``, ``gates[].bound`` ..."""
    return [line.split("`")[1] for line in spec() if line.startswith("| `")]


def _part(part: type[BaseModel], place: str) -> Iterator[str]:
    title = place.rstrip(".") or "The top of the file"
    yield f"### {title if not place else f'`{title}`'}\n\n{(part.__doc__ or '').strip()}\n"
    yield "| key | value | default | meaning |\n|---|---|---|---|"
    nested = []
    for own, field in part.model_fields.items():
        name = field.alias or own
        inner = _inner(field.annotation)
        suffix = "[]" if _is_list(field.annotation) and inner else ""
        yield f"| `{place}{name}{suffix}` | {_kind(field)} | {_default(field)} | {_meaning(part, field, inner)} |"
        if inner:
            nested.append((inner, f"{place}{name}{suffix}."))
    yield ""
    for inner, where in nested:
        yield from _part(inner, where)


def _inner(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for found in map(_inner, typing.get_args(annotation)) if found), None)


def _is_list(annotation: Any) -> bool:
    return typing.get_origin(annotation) is tuple


def _kind(field: FieldInfo) -> str:
    bounds = [f"{_SIGNS[n]} {_number(getattr(m, n))}" for m in field.metadata for n in _SIGNS if hasattr(m, n)]
    return " ".join([_word(field.annotation), *bounds])


def _number(bound: float) -> str:
    return f"{bound:,}" if isinstance(bound, int) else f"{bound:g}"


def _word(annotation: Any) -> str:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _word(arguments[0])
    if origin is typing.Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_word(one) for one in arguments if one is not type(None))
    if origin is tuple:
        return f"list of {_word(arguments[0])}"
    if origin is dict or annotation is dict:
        return "back end"
    if _inner(annotation):
        return "keys below"
    return _WORDS.get(annotation, str(annotation))


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    value = field.get_default(call_default_factory=True)
    if value is None or isinstance(value, BaseModel) or value in ("", ()):
        return ""
    if isinstance(value, dict):
        return f"`{{{', '.join(f'{key}: {entry}' for key, entry in value.items())}}}`"
    if isinstance(value, timedelta):
        return f"`{value.days}d`" if value.days else f"`{value.seconds // 3600}h`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value[0] if isinstance(value, tuple) and len(value) == 1 else value}`"


def _meaning(part: type[BaseModel], field: FieldInfo, inner: type[BaseModel] | None) -> str:
    said = field.description or (inner.__doc__ if inner else part.__doc__) or ""
    return " ".join(said.split()).replace("|", "\\|")
