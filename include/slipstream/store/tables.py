"""Delta tables of a model: data, quarantine, predictions, labels, monitoring. Append-only, exactly once per key.

Which files make up a dataset version stands in its manifest (see :mod:`slipstream.store.datasets`), so a reader needs
no lock, and an append that was never recorded in the ledger is seen by nobody.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slipstream.errors import ChecksumMismatch, Conflict, NotFound
from slipstream.store.delta import back_off, lost_race, open_table
from slipstream.store.delta_files import add_file, replace_files
from slipstream.store.faultpoints import faultpoint
from slipstream.store.files import atomic_copy
from slipstream.store.location import Location
from slipstream.store.objects import sha256_file
from slipstream.store.stream import Stream

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import CommitProperties, DeltaTable

TARGET_FILE_BYTES = 64 << 20
ATTEMPTS = 30


@dataclass(frozen=True)
class TableFile:
    """One data file of a table: its path below the table, and what it must be."""

    path: str
    sha256: str
    rows: int
    bytes: int


class Tables:
    """The Delta tables of a store."""

    def __init__(self, location: Location, cache: Path) -> None:
        self.location = location
        self.cache = cache

    def append(self, model: str, table: str, data: pa.Table | Path, key: str) -> tuple[TableFile, ...]:
        """Append *data* (an Arrow table, or a Parquet file) once for this *key*; returns the files that the key added.

        A second call with the same key appends nothing and returns the same files. New columns widen the table.

        Raises:
            Conflict: other writers won every attempt.
            StoreError: the store cannot be written.
        """
        return self._once(model, table, key, "appends", lambda: self._commit(model, table, data, key))

    def replace(self, model: str, table: str, files: Sequence[Path], key: str) -> tuple[TableFile, ...]:
        """Put these Parquet *files* in place of all that the table holds, once for this *key*; returns them in order.

        Earlier versions of the table stay readable, and so do the files that they are made of. All files have the same
        columns, which become the table's.

        Raises:
            Conflict: other writers won every attempt.
            StoreError: the store cannot be written.
        """

        def commit() -> None:
            opened = self._open(model, table)
            if opened is None:
                raise NotFound(f"tables/{model}/{table}: there is no such table yet.")
            faultpoint("tables.before_commit")
            replace_files(self.location, self.uri(model, table), opened, files, _properties(key))
            faultpoint("tables.after_commit")

        found = self._once(model, table, key, "replacements", commit)
        order = {sha256_file(file): place for place, file in reversed(list(enumerate(files)))}
        return tuple(sorted(found, key=lambda file: order.get(file.sha256, len(order))))

    def _once(self, model: str, table: str, key: str, what: str, commit: Callable[[], object]) -> tuple[TableFile, ...]:
        """The files that *key* added, by *commit* unless they are there; tried again where another writer was first."""
        from deltalake.exceptions import DeltaError

        for attempt in range(ATTEMPTS):
            found = self._appended(model, table, key)
            if found is not None:
                return found
            try:
                commit()
            except (DeltaError, OSError) as error:
                if lost_race(error, self.uri(model, table)):
                    back_off(attempt)
        raise Conflict(f"tables/{model}/{table}: {ATTEMPTS} {what} lost against other writers; run again.")

    def stream(self, model: str, table: str) -> Stream:
        """The table, to append to again and again."""
        return Stream(self.location, self.uri(model, table))

    def holding(self, model: str, table: str, column: str, values: Sequence[str]) -> list[str]:
        """Local paths of the files that, by their statistics, may hold one of *values* in the text *column*."""
        import pyarrow as pa

        opened = self._open(model, table)
        if opened is None:
            return []
        told = pa.table(opened.get_add_actions(flatten=True)).to_pydict()
        unknown = [None] * len(told["path"])
        ends = (told.get(f"{end}.{column}", unknown) for end in ("min", "max"))
        files = zip(told["path"], *ends, strict=True)
        found = [path for path, low, high in files if low is None or any(low <= one <= high for one in values)]
        return [str(self._fetched(model, table, path)) for path in found]

    def paths(self, model: str, table: str) -> list[str]:
        """Local paths of all files of the table as it is now, not verified; empty if there is no such table."""
        return [str(self._fetched(model, table, path)) for path in _added(self._open(model, table))]

    def uri(self, model: str, table: str) -> str:
        """The table's address, for any reader of Delta Lake."""
        return self.location.table_uri("tables", model, table)

    def files(self, model: str, table: str) -> tuple[TableFile, ...]:
        """All files of the table as it is now, oldest first; empty if there is no such table. Checksums are of now."""
        opened = self._open(model, table)
        return () if opened is None else self._described(model, table, _added(opened))

    def newest(self, model: str, table: str, rows: int) -> tuple[TableFile, ...]:
        """The files that were written last, as many as it takes to hold *rows* rows; empty without such a table."""
        import pyarrow as pa

        opened = self._open(model, table)
        if opened is None:
            return ()
        told = pa.table(opened.get_add_actions(flatten=True)).to_pydict()
        files = sorted(zip(told["modification_time"], told["path"], told["num_records"], strict=True), reverse=True)
        taken: dict[str, int] = {}
        for _, path, count in files:
            if sum(taken.values()) >= rows:
                break
            taken[path] = count
        return self._described(model, table, taken)

    def local_files(self, model: str, table: str, files: Sequence[TableFile]) -> list[str]:
        """Local paths of *files*, each verified against its checksum now; for DuckDB's ``read_parquet``.

        Raises:
            NotFound: a file is gone.
            ChecksumMismatch: a file is not what was committed.
        """
        return [str(self._verified(model, table, file)) for file in files]

    def _commit(self, model: str, table: str, data: pa.Table | Path, key: str) -> None:
        from deltalake import write_deltalake

        opened = self._open(model, table)
        properties = _properties(key)
        target: Any = opened if opened is not None else self.uri(model, table)
        options = None if opened is not None else self.location.delta_options()
        faultpoint("tables.before_commit")
        if isinstance(data, Path):
            add_file(self.location, self.uri(model, table), opened, data, properties)
            faultpoint("tables.after_commit")
            return
        write_deltalake(
            target,
            data,
            mode="append" if opened is not None else "error",
            schema_mode="merge" if opened is not None else None,
            storage_options=options,
            commit_properties=properties,
            target_file_size=TARGET_FILE_BYTES,
        )
        faultpoint("tables.after_commit")

    def _open(self, model: str, table: str, version: int | None = None) -> DeltaTable | None:
        return open_table(self.location, self.uri(model, table), version)

    def _appended(self, model: str, table: str, key: str) -> tuple[TableFile, ...] | None:
        """The files that an earlier append with this key added; None if there was none."""
        opened = self._open(model, table)
        if opened is None or opened.transaction_version(key) is None:
            return None
        for commit in opened.history():
            if commit.get("slipstream_key") == key:
                version = int(commit["version"])
                after = _added(self._open(model, table, version))
                before = _added(self._open(model, table, version - 1)) if version else {}
                return self._described(model, table, {p: n for p, n in after.items() if p not in before})
        raise NotFound(f"tables/{model}/{table}: the commit of key {key} is no longer in the table's history.")

    def _described(self, model: str, table: str, added: dict[str, int]) -> tuple[TableFile, ...]:
        described = []
        for path, rows in added.items():
            local = self._fetched(model, table, path)
            described.append(TableFile(path, sha256_file(local), rows, local.stat().st_size))
        return tuple(sorted(described, key=lambda file: (file.sha256, file.path)))

    def _verified(self, model: str, table: str, file: TableFile) -> Path:
        local = self._fetched(model, table, file.path)
        got = sha256_file(local)
        if got != file.sha256:
            name = f"{self.uri(model, table)}/{file.path}"
            raise ChecksumMismatch(
                f"{name}: checksum differs (expected {file.sha256[:12]}…, got {got[:12]}…); restore it from a backup."
            )
        return local

    def _fetched(self, model: str, table: str, path: str) -> Path:
        """The file at *path* below the table as a local file; in S3, through the cache (data files never change)."""
        if self.location.root is not None:
            local = Path(self.uri(model, table)) / path
            if not local.exists():
                raise NotFound(f"{local}: the data file is gone; restore it from a backup.")
            return local
        key = self.location.object_key("tables", model, table, path)
        local = self.cache / hashlib.sha256(f"{self.location.url}/{key}".encode()).hexdigest()
        if not local.exists():
            self._download(key, local)
        return local

    def _download(self, key: str, local: Path) -> None:
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "file"
            self.location.s3_client().download_file(self.location.bucket, key, str(copy))
            atomic_copy(copy, local)


def _properties(key: str) -> CommitProperties:
    """A commit that is made once for its *key*, and only upon the version that was read."""
    from deltalake import CommitProperties, Transaction

    return CommitProperties(
        custom_metadata={"slipstream_key": key},
        app_transactions=[Transaction(app_id=key, version=1)],
        max_commit_retries=0,
    )


def _added(table: DeltaTable | None) -> dict[str, int]:
    """Path -> rows of every file of the table, as this version of it has them."""
    import pyarrow as pa

    if table is None:
        return {}
    actions = pa.table(table.get_add_actions(flatten=True)).to_pydict()
    return dict(zip(actions["path"], actions["num_records"], strict=True))
