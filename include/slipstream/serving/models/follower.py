"""Follows the ledger: prepares what it asks for beside what serves, and swaps by one assignment."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from slipstream.errors import BackendError, SlipstreamError, StoreError
from slipstream.serving.metrics.metrics import Metrics
from slipstream.serving.models.cutover import CutoverBarrier, ModelSlot
from slipstream.serving.models.desired import DesiredVersion, desired_state
from slipstream.serving.models.loader import Loader, LoadRequest
from slipstream.serving.models.model_limits import ModelLimits
from slipstream.serving.models.preflight import Preflight
from slipstream.serving.models.revisions import Refusal, Revision, RevisionChange, ServedModel
from slipstream.serving.models.traffic_split import TrafficSplit
from slipstream.serving.version.loaded import LoadedVersion
from slipstream.store import Store
from slipstream.store.state import ModelState, State

SECONDS = 0.2
QUICK_SECONDS = 0.05
RETRY_SECONDS = 5.0

_log = logging.getLogger("slipstream")


class _Waits(Exception):
    """A version is being proved; what serves serves on."""


class Follower:
    """Keeps :attr:`served_models` at what the ledger says.

    Args:
        store: The store.
        metrics: Where swaps and refusals are counted.
        max_rows: Rows that a request may have.
        limits: What a version must keep to.
        barrier: Where several workers agree; None for a single one.
        seconds: Between two looks at the ledger.
    """

    def __init__(
        self,
        store: Store,
        metrics: Metrics,
        *,
        max_rows: int,
        limits: ModelLimits | None = None,
        barrier: Path | None = None,
        seconds: float = SECONDS,
    ) -> None:
        self.store = store
        self.metrics = metrics
        self.seconds = seconds
        self.served_models: Mapping[str, ServedModel] = {}
        self.barrier = CutoverBarrier(barrier) if barrier is not None else None
        limits = limits or ModelLimits()
        self.preflight = Preflight(
            store.url, limits, barrier.with_name(f"{barrier.name}.proofs") if barrier is not None else None
        )
        self.loader = Loader(store, max_rows, limits, self.preflight)
        self.unread_since: float | None = None
        """Since when the ledger cannot be read, in seconds since 1970; None while it can."""
        self._read_at = time.monotonic()
        self._seq = -1
        self._ready = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="follower", daemon=True)
        metrics.watch_ages(self.ages)

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def stop(self) -> None:
        """End; what is served stays as it is."""
        self._stop.set()
        self.preflight.close()
        self._thread.join(timeout=30)
        if self.barrier is not None:
            self.barrier.close()

    def ready(self) -> bool:
        """Whether the ledger was read, and every model's versions were loaded or refused, once."""
        return self._ready

    def age(self) -> float:
        """Seconds since the ledger was last read."""
        return time.monotonic() - self._read_at

    def now(self, model: str) -> Revision | None:
        """*model* as it answers now; None if there is no such model."""
        served_model = self.served_models.get(model)
        return served_model.now if served_model is not None else None

    def ages(self) -> dict[tuple[str, str], float]:
        """(model, version) -> seconds since it was registered, for all versions that answer."""
        ages = {}
        for name, served_model in self.served_models.items():
            split = served_model.now.split if served_model.now is not None else None
            for one in (split.champion, split.challenger) if split is not None else ():
                if one is not None and one.trained:
                    ages[name, str(one.version)] = max(0.0, time.time() - one.trained)
        return ages

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
        """Bring the models up to the ledger; returns whether something is under way."""
        state = self._state()
        if state.seq != self._seq:
            self._look(dict(state.models))
            self._seq = state.seq
        for name, served_model in self.served_models.items():
            if served_model.behind and time.monotonic() >= served_model.retry:
                self._prepare(name, served_model)
            self._tell(name, served_model, served_model.settle())
        busy = any(served_model.behind or not served_model.agreed for served_model in self.served_models.values())
        if not busy:
            self._tidy()
        self._ready = self._ready or all(
            served_model.tried and served_model.agreed for served_model in self.served_models.values()
        )
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
        """Take what is newly desired."""
        served_models = dict(self.served_models)
        for name, model in models.items():
            try:
                desired = desired_state(model)
            except (KeyError, TypeError, ValueError) as error:  # an event of another release; the others serve on
                _log.error("%s: its events cannot be understood: %r", name, error)
                continue
            if desired is None:
                continue
            if name not in served_models:
                served_models[name] = ServedModel(desired, self._row(name))
            if desired.seq != served_models[name].desired.seq:
                served_models[name].desired, served_models[name].retry = desired, 0.0
        self.served_models = served_models

    def _row(self, name: str) -> ModelSlot | None:
        try:
            return self.barrier.row(name) if self.barrier is not None else None
        except BackendError as error:
            _log.warning("%s: this worker changes versions without waiting for the others: %s", name, error)
            return None

    def _prepare(self, name: str, served_model: ServedModel) -> None:
        """Load what is desired of the model, and take the revision if that is done."""
        try:
            revision = self._revision(name, served_model)
        except _Waits:
            return
        except SlipstreamError as error:
            _log.warning("%s: a version cannot be read just now: %s", name, error)
            served_model.retry = time.monotonic() + RETRY_SECONDS
        else:
            served_model.add(revision)
        served_model.tried = True

    def _revision(self, name: str, served_model: ServedModel) -> Revision:
        desired, now = served_model.desired, served_model.newest
        serving = now.split.champion if now is not None and now.split is not None else None
        champion = self._version(name, served_model, desired.champion, serving)
        if champion is None and desired.champion is not None:
            # Whatever else did serve is better than no answer at all.
            champion = serving or self._version(name, served_model, desired.previous, None)
        rollout = self._version(name, served_model, desired.rollout, champion)
        refused = served_model.refusals.get(desired.wanted.number) if desired.wanted else None
        if refused is None and now is not None and desired.rollout is None:
            refused = now.refused if serving is champion else None
        return Revision(desired, self._routes(served_model, champion, rollout), refused)

    def _routes(
        self, served_model: ServedModel, champion: LoadedVersion | None, rollout: LoadedVersion | None
    ) -> TrafficSplit | None:
        desired = served_model.desired
        previous = served_model.find(desired.previous) if desired.previous is not None else None
        if rollout is not None and desired.full:
            return TrafficSplit(rollout, previous=champion or previous)
        if champion is None:
            return None
        if rollout is None:
            return TrafficSplit(champion, previous=previous)
        if desired.shadow:
            return TrafficSplit(champion, shadow=rollout, previous=previous)
        return TrafficSplit(champion, rollout, desired.weight, desired.sticky, previous=previous)

    def _version(
        self, name: str, served_model: ServedModel, version: DesiredVersion | None, beside: LoadedVersion | None
    ) -> LoadedVersion | None:
        """The version, loaded; None if there is none or it is refused.

        Raises:
            _Waits: it is being proved.
            StoreError: it cannot be read just now.
        """
        if version is None:
            return None
        desired = served_model.desired
        loaded = served_model.find(version)
        refusal = served_model.refusals.get(version.number)
        if loaded is not None or (refusal is not None and refusal.seq >= desired.attempt):
            return loaded
        first = served_model.newest is None
        # What served before this worker started need not be proved again, and has the inputs that it had.
        known = first and version.number in desired.served
        beside = None if known or desired.schema_change else beside
        try:
            loaded_now = self.loader.load(LoadRequest(name, version, desired.attempt, beside, prove=not known))
        except SlipstreamError as error:
            if error.retryable:
                raise
            self._refuse(name, served_model, version, error.code, str(error))
            return None
        except Exception as error:  # whatever a version does, the others serve on
            _log.exception("%s: loading version %d", name, version.number)
            self._refuse(name, served_model, version, "version_unloadable", f"{type(error).__name__}: {error}")
            return None
        if loaded_now is None:
            raise _Waits
        served_model.refusals.pop(version.number, None)
        return loaded_now

    def _refuse(self, name: str, served_model: ServedModel, version: DesiredVersion, code: str, reason: str) -> None:
        served_model.refusals[version.number] = Refusal(
            version.number, version.bundle, served_model.desired.attempt, code, reason
        )
        _log.error("%s: version %d is refused [%s]: %s", name, version.number, code, reason)

    def _tell(self, name: str, served_model: ServedModel, change: RevisionChange | None) -> None:
        """Log what came into force, and count the *change* that this worker of all brought about."""
        if change is not None and change.swapped:
            self.metrics.swaps.labels(name).inc()
        if change is not None and change.refused:
            self.metrics.refusals.labels(name).inc()
        now = served_model.now
        if now is not None and now is not served_model.logged:
            if RevisionChange(served_model.logged, now).swapped and now.split is not None:
                _log.info("%s: version %s serves", name, now.split.champion.version)
            served_model.logged = now

    def _tidy(self) -> None:
        """Once all is in force: load the versions to go back to, one at a time, and forget what nobody waits for."""
        self.loader.forget(set())
        for name, served_model in self.served_models.items():
            spare, split = (
                served_model.desired.fallback,
                served_model.revisions[-1].split if served_model.revisions else None,
            )
            if (
                not self._ready
                or spare is None
                or split is None
                or spare == served_model.spare
                or served_model.find(spare)
            ):
                continue
            served_model.spare = spare
            try:
                served = self.loader.load(LoadRequest(name, spare, served_model.desired.attempt, prove=False))
            except Exception as error:  # it only would have made going back quicker
                _log.warning("%s: version %d cannot be kept to go back to: %s", name, spare.number, error)
                continue
            if served is not None:
                served_model.keep_spare(served)
            return
