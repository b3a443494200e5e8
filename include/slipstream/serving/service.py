"""The endpoint, as BentoML serves it: `slipstream serve`, or `bentoml serve slipstream.serving.service:Endpoint`."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path

from slipstream.serving.access import Access
from slipstream.serving.assembly import Assembly
from slipstream.serving.bounds import Bounds
from slipstream.serving.capture import Capture
from slipstream.serving.endpoint import FollowedModels
from slipstream.serving.follow import Follower
from slipstream.serving.front import Front, Guards
from slipstream.serving.hook import fronted
from slipstream.serving.limits import Limits
from slipstream.serving.log import AccessLog
from slipstream.serving.meters import Meters
from slipstream.serving.paths import paths_from
from slipstream.serving.room import reserve
from slipstream.serving.start import worker_count
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
        settings, meters = Settings.from_environment(), Meters()
        store = Store.open(settings.store)
        # What the follower reads, it reads for the keys too.
        guards = guards_from_environment(store.ledger.known.keys)
        bounds, board = Bounds.from_environment(), os.environ.get("SLIPSTREAM_BOARD")
        place = Path(board) if board else None
        follower = Follower(store, meters, max_rows=guards.limits.rows, bounds=bounds, board=place)
        guards.access.age = follower.age
        capture = Capture(store, meters)
        front = Front(FollowedModels(follower, capture), meters, guards, paths_from(os.environ))
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
        Limits.from_environment(),
        Access.from_environment(keys),
        AccessLog.from_environment(),
        default_model=os.environ.get("SLIPSTREAM_DEFAULT_MODEL") or "",
    )
