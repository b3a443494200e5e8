"""The labels of a file's answers and those of the data: which column is which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from slipstream.errors import StageError, shown
from slipstream.spec.model import ModelSpec
from slipstream.training.labels import Label, match_label

_CODES: tuple[tuple[Any, ...], ...] = ((0, 1), (False, True), ("0", "1"), (0.0, 1.0))


@dataclass(frozen=True)
class MatchedLabels:
    """What the columns of the answers are.

    Attributes:
        classes: The labels of the model, in the order that the answers are given in; of a binary task the positive one
            last.
        order: Which column of the file's answer is each of them.
        notes: What is assumed, as sentences.
        named: Whether the file has labels of its own.
    """

    classes: tuple[Label, ...]
    order: tuple[int, ...]
    notes: tuple[str, ...] = ()
    named: bool = True


def match_labels(
    spec: ModelSpec, place: str, written: Sequence[Any] | None, count: int, classes: tuple[Label, ...]
) -> MatchedLabels:
    """Match *count* columns with the labels of the data.

    Args:
        spec: The model.
        place: The file's name, for messages.
        written: The file's labels; None if it has none.
        count: How many columns its answer has.
        classes: The labels of the data, of a binary task the positive one last.

    Raises:
        StageError: ``import_labels_differ``.
    """
    if spec.task == "binary" and count != 2:
        raise _differ(spec, place, f"it tells {count:,} classes apart", classes)
    if written is None or len(written) != count:
        return _unnamed(spec, place, count, classes)
    matched = [_match(label, classes) for label in written]
    if spec.task == "binary":
        return _two(spec, place, written, matched, classes)
    if None not in matched or any(label is not None for label in matched):
        return _many(spec, place, written, matched, classes)
    if list(written) == list(range(count)):
        return _unnamed(spec, place, count, classes)
    raise _differ(spec, place, f"its labels are {_listed(written)}", classes)


def _match(written: Any, classes: tuple[Label, ...]) -> Label | None:
    """The label of the data that the file writes so: itself, or 1 and 1.0 for true, true and 1.0 for 1."""
    kind = type(classes[0])
    if isinstance(written, bool | int | float) and issubclass(kind, bool | int) and written == kind(written):
        written = kind(written)
    return match_label(written, classes)


def _two(
    spec: ModelSpec, place: str, written: Sequence[Any], matched: list[Label | None], classes: tuple[Label, ...]
) -> MatchedLabels:
    if set(matched) == set(classes):
        return MatchedLabels(classes, tuple(matched.index(label) for label in classes))
    if tuple(written) in _CODES:
        note = f"The file's labels are {written[0]} and {written[1]}; {written[1]} is taken for {shown(classes[1])}."
        plain = {classes, tuple(map(str, classes))} & {*_CODES, ("False", "True")}
        return MatchedLabels(classes, (0, 1), () if plain else (note,))
    raise _differ(spec, place, f"its labels are {_listed(written)}", classes)


def _many(
    spec: ModelSpec, place: str, written: Sequence[Any], matched: list[Label | None], classes: tuple[Label, ...]
) -> MatchedLabels:
    """Labels of the file, in their order; one that the data does not hold stays as it is written."""
    kind = type(classes[0])
    labels = [label if label is not None else own for label, own in zip(matched, written, strict=True)]
    if any(type(label) is not kind for label in labels) or len(set(labels)) != len(labels):
        raise _differ(spec, place, f"its labels are {_listed(written)}", classes)
    unknown = [label for label in classes if label not in labels]
    foreign = [own for label, own in zip(matched, written, strict=True) if label is None]
    if unknown and foreign and kind is int:
        # Numbers of classes in place of the labels: every answer would be another one.
        raise _differ(spec, place, f"its labels are {_listed(written)}", classes)
    notes = [f"The file knows no {_listed(unknown)}: its probability is 0."] if unknown else []
    notes += [f"The file knows {_listed(foreign)}, which the data does not hold."] if foreign else []
    ordered = sorted(labels)
    return MatchedLabels(tuple(ordered), tuple(labels.index(label) for label in ordered), tuple(notes))


def _unnamed(spec: ModelSpec, place: str, count: int, classes: tuple[Label, ...]) -> MatchedLabels:
    """Columns without labels stand for the sorted labels of the data."""
    if count != len(classes):
        raise _differ(spec, place, f"it tells {count:,} classes apart", classes)
    ordered = sorted(classes)
    plain = tuple(ordered) in _CODES
    note = f"The file names no labels; its probabilities are taken to be of {_listed(ordered)}, in this order."
    order = tuple(ordered.index(label) for label in classes)
    return MatchedLabels(classes, order, () if plain else (note,), named=False)


def _differ(spec: ModelSpec, place: str, text: str, classes: tuple[Label, ...]) -> StageError:
    message = f"{place}: {text}; {spec.target!r} holds {_listed(classes)} here; give the model that was fitted on it."
    return StageError(message, code="import_labels_differ")


def _listed(labels: Sequence[Any]) -> str:
    listed = ", ".join(map(shown, labels[:20]))
    return f"{listed} and {len(labels) - 20:,} more" if len(labels) > 20 else listed
