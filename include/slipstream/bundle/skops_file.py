"""Fitted estimators as bytes: the skops format, made canonical, loaded only from a fixed list of types.

skops writes a zip of NumPy arrays and a JSON tree. Its bytes never repeat, because memory addresses name the members
and the zip keeps the time. :func:`dump` renames by order of appearance, fixes the dates and clears uninitialised
memory, so that equal estimators have equal bytes and equal digests, in every process. The file stays plain skops:
``skops.io.loads`` reads it.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import Any

from slipstream.bundle.project_code import NO_CODE, ProjectCode
from slipstream.bundle.trusted_types import TRUSTED
from slipstream.errors import BundleError, shown

MAX_BYTES = 2 << 30
MAX_MEMBERS = 1_000_000
_SCHEMA = "schema.json"
_EPOCH = (1980, 1, 1, 0, 0, 0)
_FORMATS = (
    (b"\x80", "pickle"),
    (b"\x89HDF", "h5"),
    (b"x\x9c", "joblib"),
    (b"x\x01", "joblib"),
    (b"x\x5e", "joblib"),
    (b"x\xda", "joblib"),
    (b"\x1f\x8b", "joblib"),
    (b"BZh", "joblib"),
    (b"\xfd7zXZ", "joblib"),
    (b"\x08", "onnx"),
)


def dump(estimator: Any, code: ProjectCode = NO_CODE) -> bytes:
    """The bytes of a fitted *estimator*; equal estimators give equal bytes.

    Args:
        estimator: A fitted estimator.
        code: The project's own code, whose classes and functions it may hold.

    Raises:
        BundleError: ``model_type_untrusted`` if :func:`load` would refuse it.
    """
    import skops.io

    try:
        written = skops.io.dumps(estimator)
    except (TypeError, NotImplementedError, RecursionError) as error:  # what it has no way to store
        raise BundleError(f"model: cannot be kept as skops: {error}.", code="model_type_untrusted") from error
    for path in filter(code.defines, _trusted(written, code)):
        module, _, name = path.rpartition(".")
        if not hasattr(import_module(module), name):  # skops takes a class by the name that it would be found by
            message = f"model: {shown(name)} is defined inside a function or class; move it to the top of model.py."
            raise BundleError(message, code="model_type_untrusted")
    return _canonical(written)


def load(data: bytes, code: ProjectCode = NO_CODE) -> Any:
    """The estimator that :func:`dump` wrote; no other format is tried.

    Args:
        data: What :func:`dump` wrote.
        code: The code that it was kept with; it is imported from here if the estimator needs it, and from nowhere else.

    Raises:
        BundleError: ``model_format_forbidden``, ``model_type_untrusted``, ``model_version_mismatch``,
            ``model_library_missing`` or ``model_code_not_loadable``.
    """
    import skops.io

    schema = _schema_of(data)
    _refuse_versions(schema)
    trusted = _trusted(data, code)
    _import(code, trusted)
    try:
        return skops.io.loads(data, trusted=trusted)
    except (TypeError, ValueError, KeyError, AttributeError, ImportError, RecursionError, zipfile.BadZipFile) as error:
        raise _unreadable(error) from error


def _unreadable(error: Exception) -> BundleError:
    """What an error of skops means."""
    if isinstance(error, ModuleNotFoundError):
        library = str(error.name or "").partition(".")[0]
        remedy = (
            "pip install --require-hashes -r requirements-boosting.txt" if library in _BOOSTING else "install it here"
        )
        return BundleError(f"model: needs {library!r}, which is not installed; {remedy}.", code="model_library_missing")
    return BundleError(f"model: damaged skops file: {shown(str(error))}.", code="model_format_forbidden")


_BOOSTING = ("lightgbm", "xgboost", "catboost", "imblearn")


def _trusted(data: bytes, code: ProjectCode) -> list[str]:
    """What may stand in a model with that *code*; raises BundleError if something else does."""
    import skops.io

    try:
        types = skops.io.get_untrusted_types(data=data)
    except (TypeError, ValueError, KeyError, AttributeError, ImportError, RecursionError) as error:
        raise _unreadable(error) from error
    own = {path for path in types if code.defines(path) and "<" not in path}
    extra = sorted(set(types) - set(TRUSTED) - own)
    if extra:
        raise BundleError(_untrusted(extra[0], bool(code.files)), code="model_type_untrusted")
    return [*TRUSTED, *own]


def _import(code: ProjectCode, trusted: Iterable[str]) -> None:
    """Import the modules of *code* that the model needs."""
    files = sorted({f"{path.split('.')[1]}.py" for path in trusted if code.defines(path)})
    for file in files:
        try:
            code.module(file)
        except Exception as error:  # own code may raise anything
            message = f"{file} of the model: {type(error).__name__}: {error}; install what it needs, or train it again."
            raise BundleError(message, code="model_code_not_loadable") from error


def _untrusted(path: str, has_code: bool) -> str:
    """Why that type or function must not stand in a model, and what to do."""
    name = path.rpartition(".")[2]
    if name == "<lambda>":
        return "model: holds a lambda, which cannot be stored; give it a name: def ... at the top of model.py."
    if path.startswith("__main__."):
        return f"model: {shown(name)} is defined in a notebook or script; move it to the project's model.py."
    where = "one of the project's model.py" if has_code else "an estimator of the allowed list"
    return f"model: type {shown(path)} isn't trusted; use {where}."


def _refuse_versions(schema: Any) -> None:
    import sklearn

    for node in _nodes(schema):
        content = node.get("content")
        fields = content.get("content") if isinstance(content, dict) else None
        recorded = fields.get("_sklearn_version") if isinstance(fields, dict) else None
        trained = str(recorded.get("content", "")).strip('"') if isinstance(recorded, dict) else sklearn.__version__
        if trained != sklearn.__version__:
            message = (
                f"model: trained with scikit-learn {trained[:20]}, running {sklearn.__version__}; "
                "train again, or serve with the lock that it was trained with."
            )
            raise BundleError(message, code="model_version_mismatch")


def _schema_of(data: bytes) -> Any:
    """The JSON tree of a skops file, after everything that is not one is refused."""
    if not data.startswith(b"PK\x03\x04"):
        kind = next((name for start, name in _FORMATS if data.startswith(start)), "unknown")
        raise BundleError(f"model: format '{kind}' isn't accepted; use skops.", code="model_format_forbidden")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            if len(members) > MAX_MEMBERS or sum(member.file_size for member in members) > MAX_BYTES:
                raise BundleError(f"model: unpacks to more than {MAX_BYTES} bytes.", code="model_format_forbidden")
            return json.loads(archive.read(_SCHEMA))
    except (KeyError, ValueError, RecursionError, zipfile.BadZipFile, NotImplementedError) as error:
        raise BundleError("model: a zip, but no skops file; use skops.", code="model_format_forbidden") from error


def _canonical(data: bytes) -> bytes:
    """The same skops file with nothing in it that differs between two writings of equal estimators."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as new:
        schema = json.loads(old.read(_SCHEMA))
        for name, renamed in _renumbered(schema).items():
            new.writestr(_member(renamed), _padding_cleared(old.read(name)))
        new.writestr(_member(_SCHEMA), json.dumps(schema, separators=(",", ":"), ensure_ascii=False))
    return buffer.getvalue()


def _padding_cleared(array: bytes) -> bytes:
    """A NumPy file without the bytes between the fields of a structure: in tree nodes they are whatever memory held."""
    if not array.startswith(b"\x93NUMPY") or b"('', '|V" not in array[:2048]:
        return array
    from numpy.lib import format as npy

    file = io.BytesIO(array)
    read = npy.read_array_header_1_0 if npy.read_magic(file) == (1, 0) else npy.read_array_header_2_0
    kind = read(file)[2]
    used = bytearray(kind.itemsize)
    for field, offset, *_ in (kind.fields or {}).values():
        used[offset : offset + field.itemsize] = b"\x01" * field.itemsize
    body = bytearray(array)
    for place in (place for place, taken in enumerate(used) if not taken):
        start = file.tell() + place
        body[start :: kind.itemsize] = bytes(len(range(start, len(body), kind.itemsize)))
    return bytes(body)


def _renumbered(schema: Any) -> dict[str, str]:
    """Number objects and members of *schema*, in place, by first appearance; returns old member name -> new one.

    Which arrays and objects are one and the same is part of the estimator and is kept. Plain JSON values lose their
    identity: whether Python shares two equal strings depends on the process.
    """
    ids: dict[int, int] = {}
    members: dict[str, str] = {}
    for node in _nodes(schema):
        if node.get("__loader__") == "SetNode":
            node["content"].sort(key=lambda member: json.dumps(_without_ids(member), sort_keys=True))
        if "__id__" in node:
            if node.get("__loader__") == "JsonNode":
                del node["__id__"]
            else:
                node["__id__"] = ids.setdefault(node["__id__"], len(ids) + 1)
        if "file" in node and node["file"] is not None:
            suffix = node["file"].rpartition(".")[2]
            node["file"] = members.setdefault(node["file"], f"{len(members)}.{suffix}")
    return members


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Every node of a skops tree, parents before children, in the order of the file; without recursion."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            if "__loader__" in node:
                yield node
            waiting.extend(reversed(node.values()))
        elif isinstance(node, list):
            waiting.extend(reversed(node))


def _without_ids(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _without_ids(value) for key, value in tree.items() if key not in {"__id__", "file"}}
    return [_without_ids(value) for value in tree] if isinstance(tree, list) else tree


def _member(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _EPOCH)
    info.external_attr = 0o644 << 16
    info.create_system = 3
    return info
