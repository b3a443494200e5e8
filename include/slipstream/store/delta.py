"""What the ledger and the tables share of Delta Lake: opening, and telling a lost race from a store that refuses."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

from slipstream.errors import StoreError
from slipstream.store.location import Location

if TYPE_CHECKING:
    from deltalake import DeltaTable

_LOST = ("already exists", "conflict", "version 0", "concurrent", "precondition")


def open_table(location: Location, uri: str, version: int | None = None) -> DeltaTable | None:
    """The Delta table at *uri*, or None if there is none yet.

    Raises:
        StoreError: ``storage_not_readable`` when the store itself refused.
    """
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError, TableNotFoundError

    try:
        return DeltaTable(uri, version=version, storage_options=location.delta_options())
    except TableNotFoundError:
        return None
    except (DeltaError, OSError) as error:
        raise StoreError(f"{uri}: cannot be read: {str(error)[:300]}.", code="storage_not_readable") from error


def lost_race(error: Exception, uri: str) -> bool:
    """True if another writer committed first, so that reading again and retrying is right.

    Raises:
        StoreError: ``storage_not_writable`` when the store itself refused.
    """
    from deltalake.exceptions import CommitFailedError

    text = str(error)
    if isinstance(error, CommitFailedError) or any(sign in text.lower() for sign in _LOST):
        return True
    raise StoreError(f"{uri}: cannot be written: {text[:300]}; mend it and run again.") from error


def back_off(attempt: int) -> None:
    """Wait a random time that doubles in mean with each attempt, at most 0.64 s."""
    time.sleep(random.uniform(0, 0.01 * 2 ** min(attempt, 6)))  # noqa: S311 - spreads writers, keeps no secret
