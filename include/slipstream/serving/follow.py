"""Follows the ledger: prepares what it asks for beside what serves, and swaps by one assignment."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from slipstream.errors import BackendError, SlipstreamError, StoreError
from slipstream.serving.board import Board, Row
from slipstream.serving.bounds import Bounds
from slipstream.serving.loading import Loader, Wanted
from slipstream.serving.meters import Meters
from slipstream.serving.prove import REFUSALS
from slipstream.serving.prover import Prover
from slipstream.serving.routes import Routes
from slipstream.serving.served import Served
from slipstream.serving.steps import Change, Line, Refusal, Step
from slipstream.serving.wishes import Version, wish_of
from slipstream.store import Store
from slipstream.store.state import ModelState, State

SECONDS = 0.2
QUICK_SECONDS = 0.05
RETRY_SECONDS = 5.0

_log = logging.getLogger("slipstream")


class _Waits(Exception):
    """A version is being proved; what serves serves on."""


class Follower:
    """Keeps :attr:`lines` at what the ledger says.

    Args:
        store: The store.
        meters: Where swaps and refusals are counted.
        max_rows: Rows that a request may have.
        bounds: What a version must keep to.
        board: Where several workers agree; None for a single one.
        seconds: Between two looks at the ledger.
    """

    def __init__(
        self,
        store: Store,
        meters: Meters,
        *,
        max_rows: int,
        bounds: Bounds | None = None,
        board: Path | None = None,
        seconds: float = SECONDS,
    ) -> None:
        self.store = store
        self.meters = meters
        self.seconds = seconds
        self.lines: Mapping[str, Line] = {}
        self.board = Board(board) if board is not None else None
        bounds = bounds or Bounds()
        self.prover = Prover(store.url, bounds, board.with_name(f"{board.name}.proofs") if board is not None else None)
        self.loader = Loader(store, max_rows, bounds, self.prover)
        self.unread_since: float | None = None
        """Since when the ledger cannot be read, in seconds since 1970; None while it can."""
        self._read_at = time.monotonic()
        self._seq = -1
        self._ready = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="follower", daemon=True)
        meters.watch_ages(self.ages)

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def stop(self) -> None:
        """End; what is served stays as it is."""
        self._stop.set()
        self.prover.close()
        self._thread.join(timeout=30)
        if self.board is not None:
            self.board.close()

    def ready(self) -> bool:
        """Whether the ledger was read, and every model's versions were loaded or refused, once."""
        return self._ready

    def age(self) -> float:
        """Seconds since the ledger was last read."""
        return time.monotonic() - self._read_at

    def now(self, model: str) -> Step | None:
        """*model* as it answers now; None if there is no such model."""
        line = self.lines.get(model)
        return line.now if line is not None else None

    def ages(self) -> dict[tuple[str, str], float]:
        """(model, version) -> seconds since it was registered, for all versions that answer."""
        found = {}
        for name, line in self.lines.items():
            routes = line.now.routes if line.now is not None else None
            for one in (routes.champion, routes.challenger) if routes is not None else ():
                if one is not None and one.trained:
                    found[name, str(one.version)] = max(0.0, time.time() - one.trained)
        return found

    def _run(self) -> None:
        pause = 0.0
        while not self._stop.wait(pause):
            pause = self.seconds
            try:
                if self.poll():
                    pause = min(QUICK_SECONDS, self.seconds)
            except SlipstreamError as error:
                # The store cannot be read just now: what is loaded serves on.
                _log.warning("the ledger cannot be read: %s", error)
                pause = RETRY_SECONDS
            except Exception:  # this thread must not die: it would never take another version
                _log.exception("following the ledger")
                pause = RETRY_SECONDS

    def poll(self) -> bool:
        """Bring the lines up to the ledger; returns whether something is under way."""
        state = self._state()
        if state.seq != self._seq:
            self._look(dict(state.models))
            self._seq = state.seq
        for name, line in self.lines.items():
            if line.behind and time.monotonic() >= line.retry:
                self._prepare(name, line)
            self._tell(name, line, line.settle())
        busy = any(line.behind or not line.agreed for line in self.lines.values())
        if not busy:
            self._tidy()
        self._ready = self._ready or all(line.tried and line.agreed for line in self.lines.values())
        return busy

    def _state(self) -> State:
        try:
            state = self.store.ledger.state()
        except StoreError:
            self.unread_since = self.unread_since or time.time()
            raise
        self.unread_since, self._read_at = None, time.monotonic()
        return state

    def _look(self, models: Mapping[str, ModelState]) -> None:
        """Take the newest wishes."""
        found = dict(self.lines)
        for name, model in models.items():
            try:
                wish = wish_of(model)
            except (KeyError, TypeError, ValueError) as error:  # an event of another release; the others serve on
                _log.error("%s: its events cannot be understood: %r", name, error)
                continue
            if wish is None:
                continue
            if name not in found:
                found[name] = Line(wish, self._row(name))
            if wish.seq != found[name].wish.seq:
                found[name].wish, found[name].retry = wish, 0.0
        self.lines = found

    def _row(self, name: str) -> Row | None:
        try:
            return self.board.row(name) if self.board is not None else None
        except BackendError as error:
            _log.warning("%s: this worker changes versions without waiting for the others: %s", name, error)
            return None

    def _prepare(self, name: str, line: Line) -> None:
        """Load what the model's wish names, and take the step if that is done."""
        try:
            step = self._step(name, line)
        except _Waits:
            return
        except StoreError as error:
            _log.warning("%s: a version cannot be read just now: %s", name, error)
            line.retry = time.monotonic() + RETRY_SECONDS
        else:
            line.add(step)
        line.tried = True

    def _step(self, name: str, line: Line) -> Step:
        wish, now = line.wish, line.newest
        serving = now.routes.champion if now is not None and now.routes is not None else None
        champion = self._version(name, line, wish.champion, serving)
        if champion is None and wish.champion is not None:
            # Whatever else did serve is better than no answer at all.
            champion = serving or self._version(name, line, wish.previous, None)
        rollout = self._version(name, line, wish.rollout, champion)
        refused = line.refusals.get(wish.wanted.number) if wish.wanted else None
        if refused is None and now is not None and wish.rollout is None:
            refused = now.refused if serving is champion else None
        return Step(wish, self._routes(line, champion, rollout), refused)

    def _routes(self, line: Line, champion: Served | None, rollout: Served | None) -> Routes | None:
        wish = line.wish
        previous = line.find(wish.previous) if wish.previous is not None else None
        if rollout is not None and wish.full:
            return Routes(rollout, previous=champion or previous)
        if champion is None:
            return None
        if rollout is None:
            return Routes(champion, previous=previous)
        if wish.shadow:
            return Routes(champion, shadow=rollout, previous=previous)
        return Routes(champion, rollout, wish.weight, wish.sticky, previous=previous)

    def _version(self, name: str, line: Line, version: Version | None, beside: Served | None) -> Served | None:
        """The version, loaded; None if there is none or it is refused.

        Raises:
            _Waits: it is being proved.
            StoreError: it cannot be read just now.
        """
        if version is None:
            return None
        wish = line.wish
        loaded = line.find(version)
        refusal = line.refusals.get(version.number)
        if loaded is not None or (refusal is not None and refusal.seq >= wish.attempt):
            return loaded
        first = line.newest is None
        # What served before this worker started need not be proved again, and has the inputs that it had.
        known = first and version.number in wish.served
        beside = None if known or wish.schema_change else beside
        try:
            made = self.loader.load(Wanted(name, version, wish.attempt, beside, prove=not known))
        except REFUSALS as error:
            self._refuse(name, line, version, error.code, str(error))
            return None
        except StoreError:
            raise
        except Exception as error:  # whatever a version does, the others serve on
            _log.exception("%s: loading version %d", name, version.number)
            self._refuse(name, line, version, "version_unloadable", f"{type(error).__name__}: {error}")
            return None
        if made is None:
            raise _Waits
        line.refusals.pop(version.number, None)
        return made

    def _refuse(self, name: str, line: Line, version: Version, code: str, reason: str) -> None:
        line.refusals[version.number] = Refusal(version.number, version.bundle, line.wish.attempt, code, reason)
        _log.error("%s: version %d is refused [%s]: %s", name, version.number, code, reason)

    def _tell(self, name: str, line: Line, change: Change | None) -> None:
        """Log what came into force, and count the *change* that this worker of all brought about."""
        if change is not None and change.swapped:
            self.meters.swaps.labels(name).inc()
        if change is not None and change.refused:
            self.meters.refusals.labels(name).inc()
        now = line.now
        if now is not None and now is not line.told:
            if Change(line.told, now).swapped and now.routes is not None:
                _log.info("%s: version %s serves", name, now.routes.champion.version)
            line.told = now

    def _tidy(self) -> None:
        """Once all is in force: load the versions to go back to, one at a time, and forget what nobody waits for."""
        self.loader.forget(set())
        for name, line in self.lines.items():
            spare, routes = line.wish.kept, line.steps[-1].routes if line.steps else None
            if not self._ready or spare is None or routes is None or spare == line.spare or line.find(spare):
                continue
            line.spare = spare
            try:
                served = self.loader.load(Wanted(name, spare, line.wish.attempt, prove=False))
            except Exception as error:  # it only would have made going back quicker
                _log.warning("%s: version %d cannot be kept to go back to: %s", name, spare.number, error)
                continue
            if served is not None:
                line.keep_spare(served)
            return
