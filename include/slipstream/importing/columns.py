"""The inputs of a file and those of the model file: the same ones, by name or, without names, by their number."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from slipstream.errors import StageError, shown
from slipstream.importing.opened import OpenedModel
from slipstream.spec.model import ModelSpec


@dataclass(frozen=True)
class MatchedColumns:
    """The model file's inputs in the order of the file.

    Attributes:
        names: The inputs.
        categories: Input -> the values that the file's model knows.
        notes: What is assumed, as sentences.
    """

    names: tuple[str, ...]
    categories: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def match_columns(
    spec: ModelSpec, place: str, opened: OpenedModel, signature: tuple[str, ...] | None, rows: Any
) -> MatchedColumns:
    """Match the file's inputs with those of *spec*.

    Args:
        spec: The model.
        place: The file's name, for messages.
        opened: What the file says.
        signature: The names that stand beside the file; taken where it has none of its own.
        rows: Some rows of the data, as the model will be given them.

    Raises:
        StageError: ``import_inputs_differ`` or ``import_words_unknown``.
    """
    given = opened.names or signature
    names = tuple(spec.inputs) if given is None else _by_name(spec, place, given)
    if opened.width is not None and opened.width != len(names):
        message = (
            f"{place}: it takes {opened.width:,} inputs, the model file of {spec.name} has {len(names):,} "
            f"({_listed(spec.inputs)}); mend 'inputs', or give the model that was fitted on them."
        )
        raise StageError(message, code="import_inputs_differ")
    categories = {names[at]: values for at, values in opened.categories.items()}
    notes = []
    for at, name in enumerate(names):
        if opened.words is not None:
            unknown = _check_words(place, name, rows[name], categories.get(name), at in opened.words)
            if unknown and at in opened.cut:
                message = f"{place}: {unknown} {opened.library} writes categories beyond ASCII cut off, so that they "
                remedy = "are lost: fit it on their numbers, or have it fitted here (trainer: {type: xgboost})."
                raise StageError(message + remedy, code="import_words_unknown")
            notes += [unknown] if unknown else []
    listed = _listed(names)
    note = f"The file names no inputs; they are taken in the order of the model file: {listed}."
    notes += [note] if given is None and len(names) > 1 else []
    return MatchedColumns(names, categories, tuple(notes))


def _by_name(spec: ModelSpec, place: str, given: Sequence[str]) -> tuple[str, ...]:
    """The model file's names in the order of *given*; libraries write blanks and marks of a name as an underscore."""
    for written in (lambda name: name, lambda name: re.sub(r"\s", "_", name), lambda name: re.sub(r"\W", "_", name)):
        ours = {written(name): name for name in spec.inputs}
        if len(ours) == len(spec.inputs) == len(given) and ours.keys() == set(given):
            return tuple(ours[name] for name in given)
    absent = [name for name in given if name not in spec.inputs]
    unused = [name for name in spec.inputs if name not in given]
    parts = [f"it takes {_listed(given)}; the inputs of {spec.name} are {_listed(spec.inputs)}"]
    parts += [f"not among the inputs: {_listed(absent)}"] if absent else []
    parts += [f"not taken by it: {_listed(unused)}"] if unused else []
    message = f"{place}: {'; '.join(parts)}; mend 'inputs', or give the model that was fitted on them."
    raise StageError(message, code="import_inputs_differ")


def _check_words(place: str, name: str, column: Any, values: Sequence[Any] | None, takes_words: bool) -> str:
    """Refuse an input of words that the file's model cannot read, and numbers where it knows words.

    Returns:
        A sentence if rows hold values that the file does not know, else "".
    """
    here = column.dtype.kind == "O"
    if here and values is None and not takes_words:
        message = (
            f"{place}: input {name!r} holds words here, and the file does not say how they became numbers; make "
            "numbers of them in features.py, or bring the pipeline with its encoder as skops."
        )
        raise StageError(message, code="import_words_unknown")
    if values is not None and here != any(isinstance(value, str) for value in values):
        held, known = ("words", "numbers") if here else ("numbers", "words")
        message = f"{place}: input {name!r} holds {held} here, but was fitted on {known} ({_listed(values)})."
        raise StageError(message, code="import_words_unknown")
    if values is None:
        return ""
    present = column[column.notna()]
    unknown = present[~present.isin(list(values))]
    if len(unknown) and len(unknown) == len(present):
        message = (
            f"{place}: of input {name!r} it knows {_listed(values)}, and no row holds any of them "
            f"({_listed(unknown.unique().tolist())} are there); give the model that was fitted on such rows."
        )
        raise StageError(message, code="import_words_unknown")
    if not len(unknown):
        return ""
    others = _listed(sorted(unknown.unique().tolist())[:10])
    return f"Of input {name!r} it does not know {others}: {len(unknown) / len(present):.1%} of the rows hold such."


def _listed(names: Sequence[Any]) -> str:
    listed = ", ".join(shown(name) if isinstance(name, str) else str(name) for name in names[:30])
    return f"{listed} and {len(names) - 30:,} more" if len(names) > 30 else listed
