"""The models of the endpoint, as its front sees them: those that the follower serves, with capture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from slipstream.serving.capture import Capture
from slipstream.serving.follow import Follower
from slipstream.serving.served import Answered, Served


@dataclass(frozen=True)
class FollowedModels:
    """The champions."""

    follower: Follower
    capture: Capture

    def ready(self) -> bool:
        """Whether every model that should serve does, or was refused."""
        return self.follower.view.ready

    def served(self, model: str) -> Served | None:
        """The version that answers for *model*."""
        return self.follower.view.served.get(model)

    def describe(self, model: str) -> dict[str, Any] | None:
        """What is known of *model*; None if nothing."""
        return self.follower.describe(model)

    def names(self) -> list[str]:
        """All models, sorted."""
        view = self.follower.view
        return sorted({*view.served, *view.wishes})

    def keep(self, answered: Answered, request: str) -> None:
        """Hand the answers to the capture, where the model file asks for it."""
        if answered.served.capture:
            self.capture.offer(answered, request)
