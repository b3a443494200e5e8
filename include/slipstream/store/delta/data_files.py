"""Where the data files of tables lie: in a folder, or in a bucket with a local cache of what was read."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from slipstream.errors import NotFound
from slipstream.store.bucket import Listed
from slipstream.store.delta.access import readable
from slipstream.store.delta.add_files import place_file
from slipstream.store.delta.checksums import CHECKSUMS, Checksums, named_digest
from slipstream.store.files import atomic_copy
from slipstream.store.location import Location


class TablePlaces:
    """The data files of a store's tables, one by one.

    Args:
        location: Of the store.
        cache: Folder for local copies of what lies in S3.
    """

    def __init__(self, location: Location, cache: Path) -> None:
        self.location = location
        self.cache = cache

    def uri(self, model: str, table: str) -> str:
        """The table's address, for any reader of Delta Lake."""
        return self.location.table_uri("tables", model, table)

    def names(self) -> set[tuple[str, str]]:
        """Model and name of every table that there is."""
        paths = (file.name.split("/") for file in self.location.listed("tables"))
        return {(parts[0], parts[1]) for parts in paths if len(parts) > 2}

    def listed(self, model: str, table: str) -> Iterator[Listed]:
        """Every data file in the table's folder, those of older versions too."""
        files = self.location.listed("tables", model, table)
        return (file for file in files if "/" not in file.name and file.name.endswith(".parquet"))

    def check(self, model: str, table: str, path: str) -> None:
        """Read the data file, not a copy in the cache.

        Raises:
            NotFound: it is gone.
            ChecksumMismatch: it is not what its name promises.
        """
        name = f"{self.uri(model, table)}/{path}"
        with readable(name):
            if self.location.root is not None:
                CHECKSUMS.checked(self.local(model, table, path), name, again=True)
                return
            with tempfile.TemporaryDirectory() as folder:
                self._download(self.location.object_key("tables", model, table, path), Path(folder) / path)
                Checksums().checked(Path(folder) / path, name)

    def restore(self, model: str, table: str, path: str, copy: Path) -> None:
        """Put the bytes of the file *copy* in place of the data file, whose name promises them."""
        place_file(self.location, self.uri(model, table), path, copy, again=True)

    def local(self, model: str, table: str, path: str) -> Path:
        """The file at *path* below the table as a local file; in S3, through the cache (data files never change)."""
        if self.location.root is not None:
            local = Path(self.uri(model, table)) / path
            if not local.exists():
                raise NotFound(f"{local}: the data file is gone; restore it from a backup.")
            return local
        key = self.location.object_key("tables", model, table, path)
        local = self.cache / hashlib.sha256(f"{self.location.url}/{key}".encode()).hexdigest()
        if local.exists() and not CHECKSUMS.of(local).startswith(named_digest(path)):
            local.unlink()  # only a copy, and a bad one
        if not local.exists():
            self._download(key, local)
        return local

    def _download(self, key: str, local: Path) -> None:
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "file"
            try:
                self.location.s3.download(key, copy)
            except NotFound as error:
                message = f"s3://{self.location.bucket}/{key}: the data file is gone; restore it from a backup."
                raise NotFound(message) from error
            atomic_copy(copy, local)
