"""The endpoint, as BentoML serves it: `slipstream serve`, or `bentoml serve slipstream.serving.service:Endpoint`."""

from __future__ import annotations

import logging
import os

import bentoml  # noqa: TID253 - only `bentoml serve` imports this module

from slipstream.serving.assembly import Assembly
from slipstream.serving.capture import Capture
from slipstream.serving.endpoint import FollowedModels
from slipstream.serving.follow import Follower
from slipstream.serving.front import Front
from slipstream.serving.hook import FrontService
from slipstream.serving.limits import Limits
from slipstream.serving.meters import Meters
from slipstream.settings import Settings
from slipstream.store import Store


@bentoml.service(name="slipstream", service_class=FrontService, workers=1)
class Endpoint:
    """Serves the champion of every model of the store that ``SLIPSTREAM_STORE`` names."""

    @staticmethod
    def assemble() -> Assembly:
        """The front, the follower and the capture of this process."""
        log_to_stderr()
        settings, limits, meters = Settings.from_environment(), limits_from_environment(), Meters()
        store = Store.open(settings.store)
        follower = Follower(store, meters, max_rows=limits.rows, pinned=pinned_keys())
        capture = Capture(store, meters)
        return Assembly(Front(FollowedModels(follower, capture), meters, limits), capture, follower)


def log_to_stderr() -> None:
    """Let the endpoint's own log appear beside BentoML's."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s [%(levelname)s] [slipstream] %(message)s"))
    logger = logging.getLogger("slipstream")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False


def limits_from_environment() -> Limits:
    """Limits by ``SLIPSTREAM_MAX_BODY`` (bytes) and ``SLIPSTREAM_MAX_ROWS``."""
    usual = Limits()
    return Limits(
        body=int(os.environ.get("SLIPSTREAM_MAX_BODY") or usual.body),
        rows=int(os.environ.get("SLIPSTREAM_MAX_ROWS") or usual.rows),
    )


def pinned_keys() -> frozenset[str]:
    """The names of the only signing keys to believe, by ``SLIPSTREAM_TRUSTED_KEYS``."""
    named = os.environ.get("SLIPSTREAM_TRUSTED_KEYS", "")
    return frozenset(filter(None, (name.strip() for name in named.split(","))))
