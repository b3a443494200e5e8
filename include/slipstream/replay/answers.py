"""One version's answers to captured rows: by what serves it, with the rows at which it fails."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from slipstream.bundle.scorer import Answers, Scorer
from slipstream.errors import SlipstreamError
from slipstream.replay.captured_rows import Requests

ENOUGH = 200
"""After so many rows that it fails at, no more are asked: any is too many."""


@dataclass
class ReplaySide:
    """One of the two versions.

    Attributes:
        answered: Row -> label (or number) and probability.
        failed: Row -> why it could not be answered.
        seconds: For one row, of each call.
    """

    scorer: Scorer
    answered: dict[int, tuple[Any, Any]] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)

    def answer(self, requests: Requests, places: Any) -> None:
        """Answer the rows at *places*, an integer array; where that fails, each half, until those at fault are known.

        Whatever an estimator raises is what callers would get no answer for.
        """
        if not len(places):
            return
        columns = requests.columns(self.scorer.schema, places)
        began = time.perf_counter()
        try:
            answers = self.scorer.predict(columns)
        except Exception as error:
            if len(places) == 1:
                self.failed[int(places[0])] = _reason(error)
            elif len(self.failed) < ENOUGH:
                middle = len(places) // 2
                self.answer(requests, places[:middle])
                self.answer(requests, places[middle:])
            return
        self.seconds.append((time.perf_counter() - began) / len(places))
        probabilities = answers.probabilities or [None] * len(places)
        self.answered |= dict(zip(places.tolist(), zip(answers.predictions, probabilities, strict=True), strict=True))

    def answers(self, places: list[int]) -> Answers:
        """What it said of the rows at *places*, of which there are some."""
        predictions, probabilities = zip(*(self.answered[place] for place in places), strict=True)
        return Answers(list(predictions), None if probabilities[0] is None else list(probabilities))


def _reason(error: Exception) -> str:
    text = str(error).splitlines()[0][:80] if str(error) else type(error).__name__
    return text if isinstance(error, SlipstreamError) else f"{type(error).__name__}: {text}"
