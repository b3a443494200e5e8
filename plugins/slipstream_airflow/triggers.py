"""Looks for new predictions and labels, and so starts a model's monitor DAG. Runs in Airflow's triggerer.

It keeps nothing: after a restart it begins again, and a run that it then starts for rows that were looked at already
finds its results and does nothing anew.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from slipstream.errors import SlipstreamError

if TYPE_CHECKING:
    from slipstream.store.delta.stream import Stream

LOOKS = 5.0
"""Seconds from one look to the next."""
FIRES = 30.0
"""So many seconds lie at least between two events: each start of the monitoring adds some events to the ledger."""
TABLES = ("predictions", "labels")


class NewRows(BaseEventTrigger):
    """Fires when enough new predictions, or any new labels, were written since it fired last.

    The payload of its event is the number of new rows by table.

    Args:
        model: The model's name.
        store: URL of the store.
        min_rows: So many new predictions are enough.
        seconds: From one look to the next.
        pause: Seconds between two events, at least.
    """

    def __init__(self, model: str, store: str, min_rows: int, seconds: float = LOOKS, pause: float = FIRES) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.model = model
        self.store = store
        self.min_rows = min_rows
        self.seconds = seconds
        self.pause = pause

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Where the class is, and its arguments."""
        names = ("model", "store", "min_rows", "seconds", "pause")
        return "slipstream_airflow.triggers.NewRows", {name: getattr(self, name) for name in names}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """An event each time, for ever; a store that is away for a while is asked again."""
        tables = _Tables(self.model, self.store)
        seen, fired = dict.fromkeys(TABLES, 0), float("-inf")
        while True:
            try:
                rows = await asyncio.to_thread(tables.rows)
            except (SlipstreamError, OSError) as error:
                self.log.warning("%s: %s cannot be looked at: %s", self.model, self.store, error)
                rows = seen
            new = {name: rows[name] - seen[name] for name in TABLES}
            enough = new["predictions"] >= self.min_rows or new["labels"] > 0
            if enough and time.monotonic() - fired >= self.pause:
                seen, fired = rows, time.monotonic()
                yield TriggerEvent(new)  # type: ignore[no-untyped-call]
            await asyncio.sleep(self.seconds)


class _Tables:
    """The tables of one model, kept open, so that a look reads only what is new."""

    def __init__(self, model: str, store: str) -> None:
        self._model = model
        self._store = store
        self._streams: dict[str, Stream] = {}

    def rows(self) -> dict[str, int]:
        """Rows of each table."""
        if not self._streams:
            from slipstream.store import Store

            tables = Store.open(self._store).tables
            self._streams = {name: tables.stream(self._model, name) for name in TABLES}
        opened = {name: stream.newest() for name, stream in self._streams.items()}
        return {name: table.count() if table is not None else 0 for name, table in opened.items()}
