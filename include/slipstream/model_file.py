"""Reads model.yaml into a :class:`~slipstream.spec.ModelSpec`, with the line of whatever is wrong."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from slipstream import strict_yaml
from slipstream.errors import SpecError, shown
from slipstream.spec import ModelSpec

FILE = "model.yaml"

_STRING_DUE = "expected string, quote the value"


def load_spec(path: Path, *, allow_code: bool = False) -> ModelSpec:
    """The spec in *path*: a model.yaml, or the folder that holds one.

    Raises:
        SpecError: the text names file, line, key and remedy.
    """
    file = path / FILE if path.is_dir() else path
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise SpecError(f"{file}: no such model file.", code="spec_not_found") from error
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"{file}: cannot be read: {error}.", code="spec_not_readable") from error
    spec = parse_spec(text, f"{file.parent.name}/{file.name}")
    if spec.name != file.parent.name:
        folder = file.parent.name
        message = f"{folder}/{file.name}: name is {spec.name!r} but the folder is {folder!r}; make them equal."
        raise SpecError(message, code="spec_name_differs")
    return spec.at(file.parent.resolve(), allow_code=allow_code)


def load_specs(models: Path, *, allow_code: bool = False) -> Iterator[ModelSpec | SpecError]:
    """The spec of each project under *models*, by name; a wrong file yields its error and hides no other."""
    for file in sorted(models.glob(f"*/{FILE}")):
        try:
            yield load_spec(file, allow_code=allow_code)
        except SpecError as error:
            yield error


def find_spec(models: Path, name: str, *, allow_code: bool = False) -> ModelSpec:
    """The spec of the project called *name*.

    Raises:
        SpecError: ``spec_not_found`` with the names that there are, or whatever is wrong with the file.
    """
    known = sorted(file.parent.name for file in models.glob(f"*/{FILE}"))
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"Did you mean {near[0]!r}? " if near else ""
        message = f"No model is called {shown(name)}. {hint}Known in {models}: {', '.join(known) or 'none'}."
        raise SpecError(message, code="spec_not_found")
    return load_spec(models / name, allow_code=allow_code)


def parse_spec(text: str, name: str = FILE) -> ModelSpec:
    """The spec that *text* holds; *name* stands in errors for the file."""
    document = strict_yaml.parse(text, name)
    if not isinstance(document.value, dict):
        raise SpecError(f"{name}:1: expected keys and values, got {shown(document.value)}.")
    try:
        return ModelSpec.model_validate(document.value)
    except ValidationError as error:
        raise _explained(error, document, name) from error


def json_schema() -> dict[str, Any]:
    """The JSON Schema of model.yaml, for editors."""
    schema = ModelSpec.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Slipstream model file"}


def _explained(error: ValidationError, document: strict_yaml.Document, name: str) -> SpecError:
    problems, code = [], "spec_invalid"
    for problem in error.errors():
        place = tuple(part for part in problem["loc"] if _is_place(part, document, problem["loc"]))
        own = problem.get("ctx", {}).get("error")
        place += getattr(own, "place", ())
        text, found = _sentence(problem, place)
        code = getattr(own, "code", None) or found or code
        problems.append(f"{name}:{document.line(place)}: {'.'.join(map(str, place)) or 'file'}: {text}")
    return SpecError("\n".join(dict.fromkeys(problems)), code=code)


def _is_place(part: str | int, document: strict_yaml.Document, loc: tuple[str | int, ...]) -> bool:
    """Pydantic puts the names of union members and validators into places; those stand nowhere in the file."""
    return (
        isinstance(part, int) or (part == loc[-1] and "[" not in part) or any(part in place for place in document.lines)
    )


def _sentence(problem: Any, place: strict_yaml.Place) -> tuple[str, str | None]:
    kind, value = problem["type"], problem.get("input")
    if kind == "extra_forbidden":
        known = _fields(place[:-1])
        near = difflib.get_close_matches(str(place[-1]), known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}."
        return f"unknown key; {hint}", "spec_key_unknown"
    if kind == "missing":
        return "this key is missing.", "spec_key_missing"
    if kind == "string_type":
        return f"{_STRING_DUE} ({shown(value)}).", "spec_string_expected"
    text = str(problem["msg"]).removeprefix("Value error, ").rstrip("?.")
    if kind == "value_error":
        return (f"{text}?" if "did you mean" in text else f"{text}."), None
    return f"{text[0].lower()}{text[1:]} (got {shown(value)}).", None


def _fields(place: strict_yaml.Place) -> list[str]:
    """The keys that may stand at *place*."""
    model: Any = ModelSpec
    for part in place:
        known = _named(model)
        if isinstance(part, str) and part in known:
            model = _part_of(known[part].annotation)
    return list(_named(model))


def _named(model: Any) -> dict[str, Any]:
    """The fields of a model class by the keys that the file has for them."""
    return {field.alias or name: field for name, field in getattr(model, "model_fields", {}).items()}


def _part_of(annotation: Any) -> Any:
    """The model class inside an annotation such as ``X``, ``X | None`` or ``tuple[X, ...]``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for found in map(_part_of, getattr(annotation, "__args__", ())) if found), None)
