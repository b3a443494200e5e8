"""The file that a model is imported from: found, read once, and told apart by what is in it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from slipstream.errors import BundleError, StageError, shown
from slipstream.importing import boosters, onnx_graph, sklearn_file
from slipstream.importing.lightgbm_text import open_lightgbm
from slipstream.importing.mlflow_folder import MLMODEL, read_folder
from slipstream.importing.opened import OpenedModel

MAX_BYTES = 1 << 30
_PICKLED = (".pkl", ".pickle", ".joblib", ".dill", ".cloudpickle")
_PICKLES = (b"\x80", b"x\x9c", b"x\x01", b"x\x5e", b"x\xda", b"\x1f\x8b", b"BZh", b"\xfd7zXZ")
KINDS = "skops, ONNX, LightGBM text, XGBoost JSON or UBJSON, CatBoost JSON or cbm, a folder of MLflow"


@dataclass(frozen=True)
class ModelFile:
    """A file, and what it came with.

    Attributes:
        name: Its name, or that of its folder and itself, for messages.
        content: Its bytes.
        names: The inputs that a signature beside it names; None without one.
        described: What stands beside it in an MLflow folder: the bytes of its ``MLmodel``; empty for a file alone.
    """

    name: str
    content: bytes
    names: tuple[str, ...] | None = None
    described: bytes = b""

    @property
    def sha256(self) -> str:
        """Digest of the file."""
        return hashlib.sha256(self.content).hexdigest()

    def opened(self) -> OpenedModel:
        """What it says of its model.

        Raises:
            BundleError: ``import_format_unknown``, ``import_damaged`` or what else is wrong with it.
            BackendError: ``missing_extra``.
        """
        return _opener(self.name, self.content)(self.name, self.content)


def read_model(path: Path) -> ModelFile:
    """The file at *path*, or of the MLflow folder there.

    Raises:
        StageError: ``import_not_found``.
        BundleError: ``import_pickle_refused``, ``import_too_large``, ``mlflow_unusable``.
        SpecError: ``MLmodel`` is no YAML that can be read.
    """
    if path.is_dir():
        if not (path / MLMODEL).is_file():
            message = f"{path}: a folder without {MLMODEL}; give a file, or a folder that MLflow wrote."
            raise StageError(message, code="import_not_found")
        folder = read_folder(path)
        name = f"{path.name}/{folder.file}"
        return ModelFile(name, _read(path / folder.file, name), folder.names, folder.described)
    return ModelFile(path.name, _read(path, path.name))


def _read(path: Path, name: str) -> bytes:
    if not path.is_file():
        raise StageError(f"{path}: no such file; give --from the path of a model.", code="import_not_found")
    if path.stat().st_size > MAX_BYTES:
        raise BundleError(f"{name}: larger than {MAX_BYTES:,} bytes; import a smaller one.", code="import_too_large")
    content = path.read_bytes()
    if path.suffix.lower() in _PICKLED or content.startswith(_PICKLES):
        target = f"{path.stem}.skops"
        message = (
            f"{name}: a pickle runs code when it is read, so it is not; where it was made, turn it into a file without "
            f'code by two lines:\n  import joblib, skops.io\n  skops.io.dump(joblib.load("{path.name}"), "{target}")'
        )
        raise BundleError(message, code="import_pickle_refused")
    return content


def _opener(name: str, content: bytes) -> Callable[[str, bytes], OpenedModel]:
    """What opens the file, by how it begins."""
    for begins, opener in _OPENERS:
        if begins(content):
            return opener
    hints = (text for start, text in _HINTS.items() if content.startswith(start))
    hint = next(hints, f"write it as one of: {KINDS}")
    raise BundleError(f"{shown(name)}: no model that is known; {hint}.", code="import_format_unknown")


def _json_with(*keys: bytes) -> Callable[[bytes], bool]:
    return lambda content: content.lstrip()[:1] == b"{" and any(key in content for key in keys)


_OPENERS: tuple[tuple[Callable[[bytes], bool], Callable[[str, bytes], OpenedModel]], ...] = (
    (lambda content: content.startswith(b"PK\x03\x04"), sklearn_file.open_skops),
    (lambda content: content.startswith(b"tree\n"), open_lightgbm),
    (lambda content: content.startswith(b"CBM1"), boosters.open_catboost),
    (lambda content: content.startswith(b"{L") or b'"learner"' in content[:64], boosters.open_xgboost),
    (_json_with(b'"oblivious_trees"', b'"features_info"'), boosters.open_catboost),
    (lambda content: content.startswith(b"\x08"), onnx_graph.open_onnx),
)
_HINTS = {
    b"binf": "XGBoost's old binary format: load it there and save_model('model.ubj')",
    b"bs64": "XGBoost's old binary format: load it there and save_model('model.ubj')",
    b"booster[": "XGBoost's dump cannot be read back: save_model('model.json')",
    b'{"name":"tree"': "LightGBM's dump cannot be read back: save_model('model.txt')",
    b"\x89HDF": "a Keras model: write it as ONNX",
}
