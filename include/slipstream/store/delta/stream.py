"""Adds batch after batch to one Delta table: it is kept open, so that an append costs the same after a million."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from slipstream.errors import Conflict, StoreError
from slipstream.store.delta.access import back_off, lost_race, open_table, readable
from slipstream.store.delta.add_files import add_file, file_name
from slipstream.store.delta.heads import check_table_head, read_head, write_table_head
from slipstream.store.location import Location

if TYPE_CHECKING:
    from deltalake import DeltaTable

ATTEMPTS = 30
CONFIGURATION = {
    "delta.checkpointInterval": "50",
    # A stream makes thousands of commits a day, and nobody travels back in it by version.
    "delta.logRetentionDuration": "interval 1 days",
}


class Stream:
    """Appends to one table. Unlike :meth:`Tables.append` it takes a batch without a key for a new one."""

    def __init__(self, location: Location, uri: str) -> None:
        self.location = location
        self.uri = uri
        self._table: DeltaTable | None = None

    def add(self, file: Path, key: str = "") -> bool:
        """Append the rows of a Parquet *file*; columns that it adds widen the table.

        Args:
            file: The rows.
            key: With it, they are appended once for this key.

        Returns:
            Whether they were appended; False if the key was there before.

        Raises:
            Conflict: other writers won every attempt.
            StoreError: the store cannot be written.
        """
        from deltalake import CommitProperties, Transaction
        from deltalake.exceptions import DeltaError

        properties = CommitProperties(
            custom_metadata={"slipstream_batch": uuid4().hex},
            app_transactions=[Transaction(app_id=key, version=1)] if key else None,
            max_commit_retries=0,
        )
        name = file_name(file, properties)
        for attempt in range(ATTEMPTS):
            table = self.newest()
            # After a lost race, or one that was won with the answer lost: the name of the file tells.
            if attempt and table is not None and any(uri.endswith(name) for uri in table.file_uris()):
                return True
            if key and table is not None and table.transaction_version(key) is not None:
                return False
            try:
                add_file(self.location, self.uri, table, file, properties, CONFIGURATION)
                self._finish()
                return True
            except (DeltaError, OSError) as error:
                self._table = None
                if lost_race(error, self.uri):
                    back_off(attempt)
        raise Conflict(f"{self.uri}: {ATTEMPTS} appends lost against other writers; run again.")

    def newest(self) -> DeltaTable | None:
        """The table as it is now; None if there is none yet."""
        if self._table is None:
            head = read_head(self.location, self.uri)
            table = open_table(self.location, self.uri)
            check_table_head(self.location, self.uri, table, head)
            self._table = table
            return table
        try:
            with readable(self.uri):
                self._table.update_incremental()
        except StoreError:
            self._table = None
            raise
        return self._table

    def _finish(self) -> None:
        """Say how far the table is. The rows are in it: whatever goes wrong here is left to the next."""
        try:
            table = self.newest()
        except StoreError:
            return
        if table is not None:
            write_table_head(self.location, self.uri, table)
