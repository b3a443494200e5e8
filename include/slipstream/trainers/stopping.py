"""The promise of a trainer that stops early; a back end of one's own may keep it too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from slipstream.slots import Trainer

if TYPE_CHECKING:
    from slipstream.spec.model import ModelSpec


@runtime_checkable
class StoppingTrainer(Trainer, Protocol):
    """A trainer that finds its number of rounds on training rows that are set aside for it."""

    @property
    def share_aside(self) -> float:
        """The share of the training rows that it wants; 0: none."""
        ...

    def fit_until(self, spec: ModelSpec, frame: Any, seed: int, fitted: Any, watched: Any) -> Any:
        """As ``fit``; *fitted* and *watched* are masks of the rows that the search for the number of rounds is to fit
        and to watch. Some rows may be in neither.
        """
        ...
