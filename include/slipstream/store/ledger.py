"""The ledger: one append-only Delta table of events, a hash chain with a running number. What it says, happened.

An append is a compare-and-swap on the version of the table that was read: the writer folds what is new, checks its
precondition, and commits the next event with no retry below; who loses reads again and decides again. Order is the
event's ``seq``; times are for people.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from slipstream.errors import Conflict, StoreError
from slipstream.store.delta import back_off, lost_race, open_table
from slipstream.store.faultpoints import faultpoint
from slipstream.store.location import Location
from slipstream.store.objects import canonical_json
from slipstream.store.state import Event, State, fold

if TYPE_CHECKING:
    from deltalake import DeltaTable

ATTEMPTS = 60
COMPACT_EVERY = 200
_COLUMNS = ("seq", "id", "time", "actor", "model", "kind", "key", "payload", "prev_hash", "hash")


class Ledger:
    """Append to, read and fold the events of a store. Safe to share between threads and processes."""

    def __init__(self, location: Location) -> None:
        self.location = location
        self.uri = location.table_uri("ledger")
        self._lock = threading.RLock()
        self._table: DeltaTable | None = None
        self._version = -1
        self._seen: set[str] = set()
        self._events: list[Event] = []
        self._state = State()

    def append(
        self,
        kind: str,
        model: str,
        payload: dict[str, Any],
        *,
        key: str = "",
        actor: str = "",
        check: Callable[[State], None] | None = None,
    ) -> Event:
        """Commit one event and return it; with *key*, exactly once for this kind, model and key.

        Args:
            check: Called with the state before the event, again on every attempt; it raises to refuse.

        Raises:
            Conflict: other writers won every attempt.
            StoreError: the store cannot be written.
        """
        with self._lock:
            event_id = uuid4().hex
            for attempt in range(ATTEMPTS):
                state = self.state()
                known = self.find(kind, model, key) if key else state.by_id.get(event_id)
                if known is not None:
                    return known
                if check is not None:
                    check(state)
                event = self._next(kind, model, payload, key, actor, event_id)
                faultpoint("ledger.before_commit")
                if self._commit(event):
                    faultpoint("ledger.after_commit")
                    return self.state().by_id[event_id]
                back_off(attempt)
        raise Conflict(f"ledger: {ATTEMPTS} appends of {kind} for {model} lost against other writers; run again.")

    def state(self) -> State:
        """The fold of all events up to now; reads only what is new."""
        with self._lock:
            self._refresh()
            return self._state

    @property
    def known(self) -> State:
        """The fold as of the last reading, kept up by every later one; reads nothing itself."""
        return self._state

    def read(self, *, after: int = 0, model: str | None = None, kind: str | None = None) -> list[Event]:
        """Events with ``seq > after``, in order, of one model or kind if asked."""
        with self._lock:
            self._refresh()
            return [
                event
                for event in self._events[after:]
                if (model is None or event.model == model) and (kind is None or event.kind == kind)
            ]

    def find(self, kind: str, model: str, key: str) -> Event | None:
        """The event of that kind, model and key, or None."""
        return self.state().by_key.get((kind, model, key))

    def verify(self) -> int:
        """Check the whole chain; returns the number of events.

        Raises:
            StoreError: ``ledger_broken``, with the first event that does not fit.
        """
        previous = ""
        for number, event in enumerate(self.read(), start=1):
            if event.seq != number or event.prev_hash != previous or event.hash != _hash(event):
                message = f"ledger: event {event.seq} does not fit the chain; it was changed after it was written."
                raise StoreError(message, code="ledger_broken")
            previous = event.hash
        return len(self._events)

    def _next(self, kind: str, model: str, payload: dict[str, Any], key: str, actor: str, event_id: str) -> Event:
        last = self._events[-1] if self._events else None
        event = Event(
            seq=(last.seq if last else 0) + 1,
            id=event_id,
            time=datetime.now(UTC).isoformat(timespec="milliseconds"),
            actor=actor,
            model=model,
            kind=kind,
            key=key,
            payload=canonical_json(payload).decode(),
            prev_hash=last.hash if last else "",
            hash="",
        )
        return event.with_hash(_hash(event))

    def _commit(self, event: Event) -> bool:
        """Whether this writer won the next place in the chain."""
        import pyarrow as pa
        from deltalake import CommitProperties, write_deltalake
        from deltalake.exceptions import DeltaError

        row = pa.table({name: [getattr(event, name)] for name in _COLUMNS}, schema=_schema())
        table = self._table
        try:
            write_deltalake(
                table if table is not None else self.uri,
                row,
                mode="append" if table is not None else "error",
                storage_options=None if table is not None else self.location.delta_options(),
                commit_properties=CommitProperties(max_commit_retries=0),
                configuration=None if table is not None else {"delta.checkpointInterval": "50"},
            )
        except (DeltaError, OSError) as error:
            # Lost, or won with the answer lost: reading again tells, because the event is looked up by its id.
            self._table = None
            return event.id in self.state().by_id or not lost_race(error, self.uri)
        if event.seq % COMPACT_EVERY == 0:
            self._compact()
        return True

    def _compact(self) -> None:
        """Merge the small files, so that a new reader opens few; who loses a race leaves it to the next."""
        from deltalake import CommitProperties
        from deltalake.exceptions import DeltaError

        try:
            table = open_table(self.location, self.uri)
            if table is not None:
                table.optimize.compact(commit_properties=CommitProperties(max_commit_retries=0))
        except DeltaError:
            self._table = None

    def _refresh(self) -> None:
        if self._table is None:
            self._table = open_table(self.location, self.uri)
            if self._table is None:
                return
        elif self._is_newest(self._table):
            return
        else:
            self._table.update_incremental()
        self._version = self._table.version()
        uris = set(self._table.file_uris())
        if uris <= self._seen:
            return
        last = self._events[-1].seq if self._events else 0
        for event in self._load(self._table, last):
            self._events.append(event)
            fold(self._state, event)
        self._seen = uris

    def _is_newest(self, table: DeltaTable) -> bool:
        """Whether nothing came after what was read. In a folder one look for the next commit's file tells."""
        if self.location.root is None or table.version() != self._version:
            return False
        return not (Path(self.uri) / "_delta_log" / f"{self._version + 1:020d}.json").exists()

    def _load(self, table: DeltaTable, after: int) -> list[Event]:
        """The events past number *after*. By deltalake's own engine: an endpoint that only follows needs no PyArrow."""
        from deltalake import QueryBuilder

        asked = f"SELECT {', '.join(_COLUMNS)} FROM ledger WHERE seq > {after:d} ORDER BY seq"  # noqa: S608 - a number
        try:
            found = QueryBuilder().register("ledger", table).execute(asked).read_all()
        except Exception as error:  # its engine raises nothing narrower
            raise StoreError(f"{self.uri}: cannot be read: {str(error)[:300]}.", code="storage_not_readable") from error
        columns = [found.column(name).to_pylist() for name in _COLUMNS]
        return [Event(*row) for row in zip(*columns, strict=True)]


def _schema() -> Any:
    import pyarrow as pa

    return pa.schema([("seq", pa.int64()), *((name, pa.string()) for name in _COLUMNS[1:])])


def _hash(event: Event) -> str:
    """The event's place in the chain: sha256 over all that it says and the hash before it."""
    said = {name: getattr(event, name) for name in _COLUMNS if name != "hash"}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
