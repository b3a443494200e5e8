"""The target of a training: which labels there are, which of two is the positive one, and what they weigh."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from slipstream.errors import DataError, SpecError, shown
from slipstream.label_types import label_values
from slipstream.spec.model import ModelSpec
from slipstream.spec.strict_yaml import parse
from slipstream.spec.values import PAIRS

Label = bool | int | str


def classes_of(spec: ModelSpec, target: Any) -> tuple[Label, ...]:
    """The labels of *target*; of a binary task the other one, then the positive one; none for a regression.

    Raises:
        DataError: ``data_target_unusable``.
        SpecError: ``positive_missing`` or ``positive_unknown``.
    """
    if spec.task == "regression":
        if target.dtype.kind not in "iuf":
            raise _unusable(spec, f"holds {target.dtype} values, a regression needs numbers; mend it or change 'task'")
        return ()
    kinds = "a classification needs booleans, whole numbers or words"
    if target.dtype.kind not in "biufO":
        raise _unusable(spec, f"holds {target.dtype} values, {kinds}")
    values = label_values(target)
    if values.dtype.kind == "f":
        raise _unusable(spec, f"holds decimals, {kinds}")
    classes = tuple(sorted(set(values.tolist())))
    if len(classes) < 2:
        raise _unusable(spec, f"has 1 class ({classes[0]}) in the training rows; two are needed")
    return _two(spec, classes) if spec.task == "binary" else classes


def _two(spec: ModelSpec, classes: tuple[Label, ...]) -> tuple[Label, ...]:
    """The other label, then the positive one."""
    if len(classes) > 2:
        listed = ", ".join(map(str, classes[:5]))
        raise _unusable(spec, f"holds {len(classes)} values ({listed}); 'binary' needs two. Write task: multiclass")
    positive = _positive(spec, classes)
    return (next(label for label in classes if label != positive), positive)


def _unusable(spec: ModelSpec, text: str) -> DataError:
    return DataError(f"{spec.name}: target {spec.target!r} {text}.", code="data_target_unusable")


def coded(spec: ModelSpec, target: Any, classes: tuple[Label, ...]) -> Any:
    """What is fitted: of a binary task 1 for the positive label and 0 for the other; else the labels."""
    import numpy as np

    if spec.task != "binary":
        return target
    return (label_values(target) == classes[1]).astype(np.int64)


def weighed(spec: ModelSpec, trainer: Mapping[str, Any], classes: tuple[Label, ...]) -> dict[str, Any]:
    """The trainer's configuration with the labels of ``class_weight`` or ``class_weights`` as they are fitted.

    Raises:
        SpecError: ``spec_parameter_invalid``: a label that is none, or one named twice.
    """
    parameters = dict(trainer.get("parameters") or {})
    for name in ("class_weight", "class_weights"):
        if isinstance(parameters.get(name), Mapping):
            parameters[name] = _by_code(spec, name, parameters[name], classes)
    return {**trainer, "parameters": parameters} if "parameters" in trainer else dict(trainer)


def _by_code(spec: ModelSpec, name: str, weights: Mapping[Any, Any], classes: tuple[Label, ...]) -> dict[Any, Any]:
    """The weights of all labels, by what stands for each when it is fitted."""
    place = f"{spec.name}: train.trainer.parameters.{name}"
    listed = ", ".join(map(shown, classes))
    by_label: dict[Label, Any] = {}
    for key, weight in weights.items():
        label = match_label(key, classes)
        if label is None:
            message = f"{place}: {shown(key)} is no label of {spec.target!r}; it has {listed}."
            raise SpecError(message, code="spec_parameter_invalid")
        if label in by_label:
            message = f"{place}: label {shown(label)} is named twice, last as {shown(key)}; take one out."
            raise SpecError(message, code="spec_parameter_invalid")
        by_label[label] = weight
    codes = dict(zip(classes, (0, 1), strict=True)) if spec.task == "binary" else {label: label for label in classes}
    # As scikit-learn has it, a label that is not named weighs 1.
    return {codes[label]: by_label.get(label, 1) for label in classes}


def match_label(written_label: Any, classes: tuple[Label, ...]) -> Label | None:
    """The label that a model file means by *written_label*: itself, or the one that is written so."""
    same = [label for label in classes if type(label) is type(written_label) and label == written_label]
    written = [label for label in classes if _written(label) == _written(written_label)]
    return next(iter((*same, *written)), None)


def _positive(spec: ModelSpec, classes: tuple[Label, ...]) -> Label:
    if spec.positive is not None:
        label = match_label(spec.positive, classes)
        if label is None:
            message = (
                f"{spec.name}: positive: {shown(spec.positive)} is no label of {spec.target!r}; "
                f"it has {' and '.join(map(shown, classes))}."
            )
            raise SpecError(message, code="positive_unknown")
        return label
    words = {_written(label).lower(): label for label in classes}
    for other, positive in PAIRS:
        if words.keys() == {other, positive}:
            return words[positive]
    message = (
        f"{spec.name}: target {spec.target!r} holds {' and '.join(map(shown, classes))}; nothing says which of them "
        f"is meant by probabilities, precision and recall; write {_line(classes[1])} or {_line(classes[0])}."
    )
    raise SpecError(message, code="positive_missing")


def _line(label: Label) -> str:
    """The line of the model file that names *label*; quoted where YAML would read another value, such as 1 for 01."""
    plain = f"positive: {_written(label)}"
    try:
        if parse(plain, "").value == {"positive": label}:
            return plain
    except SpecError:
        pass
    return f"positive: {json.dumps(label, ensure_ascii=False)}"


def _written(label: Any) -> str:
    return str(label).lower() if isinstance(label, bool) else str(label)
