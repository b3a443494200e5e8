"""The head of a Delta table: a small file beside it that says how far the table had come, and what it then was.

Delta's own log does not notice when its newest commits are gone or emptied: it ends earlier, and all is well. A head is
written after each commit and never deletes anything, so a table that ends before its head was cut, and one that is not
what its head says was changed. A writer that dies in between leaves a head that lags by a commit, which proves less
but nothing false. A head is read before its table, which may grow in between.
"""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from slipstream.errors import NotFound, StoreError
from slipstream.store.delta.access import open_table
from slipstream.store.faultpoints import faultpoint
from slipstream.store.files import atomic_write
from slipstream.store.location import Location
from slipstream.store.objects import canonical_json

FILE = "_head.json"
_TOLD = ("path", "size_bytes", "num_records", "min.", "max.")

if TYPE_CHECKING:
    from deltalake import DeltaTable

_log = logging.getLogger("slipstream")


@dataclass(frozen=True)
class LogHead:
    """How far a table had come.

    Attributes:
        number: Of the ledger's last event, or of the table's version.
        digest: Of that event, or of the files that this version is made of.
    """

    number: int
    digest: str


def read_head(location: Location, uri: str) -> LogHead | None:
    """The head of the table at *uri*; None if it has none: it is new, or of a time without heads.

    Raises:
        StoreError: ``storage_not_readable``, ``head_damaged``, or as a :class:`Bucket` has them.
    """
    try:
        data = _read(location, uri)
    except OSError as error:
        raise StoreError(f"{_name(uri)}: cannot be read: {error}.", code="storage_not_readable") from error
    if data is None:
        return None
    try:
        fields = json.loads(data)
        head = LogHead(fields["number"], fields["digest"])
        if fields["check"] != _check(head):
            raise ValueError
    except (ValueError, KeyError, TypeError) as error:
        message = f"{_name(uri)}: is damaged; run `slipstream verify --repair`, which writes it anew."
        raise StoreError(message, code="head_damaged") from error
    return head


def write_head(location: Location, uri: str, head: LogHead) -> None:
    """Set the head of the table at *uri*. What was committed stays committed if this fails; the next one makes good."""
    data = canonical_json({**asdict(head), "check": _check(head)})
    try:
        _write(location, uri, data)
    except (StoreError, OSError) as error:
        _log.warning("%s: was not written, and lags until the next commit: %s", _name(uri), error)


def files_digest(table: DeltaTable) -> str:
    """The digest of what the log says of this version's files: names, sizes, rows, least and greatest texts."""
    import pyarrow as pa
    import pyarrow.compute as pc

    actions = pa.table(table.get_add_actions(flatten=True))
    hashed = hashlib.sha256()
    if not actions.num_rows:
        return hashed.hexdigest()
    actions = actions.take(pc.sort_indices(actions["path"]))
    for name in sorted(actions.column_names):
        column = actions[name]
        # A column that no file has is in the log or not, as others were added since.
        if name.startswith(_TOLD) and column.null_count < len(column):
            hashed.update(canonical_json([name, column.cast(pa.string()).to_pylist()]))
    return hashed.hexdigest()


def write_table_head(location: Location, uri: str, table: DeltaTable) -> None:
    """Set the head of the *table*, which was opened as it is now."""
    write_head(location, uri, LogHead(table.version(), files_digest(table)))


def check_table_head(location: Location, uri: str, table: DeltaTable | None, head: LogHead | None) -> None:
    """Refuse a *table* that ends before its *head*, or was changed since; the head was read before the table.

    Raises:
        StoreError: ``table_cut``.
    """
    if head is None:
        return
    version = table.version() if table is not None else -1
    if table is None or version < head.number:
        what = f"ends at version {version}, but had {head.number}" if table is not None else "is gone"
        raise _cut(uri, what)
    try:
        then = table if version == head.number else open_table(location, uri, head.number)
    except StoreError:  # its log was tidied up since
        return
    if then is not None and files_digest(then) != head.digest:
        raise _cut(uri, f"has other files in version {head.number} than it had")


def _cut(uri: str, what: str) -> StoreError:
    message = f"{uri}: {what}; its commits are missing or damaged: restore {uri}/_delta_log from a backup."
    return StoreError(message, code="table_cut")


def _check(head: LogHead) -> str:
    return hashlib.sha256(canonical_json(asdict(head))).hexdigest()[:32]


def _name(uri: str) -> str:
    return f"{uri}/{FILE}"


def _read(location: Location, uri: str) -> bytes | None:
    try:
        if location.root is None:
            return location.s3.read(location.key_below(uri, FILE))
        faultpoint("store.io")
        return (Path(uri) / FILE).read_bytes()
    except (FileNotFoundError, NotFound):
        return None


def _write(location: Location, uri: str, data: bytes) -> None:
    if location.root is None:
        location.s3.write(location.key_below(uri, FILE), data)
        return
    faultpoint("store.io")
    atomic_write(Path(uri) / FILE, data)
