"""Immutable blobs named by their sha256: created if absent, verified whenever they are read."""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from typing_extensions import override

from slipstream.errors import ChecksumMismatch, NotFound, StoreError, shown
from slipstream.store.faultpoints import faultpoint
from slipstream.store.files import atomic_copy, atomic_move, atomic_write
from slipstream.store.location import Listed, Location

_DIGEST = re.compile(r"^[0-9a-f]{64}$")
_CHUNK = 1 << 20


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
        digest = hashlib.sha256(data).hexdigest()
        place = self.place(digest)
        if not place.exists():
            atomic_write(place, data)
        return digest

    @override
    def put_file(self, path: Path, digest: str = "") -> str:
        digest = digest or sha256_file(path)
        place = self.place(digest)
        if not place.exists():
            atomic_copy(path, place, digest)
        return digest

    @override
    def take_file(self, path: Path) -> str:
        digest = sha256_file(path)
        place = self.place(digest)
        if not place.exists():
            atomic_move(path, place)
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
        self.cache = LocalObjects(cache)
        self._client: Any = None

    @property
    def client(self) -> Any:
        """The boto3 client, made when it is first needed."""
        if self._client is None:
            self._client = self.location.s3_client()
        return self._client

    @override
    def put(self, data: bytes) -> str:
        digest = hashlib.sha256(data).hexdigest()
        if not self._exists(digest):
            with self._explained(digest, "PutObject"):
                self.client.put_object(Bucket=self.location.bucket, Key=self._key(digest), Body=data)
        return digest

    @override
    def put_file(self, path: Path, digest: str = "") -> str:
        digest = digest or sha256_file(path)
        if not self._exists(digest):
            with self._explained(digest, "PutObject"):
                self.client.upload_file(str(path), self.location.bucket, self._key(digest))
            if sha256_file(path) != digest:
                with self._explained(digest, "DeleteObject"):
                    self.client.delete_object(Bucket=self.location.bucket, Key=self._key(digest))
                raise StoreError(f"{path}: changed while it was copied; run again.", code="file_changed")
        return digest

    @override
    def get(self, digest: str) -> bytes:
        with self._explained(digest, "GetObject"):
            reply = self.client.get_object(Bucket=self.location.bucket, Key=self._key(digest))
            data: bytes = reply["Body"].read()
        _verify(digest, hashlib.sha256(data).hexdigest(), self._key(digest))
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
        with self._explained(digest, "PutObject"):
            self.client.upload_file(str(path), self.location.bucket, self._key(digest))

    @override
    def check(self, digest: str) -> None:
        # Not the copy in the cache.
        self.get(digest)

    @override
    def listed(self) -> Iterator[Listed]:
        return _digests(self.location.listed("objects"))

    def _fetch(self, digest: str) -> Path:
        place = self.cache.place(digest)
        with tempfile.TemporaryDirectory() as folder, self._explained(digest, "GetObject"):
            copy = Path(folder) / digest
            self.client.download_file(self.location.bucket, self._key(digest), str(copy))
            _verify(digest, sha256_file(copy), self._key(digest))
            atomic_copy(copy, place)
        return place

    def _exists(self, digest: str) -> bool:
        from botocore.exceptions import ClientError

        with self._explained(digest, "HeadObject"):
            try:
                self.client.head_object(Bucket=self.location.bucket, Key=self._key(digest))
            except ClientError as error:
                if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 404:
                    return False
                raise
            return True

    def _key(self, digest: str) -> str:
        return self.location.object_key("objects", _checked(digest)[:2], digest)

    @contextmanager
    def _explained(self, digest: str, request: str) -> Iterator[None]:
        """Say which request failed and why, without headers or credentials."""
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError

        name = f"s3://{self.location.bucket}/{self._key(digest)}"
        try:
            faultpoint("store.io")
            yield
        except ClientError as error:
            word = error.response.get("Error", {}).get("Code", "")
            if word in {"NoSuchKey", "404"}:
                raise NotFound(f"{name}: not in the store.") from error
            raise StoreError(f"{name}: {word} ({request}).", code="storage_request_refused") from error
        except (BotoCoreError, Boto3Error, OSError) as error:
            raise StoreError(f"{name}: {error} ({request}).", code="storage_unreachable") from error


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
