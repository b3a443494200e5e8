"""A folder that MLflow wrote: which file holds the model, and what the signature says. MLflow is not imported."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipstream.errors import BundleError, shown
from slipstream.spec.strict_yaml import MAX_BYTES, parse

MLMODEL = "MLmodel"
_FILE_KEYS: Mapping[str, tuple[str, ...]] = {
    "onnx": ("data",),
    "lightgbm": ("data",),
    "xgboost": ("data",),
    "catboost": ("data",),
    "sklearn": ("pickled_model", "model_path", "data"),
}
"""Flavor -> the keys that may name its file."""


@dataclass(frozen=True)
class MlflowFolder:
    """What a folder says.

    Attributes:
        file: The model's file, relative to the folder.
        names: The inputs of the signature; None without one.
        described: The bytes of its ``MLmodel``.
    """

    file: str
    names: tuple[str, ...] | None
    described: bytes


def read_folder(folder: Path) -> MlflowFolder:
    """What the folder's ``MLmodel`` says.

    Raises:
        BundleError: ``mlflow_unusable``.
        SpecError: it is no YAML that can be read.
    """
    described = (folder / MLMODEL).read_bytes()[: MAX_BYTES + 1]
    place = f"{folder.name}/{MLMODEL}"
    document = parse(described.decode(errors="replace"), place).value
    flavors = document.get("flavors") if isinstance(document, dict) else None
    if not isinstance(flavors, dict):
        raise _unusable(place, "has no flavors; give a folder that mlflow.MODEL.save_model wrote")
    usable = {flavor: file for flavor in _FILE_KEYS for file in _file(flavors, flavor)}
    if not usable:
        known, there = ", ".join(_FILE_KEYS), ", ".join(map(shown, flavors)) or "none"
        raise _unusable(place, f"has the flavors {there}; import one of {known}")
    flavor, file = next(iter(usable.items()))
    _refuse_outside(folder, place, file)
    if not (folder / file).is_file():
        raise _unusable(place, f"flavor {flavor} names {shown(file)}, which is not there; copy the whole folder")
    if flavor == "sklearn" and not file.endswith(".skops"):
        remedy = "save it with serialization_format='skops', or convert it there: import joblib, skops.io; "
        raise _unusable(
            place,
            f"has only the pickle {shown(file)}, which runs code when it is read; {remedy}"
            f"skops.io.dump(joblib.load({file!r}), 'model.skops')",
        )
    return MlflowFolder(file, _names(place, document.get("signature")), described)


def _file(flavors: Mapping[str, Any], flavor: str) -> Iterator[str]:
    entry = flavors.get(flavor)
    named = [entry.get(key) for key in _FILE_KEYS[flavor]] if isinstance(entry, dict) else []
    yield from [file for file in named if isinstance(file, str)][:1]


def _refuse_outside(folder: Path, place: str, file: str) -> None:
    inside = (folder / file).resolve().is_relative_to(folder.resolve())
    if not inside or Path(file).is_absolute():
        raise _unusable(place, f"names {shown(file)}, which lies outside the folder; copy it into the folder")


def _names(place: str, signature: Any) -> tuple[str, ...] | None:
    """The columns that the signature names."""
    inputs = signature.get("inputs") if isinstance(signature, dict) else None
    if not isinstance(inputs, str):
        return None
    try:
        columns = json.loads(inputs)
        names = tuple(column.get("name") for column in columns)
    except (ValueError, AttributeError, TypeError) as error:
        raise _unusable(place, f"signature.inputs is no list of columns ({error}); write the model again") from error
    return names if names and all(isinstance(name, str) for name in names) else None


def _unusable(place: str, text: str) -> BundleError:
    return BundleError(f"{place}: {text}.", code="mlflow_unusable")
