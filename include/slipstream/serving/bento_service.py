"""One version, served alone from its Bento with the native routes: `bentoml serve <model>:<version>`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bentoml  # noqa: TID253 - only BentoML imports this module

from slipstream.scoring.bundle import read_bundle
from slipstream.serving.assembly import Assembly
from slipstream.serving.front import Front
from slipstream.serving.hook import FrontService
from slipstream.serving.meters import Meters
from slipstream.serving.served import Answered, Served, load_served
from slipstream.serving.service import limits_from_environment, log_to_stderr, pinned_keys


@dataclass(frozen=True)
class OneModel:
    """The version that the Bento holds."""

    one: Served

    def ready(self) -> bool:
        """Whether every model that should serve does, or was refused."""
        return True

    def served(self, model: str) -> Served | None:
        """The version that answers for *model*."""
        return self.one if model == self.one.model else None

    def describe(self, model: str) -> dict[str, Any] | None:
        """What is known of *model*; None if nothing."""
        if model != self.one.model:
            return None
        return {
            "model": model,
            "version": self.one.version,
            "bundle": self.one.bundle,
            "state": "serving",
            "wanted": self.one.version,
            "refused": None,
            "seq": 0,
            "schema": self.one.scorer.schema,
        }

    def names(self) -> list[str]:
        """All models, sorted."""
        return [self.one.model]

    def keep(self, answered: Answered, request: str) -> None:
        """Nothing is captured: a Bento knows no store."""


@bentoml.service(name="slipstream_model", service_class=FrontService, workers=1)
class ModelService:
    """Serves the bundle that lies beside the code in the Bento."""

    @staticmethod
    def assemble() -> Assembly:
        """The front over the verified bundle; it does not start if the bundle was changed."""
        import slipstream

        log_to_stderr()
        limits = limits_from_environment()
        bundle = read_bundle(Path(slipstream.__file__).parents[1] / "bundle", pinned_keys())
        served = load_served(bundle, bundle.digest[:12], limits.rows, capture=False)
        return Assembly(Front(OneModel(served), Meters(), limits))
