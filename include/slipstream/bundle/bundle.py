"""The bundle: the files of one model version, named by a signed manifest. Nothing in it depends on time or place.

A bundle's id is the digest of ``manifest.json``, which holds the sha256 and size of every other file, the name of the
key and the signature. Everything is verified before anything is loaded; a file more or less is refused like a changed
one. Bundles lie in the store as objects, or in a folder (inside a Bento) as files.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipstream.bundle import signing
from slipstream.bundle.project_code import FOLDER as CODE
from slipstream.bundle.project_code import is_code
from slipstream.compiler.program import PLAN, TREES
from slipstream.errors import BundleError, NotFound, shown
from slipstream.store import Store
from slipstream.store.files import atomic_write
from slipstream.store.objects import canonical_json

FORMAT = 1
MANIFEST = "manifest.json"
PUBLIC_KEY = "signer.pub"
FILES = (
    "model.skops",
    "schema.json",
    "golden.jsonl",
    "profile.parquet",
    "background.parquet",
    "card.json",
    "lineage.json",
)
"""Every bundle has these files."""

OPTIONAL = (PLAN, TREES)
"""A bundle of a model that was compiled has these too; one of a linear model has no trees. One of a model with code of
its own has that as ``code/*.py``."""


@dataclass(frozen=True)
class Bundle:
    """A verified bundle.

    Attributes:
        digest: Its id.
        model: The model's name.
        key: Name of the key that signed it.
        files: Name -> bytes, each as the manifest says.
        manifest: The manifest as it is kept.
        public: The public key, PEM.
    """

    digest: str
    model: str
    key: str
    files: Mapping[str, bytes]
    manifest: bytes
    public: bytes

    @property
    def size(self) -> int:
        """Bytes of all its files."""
        return sum(map(len, self.files.values()))

    def json(self, name: str) -> Any:
        """The parsed JSON file of that name."""
        return json.loads(self.files[name])

    def write(self, folder: Path) -> int:
        """Write all files to *folder*, so that :func:`read_bundle` reads them; returns their number."""
        whole = {**self.files, MANIFEST: self.manifest, PUBLIC_KEY: self.public}
        for name, data in whole.items():
            atomic_write(folder / name, data)
        return len(whole)


def save_bundle(store: Store, model: str, files: Mapping[str, bytes], key: signing.SigningKey) -> Bundle:
    """Sign *files* and keep them in the store; the same files and key give the same id."""
    if not set(FILES) <= set(files) or not all(map(_may_have, files)):
        raise BundleError(f"{model}: a bundle has the files {', '.join(FILES)}; got {', '.join(sorted(files))}.")
    entries = {name: {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)} for name, data in files.items()}
    content = {"format": FORMAT, "model": model, "files": entries}
    manifest = canonical_json({**content, "key": key.name, "signature": key.sign(canonical_json(content))})
    for data in files.values():
        store.objects.put(data)
    store.objects.put(key.public)
    return Bundle(store.objects.put(manifest), model, key.name, dict(files), manifest, key.public)


def open_bundle(store: Store, digest: str, pinned: frozenset[str] = frozenset()) -> Bundle:
    """The bundle of that id, verified: signature first, then every file.

    Args:
        pinned: Names of the only keys to believe; without any, those that the ledger records for the model.

    Raises:
        NotFound: ``bundle_not_found``.
        BundleError: ``model_digest_mismatch`` or ``model_signature_invalid``.
        ChecksumMismatch: an object is not what was written.
    """
    try:
        manifest = store.objects.get(digest)
    except NotFound as error:
        raise NotFound(f"The store has no bundle {shown(digest[:16])}.", code="bundle_not_found") from error
    content, name, signature = _parsed(manifest)
    public = signing.published_key(store, content["model"], name, pinned)
    signing.verify(public, signature, canonical_json(content))
    files = {}
    for file, entry in content["files"].items():
        try:
            files[file] = store.objects.get(entry["sha256"])
        except NotFound as error:
            raise BundleError(f"{file}: missing from the store; restore it from a backup.") from error
    return _checked(Bundle(digest, content["model"], name, files, manifest, public), content)


def read_bundle(folder: Path, pinned: frozenset[str] = frozenset()) -> Bundle:
    """The bundle in *folder*, verified; see :mod:`slipstream.bundle.signing` for what its own key proves.

    Raises:
        BundleError: ``model_digest_mismatch`` or ``model_signature_invalid``.
    """
    try:
        inner = [inside for inside in ((folder / PLAN).parent, folder / CODE) if inside.is_dir()]
        paths = [path for path in folder.iterdir() if path not in inner]
        paths += [path for inside in inner for path in inside.iterdir()]
        files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(paths)}
    except OSError as error:
        raise BundleError(f"{folder}: no bundle can be read here: {error.strerror}.") from error
    if MANIFEST not in files or PUBLIC_KEY not in files:
        raise BundleError(f"{folder}: {MANIFEST} or {PUBLIC_KEY} is missing; this is no bundle.")
    manifest, public = files.pop(MANIFEST), files.pop(PUBLIC_KEY)
    content, name, signature = _parsed(manifest)
    if hashlib.sha256(public).hexdigest() != name or (pinned and name not in pinned):
        message = f"{folder}: signed with key {shown(name[:16])}, which is not trusted here."
        raise BundleError(message, code="model_signature_invalid")
    signing.verify(public, signature, canonical_json(content))
    digest = hashlib.sha256(manifest).hexdigest()
    return _checked(Bundle(digest, content["model"], name, files, manifest, public), content)


def _may_have(name: str) -> bool:
    """Whether a bundle may have a file of that name."""
    return name in FILES or name in OPTIONAL or is_code(name)


def _parsed(manifest: bytes) -> tuple[dict[str, Any], str, str]:
    """What a manifest says, the name of its key and its signature."""
    try:
        content = json.loads(manifest)
        name, signature = str(content.pop("key")), str(content.pop("signature"))
        entries = content["files"].values()
        whole = content["format"] == FORMAT and all(set(entry) == {"sha256", "size"} for entry in entries)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BundleError(f"{MANIFEST}: is no manifest.") from error
    if not whole or not isinstance(content.get("model"), str):
        raise BundleError(f"{MANIFEST}: not of format {FORMAT}; package the model again.")
    return content, name, signature


def _checked(bundle: Bundle, content: Mapping[str, Any]) -> Bundle:
    """The same bundle, if it holds exactly the files of the format, each as *content* says."""
    for name in sorted(set(bundle.files) | set(content["files"]) | set(FILES)):
        if name not in bundle.files:
            raise BundleError(f"{name}: missing from the bundle of {bundle.model}.")
        if name not in content["files"] or not _may_have(name):
            raise BundleError(f"{shown(name)}: not a file of the bundle of {bundle.model}; remove it.")
        data, entry = bundle.files[name], content["files"][name]
        if len(data) != entry["size"] or hashlib.sha256(data).hexdigest() != entry["sha256"]:
            raise BundleError(f"{name}: digest differs (bundle of {bundle.model}); restore it from a backup.")
    return bundle
