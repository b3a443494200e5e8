"""Reads model.yaml into a :class:`~slipstream.spec.model.ModelSpec`, or says all that is wrong with it, by line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from slipstream.errors import SpecError, shown
from slipstream.hints import nearest, similar
from slipstream.spec import strict_yaml
from slipstream.spec.backends import backend_problems
from slipstream.spec.columns import column_problems
from slipstream.spec.gates import gate_problems
from slipstream.spec.messages import sentence
from slipstream.spec.model import ModelSpec
from slipstream.spec.plain import FileValues
from slipstream.spec.values import Place, SpecProblem

FILE = "model.yaml"


def load_spec(path: Path, *, allow_code: bool = False, pools: Sequence[str] = ()) -> ModelSpec:
    """The spec in *path*: a model.yaml, or the folder that holds one.

    Args:
        path: The file or the folder.
        allow_code: Whether slots may name installed code.
        pools: Airflow's pools, as far as this installation knows them; none: any name is taken.

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
    folder = file.parent.name
    spec = parse_spec(text, f"{folder}/{file.name}", folder=folder, allow_code=allow_code, pools=pools)
    return spec.at(file.parent.resolve(), allow_code=allow_code)


def load_specs(models: Path, *, allow_code: bool = False, pools: Sequence[str] = ()) -> Iterator[ModelSpec | SpecError]:
    """The spec of each project under *models*, by name; a wrong file yields its error and hides no other."""
    for file in sorted(models.glob(f"*/{FILE}")):
        try:
            yield load_spec(file, allow_code=allow_code, pools=pools)
        except SpecError as error:
            error.model = file.parent.name
            yield error


def find_spec(models: Path, name: str, *, allow_code: bool = False, pools: Sequence[str] = ()) -> ModelSpec:
    """The spec of the project called *name*.

    Raises:
        SpecError: ``spec_not_found`` with the names that there are, or whatever is wrong with the file.
    """
    known = sorted(file.parent.name for file in models.glob(f"*/{FILE}"))
    if name not in known:
        near = similar(name, known)
        hint = f"Did you mean {near[0]!r}? " if near else ""
        message = f"No model is called {shown(name)}. {hint}Known in {models}: {', '.join(known) or 'none'}."
        raise SpecError(message, code="spec_not_found")
    return load_spec(models / name, allow_code=allow_code, pools=pools)


def parse_spec(text: str, name: str = FILE, **allowed: Any) -> ModelSpec:
    """The spec that *text* holds; *name* stands in errors for the file, *allowed* is as in :func:`load_spec`.

    Raises:
        SpecError: with a line for each mistake.
    """
    document = strict_yaml.read(text, name)
    if not isinstance(document.value, dict):
        got = "nothing" if document.value is None else "a list" if isinstance(document.value, list) else "one value"
        raise SpecError(f"{name}:1:1: expected keys and values such as name: flights, got {got}.")
    spec, problems = _validated(document)
    problems += _between(document, **allowed)
    if spec is None or problems or document.problems:
        raise _as_error(document, problems, name)
    return spec


def json_schema() -> dict[str, Any]:
    """The JSON Schema of model.yaml, for editors."""
    schema = ModelSpec.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Slipstream model file"}


_Found = list[tuple[strict_yaml.Mark, SpecProblem]]


def _validated(document: strict_yaml.Document) -> tuple[ModelSpec | None, _Found]:
    """The spec, and what is wrong with each value for itself."""
    try:
        return ModelSpec.model_validate(document.value), []
    except ValidationError as error:
        problems = error.errors()
    located: _Found = []
    for problem in problems:
        own = problem.get("ctx", {}).get("error")
        place = (*(part for part in problem["loc"] if part != "[key]"), *getattr(own, "place", ()))
        text, code = sentence(problem, place)
        code = getattr(own, "code", "") or code or "spec_invalid"
        mark = document.mark(place, key=problem["type"] == "extra_forbidden")
        located.append((mark, SpecProblem(text, *place, code=code)))
    return None, located


def _between(
    document: strict_yaml.Document, folder: str = "", allow_code: bool = False, pools: Sequence[str] = ()
) -> _Found:
    """What is wrong between values, and with those that name something."""
    values = FileValues(document.value)
    problems = [*column_problems(values), *gate_problems(values), *backend_problems(values, allow_code)]
    if folder and values.text("name") and values.text("name") != folder:
        message = f"name is {values.text('name')!r} but the folder is {folder!r}; make them equal"
        problems.append(SpecProblem(message, "name", code="spec_name_differs"))
    if pools and values.text("pool") and values.text("pool") not in pools:
        message = (
            f"no pool {shown(values.text('pool'))} is named in SLIPSTREAM_POOLS; {nearest(values.text('pool'), pools)}"
        )
        problems.append(SpecProblem(message, "pool", code="spec_pool_unknown"))
    return [(document.mark(problem.place), problem) for problem in problems]


def _as_error(document: strict_yaml.Document, problems: _Found, name: str) -> SpecError:
    """One line for each mistake, in the order of the file; of several about one value the first."""
    unread = {problem.place for _, problem in document.problems}
    first: dict[Place, tuple[strict_yaml.Mark, SpecProblem]] = {}
    for mark, problem in problems:
        around = any(place[: len(problem.place)] == problem.place for place in unread)
        if not around and not any(problem.place[:length] in unread for length in range(len(problem.place) + 1)):
            first.setdefault(problem.place, (mark, problem))
    for place in [place for place, (_, problem) in first.items() if problem.code == "spec_key_missing"]:
        # A key that is only misspelt is told of once.
        meant = f"did you mean {place[-1]!r}?"
        if any(other[:-1] == place[:-1] and str(problem).endswith(meant) for other, (_, problem) in first.items()):
            del first[place]
    ordered = sorted([*document.problems, *first.values()], key=lambda one: one[0])
    lines = [
        f"{name}:{line}:{column}: {'.'.join(map(str, problem.place)) or 'file'}: {_ended(str(problem))}"
        for (line, column), problem in ordered
    ]
    return SpecError("\n".join(lines), code=ordered[0][1].code)


def _ended(text: str) -> str:
    return text if text.endswith("?") else f"{text}."
