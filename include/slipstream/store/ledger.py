"""The ledger: one append-only Delta table of events, a hash chain with a running number. What it says, happened.

An append is a compare-and-swap on the version of the table that was read: the writer folds what is new, checks its
precondition, and commits the next event with no retry below; who loses reads again and decides again. Order is the
event's ``seq``; times are for people. The chain is checked as it is read, and its end against the table's head
(:mod:`slipstream.store.delta.heads`).
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from slipstream.errors import Conflict, StoreError
from slipstream.store.delta.access import back_off, lost_race, open_table, readable
from slipstream.store.delta.heads import LogHead, read_head, write_head
from slipstream.store.events import RUN, events_of
from slipstream.store.faultpoints import faultpoint
from slipstream.store.location import Location
from slipstream.store.objects import canonical_json
from slipstream.store.state import Event, State, fold, position

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
        self._head_is_checked = False

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
            if not model:
                events = self._events[after:]
                return [event for event in events if model in {None, event.model} and kind in {None, event.kind}]
            state = self._state.model(model)
            if kind is None:
                return state.events[position(state.events, after) :]
            # Every kind but one is a topic of its own.
            events = list(state.on(kind, after=after))
            return (
                events if kind != RUN else [event for event in state.events if event.kind == RUN and event.seq > after]
            )

    def at(self, seq: int) -> Event:
        """The event of that number; raises IndexError if there is none."""
        with self._lock:
            self._refresh()
            return self._events[seq - 1]

    def find(self, kind: str, model: str, key: str) -> Event | None:
        """The event of that kind, model and key, or None."""
        return self.state().by_key.get((kind, model, key))

    def verify(self) -> int:
        """Read everything anew and check the whole chain; returns the number of events.

        Raises:
            StoreError: ``ledger_broken``, with the first event that does not fit, or ``ledger_cut``.
        """
        return len(Ledger(self.location).read())

    def mend_head(self) -> int:
        """Write the head anew, after the chain as it is now; returns the number of events. The chain must be whole."""
        fresh = Ledger(self.location)
        fresh._head_is_checked = True
        events = fresh.read()
        if events:
            write_head(self.location, self.uri, LogHead(events[-1].seq, events[-1].hash))
        return len(events)

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
            faultpoint("store.io")
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
        write_head(self.location, self.uri, LogHead(event.seq, event.hash))
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
        """Take in what is new. Nothing moves on before all of it was read, fits the chain and is folded."""
        # Before the table, which may grow in between; a head never comes before its event.
        head = None if self._head_is_checked else read_head(self.location, self.uri)
        try:
            new, table = self._new()
            self._check_chain(new)
            if head is not None:
                self._check_head(head, new)
        except StoreError:
            self._table = None
            raise
        self._head_is_checked = True
        for event in new:
            self._fold(event)
        if table is not None:
            self._version, self._seen = table.version(), set(table.file_uris())

    def _fold(self, event: Event) -> None:
        try:
            fold(self._state, event)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            message = (
                f"{self.uri}: event {event.seq} ({event.kind}) cannot be understood: {error!r}; it is of another "
                "release of Slipstream: install that one."
            )
            raise StoreError(message, code="ledger_not_understood") from error
        self._events.append(event)

    def _new(self) -> tuple[list[Event], DeltaTable | None]:
        """The events that were not read yet, and the table that has them; None if there is nothing new."""
        if self._table is None:
            self._table = open_table(self.location, self.uri)
            if self._table is None:
                if self._events:
                    raise _cut(self.uri, "is gone")
                return [], None
        elif self._is_newest(self._table):
            return [], None
        else:
            with readable(self.uri):
                self._table.update_incremental()
        if set(self._table.file_uris()) <= self._seen:
            self._version = self._table.version()
            return [], None
        return self._load(self._table, len(self._events)), self._table

    def _check_chain(self, new: Sequence[Event]) -> None:
        last = self._events[-1] if self._events else None
        for number, event in enumerate(new, start=len(self._events) + 1):
            if event.seq != number or event.prev_hash != (last.hash if last else "") or event.hash != _hash(event):
                message = (
                    f"{self.uri}: event {number} is missing or was changed after it was written; "
                    "restore the ledger from a backup."
                )
                raise StoreError(message, code="ledger_broken")
            last = event

    def _check_head(self, head: LogHead, new: Sequence[Event]) -> None:
        events = [*self._events, *new]
        if len(events) < head.number:
            raise _cut(self.uri, f"ends at event {len(events)}, but had {head.number}")
        if events[head.number - 1].hash != head.digest:
            raise _cut(self.uri, f"has another event {head.number} than it had")

    def _is_newest(self, table: DeltaTable) -> bool:
        """Whether nothing came after what was read. In a folder one look for the next commit's file tells."""
        if self.location.root is None or table.version() != self._version:
            return False
        return not (Path(self.uri) / "_delta_log" / f"{self._version + 1:020d}.json").exists()

    def _load(self, table: DeltaTable, after: int) -> list[Event]:
        """The events past number *after*. By deltalake's own engine: an endpoint that only follows needs no PyArrow."""
        from deltalake import QueryBuilder

        query = f"SELECT {', '.join(_COLUMNS)} FROM ledger WHERE seq > {after:d} ORDER BY seq"  # noqa: S608 - a number
        with readable(self.uri):
            rows = QueryBuilder().register("ledger", table).execute(query).read_all()
            columns = [rows.column(name).to_pylist() for name in _COLUMNS]
            return events_of(zip(*columns, strict=True))


def _cut(uri: str, what: str) -> StoreError:
    message = (
        f"{uri}: {what}; its newest commits are missing or damaged: restore {uri}/_delta_log and the files beside it "
        "from a backup."
    )
    return StoreError(message, code="ledger_cut")


def _schema() -> Any:
    import pyarrow as pa

    return pa.schema([("seq", pa.int64()), *((name, pa.string()) for name in _COLUMNS[1:])])


def _hash(event: Event) -> str:
    """The event's place in the chain: sha256 over all that it says and the hash before it."""
    fields = {name: getattr(event, name) for name in _COLUMNS if name != "hash"}
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()
