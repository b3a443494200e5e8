"""What the versions of a model answered since a rollout or one of its steps began, whichever processes answered."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from slipstream.rollout.alarms import NOTHING, Figures, ServedFigure
from slipstream.spec.model import ModelSpec
from slipstream.store import Store
from slipstream.store.predictions import CHALLENGER, CHAMPION

MOST_INSTANCES = 1000

_Place = tuple[str, int]
"""An instance of the endpoint, and a version."""


class TrafficWatch:
    """Keeps the newest figures of each instance: behind one address there may be several, and each poll reaches one.

    What an instance had counted when it was first seen belongs to the time before.
    """

    def __init__(self) -> None:
        self._newest: dict[_Place, Figures] = {}
        self._rollout: dict[_Place, Figures] = {}
        self._step: dict[_Place, Figures] = {}

    def take(self, known: Mapping[str, Any]) -> None:
        """Take what one poll found: ``instance`` and its ``traffic``."""
        for record in known["traffic"]:
            place = str(known["instance"]), int(record["version"])
            if place not in self._newest and len(self._newest) >= MOST_INSTANCES:
                continue
            self._newest[place] = figures = Figures.of(record)
            self._rollout.setdefault(place, figures)
            self._step.setdefault(place, figures)

    def begin_step(self) -> None:
        """Count the step's figures from here."""
        self._step = dict(self._newest)

    def step(self, version: int) -> Figures:
        """What *version* answered since the step began."""
        return self._since(version, self._step)

    def rollout(self, version: int) -> Figures:
        """What *version* answered since the rollout began."""
        return self._since(version, self._rollout)

    def ever(self, version: int) -> Figures:
        """What *version* answered since the endpoint's processes that were seen have started."""
        return self._since(version, {})

    def _since(self, version: int, before: Mapping[_Place, Figures]) -> Figures:
        mine = (place for place in self._newest if place[1] == version)
        return sum((self._newest[place] - before.get(place, NOTHING) for place in mine), NOTHING)


def served_qualities(
    spec: ModelSpec, store: Store, champion: int, challenger: int, began: str
) -> dict[int, ServedFigure]:
    """The deciding metric of both versions' answers since *began* (ISO 8601), of those whose labels came."""
    from slipstream.ground_truth.served_quality import served_quality

    since = datetime.fromisoformat(began)
    qualities: dict[int, ServedFigure] = {}
    for version, role in ((champion, CHAMPION), (challenger, CHALLENGER)):
        figure = served_quality(spec, store, version, since=since, role=role)
        if figure is not None and figure.value is not None:
            qualities[version] = ServedFigure(figure.metric, figure.value, figure.low, figure.high, figure.labelled)
    return qualities
