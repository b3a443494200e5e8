"""The endpoint, as BentoML serves it: `slipstream serve`, or `bentoml serve slipstream.serving.service:Endpoint`."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path

from slipstream.serving.assembly import Assembly
from slipstream.serving.bentoml_adapter import fronted
from slipstream.serving.capture.writer import Capture
from slipstream.serving.http.access_log import AccessLog
from slipstream.serving.http.app import Front, Guards
from slipstream.serving.http.auth import Access
from slipstream.serving.http.request_limits import RequestLimits
from slipstream.serving.http.routes import paths_from
from slipstream.serving.launch import worker_count
from slipstream.serving.metrics.metrics import Metrics
from slipstream.serving.metrics.preallocate import reserve
from slipstream.serving.models.follower import Follower
from slipstream.serving.models.model_limits import ModelLimits
from slipstream.serving.models.store_catalogue import StoreCatalogue
from slipstream.settings import Settings
from slipstream.store import Store
from slipstream.store.state import IssuedKey


@fronted("slipstream", worker_count())
class Endpoint:
    """Serves the champion of every model of the store that ``SLIPSTREAM_STORE`` names."""

    @staticmethod
    def assemble() -> Assembly:
        """The front, the follower and the capture of this process."""
        log_to_stderr()
        reserve(os.environ.get("PROMETHEUS_MULTIPROC_DIR"))
        settings, metrics = Settings.from_environment(), Metrics()
        store = Store.open(settings.store)
        # What the follower reads, it reads for the keys too.
        guards = guards_from_environment(store.ledger.known.keys)
        limits, barrier = ModelLimits.from_environment(), os.environ.get("SLIPSTREAM_BOARD")
        place = Path(barrier) if barrier else None
        follower = Follower(store, metrics, max_rows=guards.limits.rows, limits=limits, barrier=place)
        guards.access.age = follower.age
        capture = Capture(store, metrics)
        front = Front(StoreCatalogue(follower, capture), metrics, guards, paths_from(os.environ))
        return Assembly(front, capture, follower)


def log_to_stderr() -> None:
    """Let the endpoint's own log appear beside BentoML's."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s [%(levelname)s] [slipstream] %(message)s"))
    logger = logging.getLogger("slipstream")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False


def guards_from_environment(keys: Mapping[str, IssuedKey]) -> Guards:
    """What every request must pass, as the environment says; *keys* are those of the callers."""
    return Guards(
        RequestLimits.from_environment(),
        Access.from_environment(keys),
        AccessLog.from_environment(),
        default_model=os.environ.get("SLIPSTREAM_DEFAULT_MODEL") or "",
    )
