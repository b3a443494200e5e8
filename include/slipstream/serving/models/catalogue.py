"""What the front serves, as it sees it: the endpoint's models, or those of a Bento."""

from __future__ import annotations

from typing import Any, Protocol

from slipstream.serving.capture.labels import LabelKeeper
from slipstream.serving.models.prediction_lookup import PredictionLookup
from slipstream.serving.models.traffic_split import TrafficSplit
from slipstream.serving.version.answer import Answered


class Catalogue(Protocol):
    """What the front serves."""

    def ready(self) -> bool:
        """Whether every model that should serve does, or was refused."""
        ...

    def unread_since(self) -> float | None:
        """Since when what says what should serve cannot be read, in seconds since 1970; None while it can."""
        ...

    def split(self, model: str) -> TrafficSplit | None:
        """The versions that answer for *model*; None if there is no such model.

        Raises:
            RequestError: ``model_retired``.
        """
        ...

    def describe(self, model: str) -> dict[str, Any] | None:
        """What is known of *model*; None if nothing."""
        ...

    def names(self) -> list[str]:
        """All models, sorted."""
        ...

    def keep(self, answered: Answered, split: TrafficSplit) -> None:
        """Take an answered request for capture and for the shadow; returns at once."""
        ...

    @property
    def lookup(self) -> PredictionLookup | None:
        """Where past predictions are found; None where none are kept."""
        ...

    @property
    def labels(self) -> LabelKeeper | None:
        """Where labels go; None where none are kept."""
        ...
