"""What happened to a Delta table since it was read: files of rows that were added, or a change of rows that were there.

Told by the table's log (the Delta transaction log protocol, "Actions"): a commit that only rewrites files, as OPTIMIZE
does, marks them with ``dataChange: false``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from slipstream.errors import NotFound, SourceError, StoreError, shown
from slipstream.store.location import Location


@dataclass(frozen=True)
class DeltaMark:
    """Up to where a table was read: the watermark.

    Attributes:
        table: The table's id, which another table at the same place has not.
        version: Its version; -1 for a watermark that another source left.
    """

    table: str
    version: int

    @classmethod
    def parse(cls, watermark: str) -> DeltaMark | None:
        """The mark that a watermark holds; None at the beginning."""
        if not watermark:
            return None
        try:
            fields = json.loads(watermark)
        except ValueError:
            fields = None
        known = isinstance(fields, dict) and fields.keys() == {"table", "version"}
        return cls(**fields) if known else cls("", -1)

    def __str__(self) -> str:
        return json.dumps(asdict(self), separators=(",", ":"))


@dataclass(frozen=True)
class AddedFile:
    """A file of rows that a version added: its path in the table, as it is written there, and its bytes."""

    version: int
    path: str
    size: int


class RowsChangedError(SourceError):
    """Rows that were read are no longer as they were, or nothing tells whether they are."""

    retryable = False


def added_since(location: Location, mark: DeltaMark, version: int) -> list[AddedFile]:
    """The files that versions above the mark's, up to *version*, added, in their order.

    Raises:
        RowsChangedError: ``source_rows_changed`` if one of them changed or removed rows; ``source_history_lost`` if the
            log no longer has them all.
    """
    added = []
    for number in range(mark.version + 1, version + 1):
        actions = list(_actions(location, number))
        if any("dataChange" in one.get("remove", {}) and one["remove"]["dataChange"] for one in actions):
            operation = next((one["commitInfo"].get("operation") for one in actions if "commitInfo" in one), None)
            message = f"version {number} changed or removed rows that were read ({operation or 'of no name'})"
            raise RowsChangedError(message, code="source_rows_changed")
        for add in (one["add"] for one in actions if one.get("add", {}).get("dataChange")):
            added.append(AddedFile(number, unquote(add["path"]), int(add["size"])))
    return added


def _actions(location: Location, version: int) -> Iterator[dict[str, Any]]:
    name = ("_delta_log", f"{version:020}.json")
    try:
        if location.root is not None:
            text = Path(location.root, *name).read_bytes()
        else:
            text = location.s3.read(location.object_key(*name))
    except (FileNotFoundError, NotFound) as error:
        message = f"its log no longer tells what version {version} did"
        raise RowsChangedError(message, code="source_history_lost") from error
    except (OSError, StoreError) as error:
        raise SourceError(f"{location.url}: {error}") from error
    for line in filter(None, text.splitlines()):
        try:
            action = json.loads(line)
        except ValueError as error:
            message = (
                f"{location.url}: the log of version {version} is damaged: {shown(line[:40].decode(errors='replace'))}."
            )
            raise SourceError(message) from error
        if isinstance(action, dict):
            yield action
