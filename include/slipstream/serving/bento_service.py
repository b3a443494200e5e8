"""One version, served alone from its Bento with the native routes: `bentoml serve <model>:<version>`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipstream.bundle.bundle import read_bundle
from slipstream.serving.assembly import Assembly
from slipstream.serving.bentoml_adapter import fronted
from slipstream.serving.http.app import Front
from slipstream.serving.http.routes import paths_from
from slipstream.serving.launch import worker_count
from slipstream.serving.metrics.metrics import Metrics
from slipstream.serving.metrics.preallocate import reserve
from slipstream.serving.models.model_limits import pinned_keys
from slipstream.serving.models.store_catalogue import described
from slipstream.serving.models.traffic_split import TrafficSplit
from slipstream.serving.service import guards_from_environment, log_to_stderr
from slipstream.serving.version.answer import Answered
from slipstream.serving.version.capture_policy import NOTHING_KEPT
from slipstream.serving.version.load import load_served
from slipstream.serving.version.loaded import LoadedVersion
from slipstream.store.api_keys import read_keys
from slipstream.store.state import IssuedKey


@dataclass(frozen=True)
class BentoCatalogue:
    """The version that the Bento holds."""

    one: LoadedVersion

    def ready(self) -> bool:
        """Whether every model that should serve does, or was refused."""
        return True

    def unread_since(self) -> float | None:
        """None: a Bento holds all that it needs."""
        return None

    def split(self, model: str) -> TrafficSplit | None:
        """The versions that answer for *model*."""
        return TrafficSplit(self.one) if model == self.one.model else None

    def describe(self, model: str) -> dict[str, Any] | None:
        """What is known of *model*; None if nothing."""
        if model != self.one.model:
            return None
        return {
            "model": model,
            **described(self.one),
            "state": "serving",
            "wanted": self.one.version,
            "challenger": None,
            "shadow": None,
            "previous": None,
            "refused": None,
            "seq": 0,
            "schema": self.one.scorer.schema,
        }

    def names(self) -> list[str]:
        """All models, sorted."""
        return [self.one.model]

    def keep(self, answered: Answered, split: TrafficSplit) -> None:
        """Nothing is captured: a Bento knows no store."""

    @property
    def lookup(self) -> None:
        """No prediction is found again."""

    @property
    def labels(self) -> None:
        """No label is kept."""


@fronted("slipstream_model", worker_count())
class ModelService:
    """Serves the bundle that lies beside the code in the Bento."""

    @staticmethod
    def assemble() -> Assembly:
        """The front over the verified bundle; it does not start if the bundle was changed."""
        import slipstream

        log_to_stderr()
        reserve(os.environ.get("PROMETHEUS_MULTIPROC_DIR"))
        guards = guards_from_environment(keys_of_file())
        bundle = read_bundle(Path(slipstream.__file__).parents[1] / "bundle", pinned_keys())
        served = load_served(bundle, bundle.digest[:12], guards.limits.rows, NOTHING_KEPT)
        return Assembly(Front(BentoCatalogue(served), Metrics(), guards, paths_from(os.environ)))


def keys_of_file() -> Mapping[str, IssuedKey]:
    """The keys of the file that ``SLIPSTREAM_API_KEYS_FILE`` names; a Bento knows no store that would have them."""
    path = os.environ.get("SLIPSTREAM_API_KEYS_FILE") or ""
    return read_keys(Path(path)) if path else {}
