"""What pydantic says of a model file, for people who never saw its words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from slipstream.hints import near_word, nearest
from slipstream.spec.model import ModelSpec
from slipstream.spec.values import Place, as_written

_INSTEAD: dict[Place, str] = {
    ("schedule", "train"): (
        "there is no such key any more; trainings are asked for by the policy: "
        "write retrain.cron, retrain.rows or retrain.drift"
    ),
    ("monitor", "retrain"): "there is no such key any more; write retrain.drift and retrain.quality",
    ("data", "columns"): "unknown key; did you mean 'schema'?",
}
"""Keys that there were or that people look for, and what is written in their place."""
_EXPECTED = {
    "tuple_type": "a list such as [a, b]",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "finite_number": "a number that is not infinite",
}
_NAME = (
    "a name has small letters, digits, '.', '_' and '-', begins with a letter or a digit and has at most 64 characters"
)
_LIMITS = {
    "greater_than": ("above {}", "gt"),
    "greater_than_equal": ("of at least {}", "ge"),
    "less_than": ("below {}", "lt"),
    "less_than_equal": ("of at most {}", "le"),
}


def sentence(problem: Any, place: Place) -> tuple[str, str]:
    """What is wrong, in a sentence without its stop, and the stable code of it."""
    kind, value, context = problem["type"], problem.get("input"), problem.get("ctx", {})
    match kind:
        case "extra_forbidden":
            return _unknown_key(place), "spec_key_unknown"
        case "missing":
            return f"this key is missing ({_meaning(place)})", "spec_key_missing"
        case "string_type":
            return _text_due(value), "spec_string_expected"
        case "value_error":
            return str(problem["msg"]).removeprefix("Value error, ").rstrip("."), ""
    return _due(kind, value, context, place) or f"{problem['msg']}, got {as_written(value)}", ""


def _due(kind: str, value: Any, context: Any, place: Place) -> str:
    """What was expected in place of *value*."""
    if kind == "literal_error":
        choices = context["expected"].replace("'", "")
        return f"expected {choices}, got {as_written(value)}{_near(value, context['expected'])}"
    if kind == "string_pattern_mismatch":
        return f"{_NAME}; got {as_written(value)}{_as_name(value)}"
    if kind in {"model_type", "dict_type"}:
        return f"expected keys and values{_example(place)}, got {as_written(value)}"
    if kind in _EXPECTED:
        return f"expected {_EXPECTED[kind]}, got {as_written(value)}{_as_kind(kind, value)}"
    if kind in _LIMITS:
        words, name = _LIMITS[kind]
        percent = kind == "less_than_equal" and context[name] == 1 and value <= 100
        share = f"; did you mean {value / 100:g}?" if percent else ""
        bound = f"{context[name]:,}" if isinstance(context[name], int) else f"{context[name]:g}"
        return f"expected a number {words.format(bound)}, got {as_written(value)}{share}"
    return _length(kind, context, value)


def _length(kind: str, context: Any, value: Any) -> str:
    """What is wrong with the length of a text or a list."""
    if kind == "string_too_short":
        return "expected a text that is not empty"
    if kind == "string_too_long":
        return f"expected a text of at most {context['max_length']} characters, got {len(value)}"
    if kind == "too_short":
        return "expected a list with at least one entry"
    if kind == "too_long":
        return f"expected a list of at most {context['max_length']} entries, got {context['actual_length']}"
    return ""


def _text_due(value: Any) -> str:
    if isinstance(value, bool | int | float):
        written = str(value).lower() if isinstance(value, bool) else value
        return f"expected a text, got {written}; put quotes around it"
    if isinstance(value, list):
        hint = f"; write {value[0]} alone" if len(value) == 1 and isinstance(value[0], str) else ""
        return f"expected one text, got the list {as_written(value)}{hint}"
    return f"expected a text, got {as_written(value)}"


def _as_kind(kind: str, value: object) -> str:
    """The hint of how a text is written as what was meant."""
    if not isinstance(value, str):
        return ""
    if kind == "tuple_type":
        return f"; write [{value}]"
    if kind == "bool_type":
        meant = {"yes": "true", "on": "true", "no": "false", "off": "false"}.get(value.lower(), value.lower())
        return f"; write {meant}" if meant in {"true", "false"} else ""
    return "; take the quotes off" if re.fullmatch(r"[-+]?[0-9]+(\.[0-9]+)?", value) else ""


def _as_name(value: object) -> str:
    """The name that is nearest to a text that is none."""
    name = re.sub(r"[^a-z0-9._-]+", "-", str(value).lower()).strip("-._")[:64]
    return f"; did you mean {name!r}?" if name else ""


def _meaning(place: Place) -> str:
    """What a key says, in the words of its documentation."""
    model: Any = ModelSpec
    for part in place[:-1]:
        # A name of the file's own, such as that of a joined table, leads nowhere.
        model = _part_of(named(model)[part].annotation) if part in named(model) else model
    field = named(model)[str(place[-1])]
    description = field.description or getattr(_part_of(field.annotation), "__doc__", "") or ""
    first = description.partition(". ")[0].replace("`", "").strip().rstrip(".")
    return f"{first[:1].lower()}{first[1:]}"


def _near(value: Any, expected: str) -> str:
    known = [word.strip("'") for word in expected.replace(" or ", ", ").split(", ")]
    near = near_word(str(value), known)
    return f"; did you mean {near!r}?" if near else ""


def _example(place: Place) -> str:
    """How the part at *place* can be written, where it is a back end."""
    examples = {
        "source": "{type: files, path: ...}",
        "trainer": "{type: sklearn, estimator: ...}",
        "explain": "{type: permutation}",
        "target": "{type: endpoint}",
        "alerts": "{type: log}",
        "trackers": "{type: jsonl, path: ...}",
    }
    keys = [part for part in place if isinstance(part, str)]
    if keys and keys[-1] in examples:
        return f" such as {examples[keys[-1]]}"
    known = fields(place)
    return f" such as {known[0]}: ..." if known and isinstance(place[-1], str) else ""


def _unknown_key(place: Place) -> str:
    if place in _INSTEAD:
        return _INSTEAD[place]
    key, known = str(place[-1]), fields(place[:-1])
    elsewhere = [".".join(path) for path in _everywhere(ModelSpec, ()) if path[-1] == key]
    if elsewhere and not near_word(key, known, cutoff=0.8):
        return f"this key does not stand here; did you mean {' or '.join(elsewhere[:3])}?"
    return f"unknown key; {nearest(key, known)}"


def _everywhere(model: Any, place: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Every key that a model file may have, with the keys that lead to it."""
    for key, field in named(model).items():
        yield (*place, key)
        inner = _part_of(field.annotation)
        if inner and key not in {"schema", "join"}:
            yield from _everywhere(inner, (*place, key))


def fields(place: Place) -> list[str]:
    """The keys that may stand at *place*."""
    model: Any = ModelSpec
    for part in place:
        known = named(model)
        if isinstance(part, str) and part in known:
            model = _part_of(known[part].annotation)
    return list(named(model))


def named(model: Any) -> dict[str, Any]:
    """The fields of a model class by the keys that the file has for them."""
    return {field.alias or name: field for name, field in getattr(model, "model_fields", {}).items()}


def _part_of(annotation: Any) -> Any:
    """The model class inside an annotation such as ``X``, ``X | None`` or ``tuple[X, ...]``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((part for part in map(_part_of, getattr(annotation, "__args__", ())) if part), None)
