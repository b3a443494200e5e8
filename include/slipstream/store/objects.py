"""Immutable blobs named by their sha256: created if absent, verified whenever they are read."""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from typing_extensions import override

from slipstream.errors import ChecksumMismatch, NotFound, StoreError, shown
from slipstream.store.bucket import Listed
from slipstream.store.faultpoints import faultpoint
from slipstream.store.files import atomic_copy, atomic_move, atomic_write
from slipstream.store.location import Location

_DIGEST = re.compile(r"^[0-9a-f]{64}$")


def sha256_file(path: Path) -> str:
    """The sha256 of the file at *path*, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def canonical_json(value: Any) -> bytes:
    """JSON with sorted keys and no spaces: equal values give equal bytes. NaN is refused (ValueError)."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


class Objects(ABC):
    """A content-addressed blob store. A digest is the sha256 of the bytes, in hexadecimal."""

    @abstractmethod
    def put(self, data: bytes) -> str:
        """Keep *data*; returns its digest. Putting what is there already does nothing."""

    @abstractmethod
    def put_file(self, path: Path, digest: str = "") -> str:
        """Keep the bytes of the file at *path*, which stays where it is.

        Args:
            path: The file.
            digest: Its sha256, if it is known.

        Raises:
            StoreError: ``file_changed``: the bytes are not those of the digest (any more), or what the store says.
        """

    @abstractmethod
    def get(self, digest: str) -> bytes:
        """The bytes; raises NotFound, or ChecksumMismatch if they changed."""

    @abstractmethod
    def path(self, digest: str) -> Path:
        """A local file with the bytes, verified now; to be read, never written."""

    @abstractmethod
    def restore(self, digest: str, path: Path) -> None:
        """Put the bytes of the file at *path*, which have that *digest*, in place of what is there."""

    @abstractmethod
    def listed(self) -> Iterator[Listed]:
        """Every object that is there; the name is the digest that it should have."""

    def check(self, digest: str) -> None:
        """Read the object and raise as :meth:`path` does."""
        self.path(digest)

    def take_file(self, path: Path) -> str:
        """As :meth:`put_file`, of a file that nobody needs any more: it may be gone afterwards."""
        return self.put_file(path)

    def put_json(self, value: Any) -> str:
        """Keep *value* as canonical JSON (sorted keys), so that equal values have equal digests."""
        return self.put(canonical_json(value))

    def get_json(self, digest: str) -> Any:
        """The value that was kept by :meth:`put_json`."""
        return json.loads(self.get(digest))


class LocalObjects(Objects):
    """Blobs as files of a local folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @override
    def put(self, data: bytes) -> str:
        return self._placed(hashlib.sha256(data).hexdigest(), lambda place: atomic_write(place, data))

    @override
    def put_file(self, path: Path, digest: str = "") -> str:
        digest = digest or sha256_file(path)
        return self._placed(digest, lambda place: atomic_copy(path, place, digest))

    @override
    def take_file(self, path: Path) -> str:
        return self._placed(sha256_file(path), lambda place: atomic_move(path, place))

    def _placed(self, digest: str, write: Callable[[Path], None]) -> str:
        place = self.place(digest)
        if not place.exists():
            write(place)
        return digest

    @override
    def get(self, digest: str) -> bytes:
        place = self.place(digest)
        with self._readable(place):
            data = place.read_bytes()
        _verify(digest, hashlib.sha256(data).hexdigest(), str(place))
        return data

    @override
    def path(self, digest: str) -> Path:
        place = self.place(digest)
        with self._readable(place):
            actual = sha256_file(place)
        _verify(digest, actual, str(place))
        return place

    @override
    def restore(self, digest: str, path: Path) -> None:
        atomic_copy(path, self.place(digest), digest)

    @override
    def listed(self) -> Iterator[Listed]:
        return _digests(Location(self.folder.as_uri(), self.folder).listed())

    @contextmanager
    def _readable(self, place: Path) -> Iterator[None]:
        try:
            faultpoint("store.io")
            yield
        except FileNotFoundError as error:
            raise NotFound(f"objects/{place.name}: not in the store at {self.folder}.") from error
        except OSError as error:
            raise StoreError(f"{place}: cannot be read: {error}.", code="storage_not_readable") from error

    def place(self, digest: str) -> Path:
        """Where the bytes lie, or would lie."""
        return self.folder / _checked(digest)[:2] / digest


class S3Objects(Objects):
    """Blobs in a bucket, with a local cache of those that were asked for as files."""

    def __init__(self, location: Location, cache: Path) -> None:
        self.location = location
        self.bucket = location.s3
        self.cache = LocalObjects(cache)

    @override
    def put(self, data: bytes) -> str:
        digest = hashlib.sha256(data).hexdigest()
        key = self._key(digest)
        if not self.bucket.has(key):
            self.bucket.write(key, data)
        return digest

    @override
    def put_file(self, path: Path, digest: str = "") -> str:
        digest = digest or sha256_file(path)
        key = self._key(digest)
        if not self.bucket.has(key):
            self.bucket.upload(path, key)
            if sha256_file(path) != digest:
                self.bucket.delete(key)
                raise StoreError(f"{path}: changed while it was copied; run again.", code="file_changed")
        return digest

    @override
    def get(self, digest: str) -> bytes:
        key = self._key(digest)
        data = self.bucket.read(key)
        _verify(digest, hashlib.sha256(data).hexdigest(), key)
        return data

    @override
    def path(self, digest: str) -> Path:
        try:
            return self.cache.path(digest)
        except StoreError:
            return self._fetch(digest)

    @override
    def restore(self, digest: str, path: Path) -> None:
        _verify(digest, sha256_file(path), str(path))
        self.bucket.upload(path, self._key(digest))

    @override
    def check(self, digest: str) -> None:
        # Not the copy in the cache.
        self.get(digest)

    @override
    def listed(self) -> Iterator[Listed]:
        return _digests(self.location.listed("objects"))

    def _fetch(self, digest: str) -> Path:
        place = self.cache.place(digest)
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / digest
            self.bucket.download(self._key(digest), copy)
            _verify(digest, sha256_file(copy), self._key(digest))
            atomic_copy(copy, place)
        return place

    def _key(self, digest: str) -> str:
        return self.location.object_key("objects", _checked(digest)[:2], digest)


def _digests(files: Iterator[Listed]) -> Iterator[Listed]:
    for file in files:
        name = file.name.rpartition("/")[2]
        if _DIGEST.match(name):
            yield file._replace(name=name)


def _checked(digest: str) -> str:
    if not _DIGEST.match(digest):
        raise NotFound(f"objects: {shown(digest)} is no sha256 digest.")
    return digest


def _verify(expected: str, got: str, name: str) -> None:
    if expected != got:
        message = f"{name}: checksum differs (expected {expected[:12]}…, got {got[:12]}…); restore it from a backup."
        raise ChecksumMismatch(message)
