"""What of the answered rows is kept: all or a sample, with or without some columns, as values or as a digest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Inputs = Literal["values", "digest", "none"]

# Places of random hexadecimal digits in a prediction's id, see `served.prediction_ids`.
_FROM, _TO = 17, 25
_SPAN = 16 ** (_TO - _FROM)


@dataclass(frozen=True)
class Policy:
    """The ``deploy.capture`` of a model file.

    Attributes:
        sample: Share of the requests that is kept, from 0 to 1; a request is kept whole or not at all.
        inputs: ``values``; ``digest``: one sha256 a row, which tells equal rows and nothing else; ``none``.
        redact: Inputs whose values are never kept.
    """

    sample: float = 1.0
    inputs: Inputs = "values"
    redact: tuple[str, ...] = ()

    @classmethod
    def of(cls, capture: bool | Mapping[str, Any]) -> Policy:
        """The policy as the model file says it; model files of older versions say only whether."""
        if isinstance(capture, bool):
            return cls(sample=float(capture))
        return cls(float(capture["sample"]), capture["inputs"], tuple(capture["redact"]))

    def keeps(self, first: str) -> bool:
        """Whether the request is kept whose first prediction has the id *first*: for the same id the same answer."""
        return self.sample >= 1 or int(first[_FROM:_TO], 16) < self.sample * _SPAN

    def captured(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Those of the inputs *names* of which anything may be kept."""
        return tuple(name for name in names if name not in self.redact) if self.inputs != "none" else ()


NOTHING_KEPT = Policy(sample=0.0)
ALL_KEPT = Policy()
