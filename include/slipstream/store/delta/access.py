"""What the ledger and the tables share of Delta Lake: reading, and telling a lost race from a store that refuses."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from slipstream.errors import SlipstreamError, StoreError
from slipstream.store.faultpoints import faultpoint
from slipstream.store.location import Location

if TYPE_CHECKING:
    from deltalake import DeltaTable

_LOST = ("already exists", "conflict", "version 0", "concurrent", "precondition")


def open_table(location: Location, uri: str, version: int | None = None) -> DeltaTable | None:
    """The Delta table at *uri*, or None if there is none yet.

    Raises:
        StoreError: ``storage_not_readable`` when the store itself refused, or the table's log is damaged.
    """
    from deltalake import DeltaTable
    from deltalake.exceptions import TableNotFoundError

    with readable(uri):
        try:
            return DeltaTable(uri, version=version, storage_options=location.delta_options())
        except TableNotFoundError:
            return None


@contextmanager
def readable(uri: str) -> Iterator[None]:
    """Turn whatever the engine says of a table that it cannot read into a StoreError ``storage_not_readable``.

    A damaged file makes it raise nearly anything, a panic of its Rust code (a BaseException) among it.
    """
    try:
        faultpoint("store.io")
        yield
    except (SlipstreamError, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:300]
        message = f"{uri}: cannot be read: {reason}; if its files are damaged, restore them from a backup."
        raise StoreError(message, code="storage_not_readable") from error


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
    """Wait a random time that doubles in mean with each attempt, at most 0.64 s.

    Its callers look again at what is there before each attempt and may end with an answer, so they are no mere retries,
    which a library could make.
    """
    time.sleep(random.uniform(0, 0.01 * 2 ** min(attempt, 6)))  # noqa: S311 - spreads writers, keeps no secret
