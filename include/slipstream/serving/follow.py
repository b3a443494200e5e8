"""Follows the ledger: loads each new champion beside the old one, proves it, and swaps by one assignment."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from slipstream.errors import BundleError, ChecksumMismatch, NotFound, SlipstreamError, StoreError
from slipstream.scoring.bundle import open_bundle
from slipstream.serving.meters import Meters
from slipstream.serving.served import Served, load_served
from slipstream.store import Store
from slipstream.store.state import ModelState

SECONDS = 0.2
RETRY_SECONDS = 5.0
_DEPLOYMENTS = {"deployment.started", "deployment.finished", "deployment.rolled_back"}
_FINAL = (BundleError, ChecksumMismatch, NotFound)

_log = logging.getLogger("slipstream")


@dataclass(frozen=True)
class Wish:
    """The version that a model should serve; *seq* is the ledger event that asks for it."""

    version: int
    bundle: str
    seq: int
    capture: bool


@dataclass(frozen=True)
class Refusal:
    """Why a version was not taken."""

    version: int
    bundle: str
    seq: int
    code: str
    reason: str


@dataclass(frozen=True)
class View:
    """What the front reads; replaced whole, so that a request sees one moment.

    Attributes:
        seq: The last event of the ledger that is taken into account.
        ready: Whether the ledger was read and every champion is loaded or refused.
        served: Model -> the version that answers.
        kept: Model -> the version that answered before it, still loaded.
        refused: Model -> its last refusal since a version was taken.
        wishes: Model -> what it should serve.
    """

    seq: int
    ready: bool
    served: Mapping[str, Served]
    kept: Mapping[str, Served]
    refused: Mapping[str, Refusal]
    wishes: Mapping[str, Wish]


class Follower:
    """Keeps :attr:`view` at what the ledger says."""

    def __init__(
        self,
        store: Store,
        meters: Meters,
        *,
        max_rows: int,
        pinned: frozenset[str] = frozenset(),
        seconds: float = SECONDS,
    ) -> None:
        self.store = store
        self.meters = meters
        self.max_rows = max_rows
        self.pinned = pinned
        self.seconds = seconds
        self.view = View(0, False, {}, {}, {}, {})
        self._retry = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="follower", daemon=True)

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def stop(self) -> None:
        """End; what is served stays as it is."""
        self._stop.set()
        self._thread.join(timeout=30)

    def describe(self, model: str) -> dict[str, Any] | None:
        """What the endpoint says of *model*: None if it knows no such model."""
        view = self.view
        served, wish, refusal = view.served.get(model), view.wishes.get(model), view.refused.get(model)
        if served is None and wish is None:
            return None
        waits = wish is not None and (served is None or served.bundle != wish.bundle)
        state = "refused" if waits and refusal else "loading" if waits else "serving"
        return {
            "model": model,
            "version": served.version if served else None,
            "bundle": served.bundle if served else None,
            "state": state,
            "wanted": wish.version if wish else None,
            "refused": refusal,
            "seq": view.seq,
            "schema": served.scorer.schema if served else None,
        }

    def _run(self) -> None:
        pause = 0.0
        while not self._stop.wait(pause):
            try:
                self.poll()
                preload()
                pause = RETRY_SECONDS if self._retry else self.seconds
            except SlipstreamError as error:
                # The store cannot be read just now: what is loaded serves on.
                _log.warning("the ledger cannot be read: %s", error)
                pause = RETRY_SECONDS

    def poll(self) -> None:
        """Bring the view up to the ledger."""
        state = self.store.ledger.state()
        if state.seq == self.view.seq and self.view.ready and not self._retry:
            return
        self._retry = False
        seq = state.seq
        wishes = {name: wish for name, model in list(state.models.items()) if (wish := self._wish(name, model))}
        self._show(wishes=wishes)
        for name, wish in wishes.items():
            self._fulfil(name, wish)
        gone = {name for name in self.view.served if name not in wishes}
        served = {name: one for name, one in self.view.served.items() if name not in gone}
        self._show(served=served, seq=seq, ready=True)

    def _wish(self, name: str, model: ModelState) -> Wish | None:
        version = model.deployment if model.deployment is not None else model.champion
        if version is None or version not in model.versions:
            return None
        event = model.versions[version]
        asked = [one.seq for one in self.store.ledger.read(model=name) if one.kind in _DEPLOYMENTS]
        capture = True
        if "spec" in event.data:
            capture = bool(self.store.objects.get_json(event.data["spec"])["deploy"]["capture"])
        return Wish(version, event.data["result"]["bundle"], asked[-1], capture)

    def _fulfil(self, name: str, wish: Wish) -> None:
        view = self.view
        old, refusal = view.served.get(name), view.refused.get(name)
        if old is not None and (old.bundle, old.version) == (wish.bundle, wish.version):
            return
        if refusal is not None and (refusal.bundle, refusal.seq) == (wish.bundle, wish.seq):
            return
        kept = view.kept.get(name)
        try:
            if kept is not None and (kept.bundle, kept.version) == (wish.bundle, wish.version):
                new = kept
            else:
                bundle = open_bundle(self.store, wish.bundle, self.pinned)
                if bundle.model != name:
                    raise BundleError(f"the bundle is of model {bundle.model!r}, not of {name!r}.")
                new = load_served(bundle, wish.version, self.max_rows, capture=wish.capture)
        except _FINAL as error:
            self._refuse(name, wish, error)
            return
        except StoreError as error:
            _log.warning("%s: version %d cannot be read just now: %s", name, wish.version, error)
            self._retry = True
            return
        self._swap(name, new, old)

    def _swap(self, name: str, new: Served, old: Served | None) -> None:
        kept = {**self.view.kept, **({name: old} if old else {})}
        refused = {model: one for model, one in self.view.refused.items() if model != name}
        self._show(served={**self.view.served, name: new}, kept=kept, refused=refused)
        self.meters.swaps.labels(name).inc()
        _log.info("%s: version %s serves", name, new.version)

    def _refuse(self, name: str, wish: Wish, error: SlipstreamError) -> None:
        refusal = Refusal(wish.version, wish.bundle, wish.seq, error.code, str(error))
        self._show(refused={**self.view.refused, name: refusal})
        self.meters.refusals.labels(name).inc()
        _log.error("%s: version %d is refused [%s]: %s", name, wish.version, error.code, error)

    def _show(self, **changed: Any) -> None:
        self.view = replace(self.view, **changed)


def preload() -> None:
    """Import what every model needs, so that the first deployment does not wait for it."""
    import pandas  # noqa: F401
    import sklearn.ensemble  # noqa: F401
