"""What the front serves, as it sees it: the endpoint's models, or those of a Bento."""

from __future__ import annotations

from typing import Any, Protocol

from slipstream.serving.labels import LabelKeeper
from slipstream.serving.past import Past
from slipstream.serving.routes import Routes
from slipstream.serving.served import Answered


class Models(Protocol):
    """What the front serves."""

    def ready(self) -> bool:
        """Whether every model that should serve does, or was refused."""
        ...

    def unread_since(self) -> float | None:
        """Since when what says what should serve cannot be read, in seconds since 1970; None while it can."""
        ...

    def routes(self, model: str) -> Routes | None:
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

    def keep(self, answered: Answered, routes: Routes) -> None:
        """Take an answered request for capture and for the shadow; returns at once."""
        ...

    @property
    def past(self) -> Past | None:
        """Where past predictions are found; None where none are kept."""
        ...

    @property
    def labels(self) -> LabelKeeper | None:
        """Where labels go; None where none are kept."""
        ...
