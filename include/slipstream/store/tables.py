"""Delta tables of a model: data, quarantine, predictions, labels, monitoring. Append-only, exactly once per key.

Which files make up a dataset version stands in its manifest (see :mod:`slipstream.store.datasets`), so a reader needs
no lock, and an append that was never recorded in the ledger is seen by nobody. A file is read once its bytes were held
against the checksum in its name or in the manifest; the log, against the table's head.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from slipstream.errors import ChecksumMismatch, Conflict, NotFound
from slipstream.store.delta.access import back_off, lost_race, open_table, readable
from slipstream.store.delta.add_files import (
    add_file,
    add_parts,
    around_commit,
    committed_once,
    has_commit,
    replace_files,
)
from slipstream.store.delta.checksums import CHECKSUMS, named_digest
from slipstream.store.delta.data_files import TablePlaces
from slipstream.store.delta.heads import check_table_head, read_head, write_table_head
from slipstream.store.delta.stream import Stream
from slipstream.store.faultpoints import faultpoint
from slipstream.store.objects import sha256_file

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import DeltaTable

ATTEMPTS = 30


@dataclass(frozen=True)
class TableFile:
    """One data file of a table: its path below the table, and what it must be."""

    path: str
    sha256: str
    rows: int
    bytes: int


class Sound(NamedTuple):
    """Files of a table.

    Attributes:
        files: Those that are what was written, in the order of their checksums.
        damaged: Names of the others.
    """

    files: tuple[TableFile, ...]
    damaged: tuple[str, ...]


def left_out(damaged: Sequence[str]) -> str:
    """What is said where *damaged* files were left out; "" if none were."""
    if not damaged:
        return ""
    files = "file is" if len(damaged) == 1 else "files are"
    return f"{len(damaged)} damaged data {files} left out (slipstream verify names them)"


class Tables(TablePlaces):
    """The Delta tables of a store."""

    def append(self, model: str, table: str, data: pa.Table | Path, key: str) -> tuple[TableFile, ...]:
        """Append *data* (an Arrow table, or a Parquet file) once for this *key*; returns the files that the key added.

        A second call with the same key appends nothing and returns the same files. New columns widen the table.

        Raises:
            Conflict: other writers won every attempt.
            StoreError: the store cannot be written.
        """
        return self._once(model, table, key, "appends", lambda opened: self._commit(model, table, opened, data, key))

    def append_parts(self, model: str, table: str, parts: Mapping[str, Path], key: str) -> tuple[TableFile, ...]:
        """Append Parquet files once for this *key*, in one commit, each once for its own key too; returns those added.

        Args:
            model: The model.
            table: The table.
            parts: Key of a file -> the file; one whose key an earlier commit had is left out.
            key: A second call with it appends nothing and returns the same files.

        Raises:
            DataError: ``table_types_differ``.
            Conflict, StoreError: as for :meth:`append`.
        """

        def commit(opened: DeltaTable | None) -> bool:
            new = {part: file for part, file in parts.items() if not has_commit(opened, part)}
            faultpoint("tables.before_commit")
            if new:
                add_parts(self.location, self.uri(model, table), opened, new, key)
            faultpoint("tables.after_commit")
            return bool(new)

        return self._once(model, table, key, "appends", commit)

    def new_parts(self, model: str, table: str, keys: Sequence[str]) -> tuple[str, ...]:
        """Those of *keys* under which nothing was appended yet."""
        opened = self._open(model, table)
        return tuple(key for key in keys if not has_commit(opened, key))

    def replace(self, model: str, table: str, files: Sequence[Path], key: str) -> tuple[TableFile, ...]:
        """Put these Parquet *files* in place of all that the table holds, once for this *key*; returns them in order.

        Earlier versions of the table stay readable, and so do the files that they are made of. All files have the same
        columns, which become the table's.

        Raises:
            Conflict: other writers won every attempt.
            StoreError: the store cannot be written.
        """

        def commit(opened: DeltaTable | None) -> None:
            if opened is None:
                raise NotFound(f"tables/{model}/{table}: there is no such table yet.")
            faultpoint("tables.before_commit")
            replace_files(self.location, self.uri(model, table), opened, files, committed_once(key))
            faultpoint("tables.after_commit")

        added = self._once(model, table, key, "replacements", commit)
        order = {sha256_file(file): place for place, file in reversed(list(enumerate(files)))}
        return tuple(sorted(added, key=lambda file: order.get(file.sha256, len(order))))

    def _once(
        self, model: str, table: str, key: str, what: str, commit: Callable[[DeltaTable | None], object]
    ) -> tuple[TableFile, ...]:
        """The files that *key* added, by *commit* unless they are there; tried again where another writer was first.

        A *commit* that gives False had nothing to add. It commits upon the very version that was looked through for
        the key: on a newer one an equal call may have added the same files meanwhile.
        """
        from deltalake.exceptions import DeltaError

        for attempt in range(ATTEMPTS):
            opened = self._open(model, table)
            added = self._appended(model, table, opened, key)
            if added is not None:
                return added
            try:
                if commit(opened) is False:
                    return ()
            except (DeltaError, OSError) as error:
                if lost_race(error, self.uri(model, table)):
                    back_off(attempt)
        raise Conflict(f"tables/{model}/{table}: {ATTEMPTS} {what} lost against other writers; run again.")

    def stream(self, model: str, table: str) -> Stream:
        """The table, to append to again and again."""
        return Stream(self.location, self.uri(model, table))

    def holding(self, model: str, table: str, column: str, values: Sequence[str]) -> Sound:
        """The files that, by their statistics, may hold one of *values* in the text *column*; damaged ones named."""
        actions = self._actions(model, table)
        unknown = [None] * len(actions["path"])
        ends = (actions.get(f"{end}.{column}", unknown) for end in ("min", "max"))
        files = zip(actions["path"], actions["num_records"], *ends, strict=True)
        candidates = {
            path: n for path, n, low, high in files if low is None or any(low <= one <= high for one in values)
        }
        return self._sound(model, table, candidates)

    def sound(self, model: str, table: str, rows: int | None = None) -> Sound:
        """The files of the table as it is now that are what was written, and the names of those that are not.

        Args:
            model: The model.
            table: The table; one that does not exist has no files.
            rows: Only the files that were written last, as many as it takes to hold so many rows; None: all.

        Raises:
            StoreError: the table's log is damaged.
        """
        actions = self._actions(model, table)
        files = sorted(
            zip(actions["modification_time"], actions["path"], actions["num_records"], strict=True), reverse=True
        )
        taken: dict[str, int] = {}
        for _, path, count in files:
            if rows is not None and sum(taken.values()) >= rows:
                break
            taken[path] = count
        return self._sound(model, table, taken)

    def logged(self, model: str, table: str) -> list[str]:
        """Names of the data files that the table's log has now; raises StoreError if the log is damaged."""
        return list(self._actions(model, table)["path"])

    def paths(self, model: str, table: str) -> list[str]:
        """Local paths of the sound files of the table as it is now; empty if there is no such table."""
        return self.local_files(model, table, self.sound(model, table).files)

    def paths_of(self, model: str, table: str, names: Sequence[str]) -> list[str]:
        """Local paths of the data files of these *names*, each held against the checksum in it."""
        return [str(self._verified(model, table, TableFile(name, named_digest(name), 0, 0))) for name in names]

    def mend_head(self, model: str, table: str) -> int:
        """Write the head of the table anew, after its log as it is now; returns its version."""
        opened = open_table(self.location, self.uri(model, table))
        if opened is None:
            raise NotFound(f"tables/{model}/{table}: there is no such table.")
        write_table_head(self.location, self.uri(model, table), opened)
        return opened.version()

    def local_files(self, model: str, table: str, files: Sequence[TableFile]) -> list[str]:
        """Local paths of *files*, each verified against its checksum now; for DuckDB's ``read_parquet``.

        Raises:
            NotFound: a file is gone.
            ChecksumMismatch: a file is not what was committed.
        """
        return [str(self._verified(model, table, file)) for file in files]

    def _commit(self, model: str, table: str, opened: DeltaTable | None, data: pa.Table | Path, key: str) -> None:
        import pyarrow.parquet as pq

        with tempfile.TemporaryDirectory(prefix="slipstream-") as folder:
            file = data if isinstance(data, Path) else Path(folder) / "rows.parquet"
            if not isinstance(data, Path):
                pq.write_table(data, file, compression="zstd")
            faultpoint("tables.before_commit")
            add_file(self.location, self.uri(model, table), opened, file, committed_once(key))
            faultpoint("tables.after_commit")

    def _open(self, model: str, table: str) -> DeltaTable | None:
        """The table as it is now, held against its head."""
        uri = self.uri(model, table)
        head = read_head(self.location, uri)
        opened = open_table(self.location, uri)
        check_table_head(self.location, uri, opened, head)
        return opened

    def _actions(self, model: str, table: str) -> dict[str, list[Any]]:
        """What the log says of each file of the table."""
        opened = self._open(model, table)
        return _actions(opened) if opened is not None else {"path": [], "num_records": [], "modification_time": []}

    def _appended(self, model: str, table: str, opened: DeltaTable | None, key: str) -> tuple[TableFile, ...] | None:
        """The files that an earlier append with this key added; None if there was none."""
        if opened is None or not has_commit(opened, key):
            return None
        for commit in opened.history():
            if commit.get("slipstream_key") == key:
                uri, between = self.uri(model, table), (int(commit["version"]), opened.version())
                after, before = map(_added, around_commit(self.location, uri, between, key))
                # Also for who died between the commit and this.
                write_table_head(self.location, uri, opened)
                return self._described(model, table, {p: n for p, n in after.items() if p not in before})
        raise NotFound(f"tables/{model}/{table}: the commit of key {key} is no longer in the table's history.")

    def _described(self, model: str, table: str, added: Mapping[str, int]) -> tuple[TableFile, ...]:
        described = [self._file(model, table, path, rows) for path, rows in added.items()]
        return tuple(sorted(described, key=lambda file: (file.sha256, file.path)))

    def _sound(self, model: str, table: str, added: Mapping[str, int]) -> Sound:
        intact, damaged = [], []
        for path, rows in added.items():
            try:
                intact.append(self._file(model, table, path, rows))
            except (ChecksumMismatch, NotFound):
                damaged.append(path)
        return Sound(tuple(sorted(intact, key=lambda file: (file.sha256, file.path))), tuple(sorted(damaged)))

    def _file(self, model: str, table: str, path: str, rows: int) -> TableFile:
        local = self.local(model, table, path)
        return TableFile(path, self._digest(model, table, path, local), rows, local.stat().st_size)

    def _verified(self, model: str, table: str, file: TableFile) -> Path:
        local = self.local(model, table, file.path)
        self._digest(model, table, file.path, local, file.sha256)
        return local

    def _digest(self, model: str, table: str, path: str, local: Path, expected: str = "") -> str:
        with readable(str(local)):
            return CHECKSUMS.checked(local, f"{self.uri(model, table)}/{path}", expected)


def _added(table: DeltaTable | None) -> dict[str, int]:
    """Path -> rows of every file of the table, as this version of it has them."""
    actions = _actions(table) if table is not None else {"path": [], "num_records": []}
    return dict(zip(actions["path"], actions["num_records"], strict=True))


def _actions(table: DeltaTable) -> dict[str, list[Any]]:
    """What the log says of each file of the table: column -> values."""
    import pyarrow as pa

    with readable(table.table_uri):
        actions: dict[str, list[Any]] = pa.table(table.get_add_actions(flatten=True)).to_pydict()
    return actions
