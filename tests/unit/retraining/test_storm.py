"""Retraining never storms: an alarm that does not end, trainings that fail or lose, and clocks that jump."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count, pairwise
from typing import Any

import pytest

from slipstream.retraining.policy import Facts, Mark, Measurement, decide_on
from slipstream.spec.loop import RetrainSpec
from slipstream.spec.model import ModelSpec
from slipstream.stages.decide import decide
from slipstream.store import Store

BEGIN = datetime(2030, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


@dataclass
class World:
    """A model whose drift alarm rings at each tick, and what becomes of the trainings that are asked for."""

    spec: ModelSpec
    store: Store
    takes: int | None
    data: bool = True
    ticks: Iterator[int] = field(default_factory=count)
    asked: list[datetime] = field(default_factory=list)
    whys: list[str] = field(default_factory=list)
    _due: int | None = None

    def append(self, kind: str, **payload: Any) -> None:
        self.store.ledger.append(kind, "small", payload)

    def begin(self) -> None:
        """Data, a training on it, and a champion."""
        self.commit("first")
        self.train("first")
        self.append("version.registered", stage="package", run="package-1", result={"candidate": "train-first"})
        self.append("deployment.finished", version=1)
        self.commit("second")

    def commit(self, name: str) -> None:
        self.append("dataset.committed", dataset=name, watermark=name, rows=1000, manifest="m")

    def train(self, dataset: str) -> None:
        result = {"candidate": f"train-{dataset}", "dataset": dataset}
        self.append("run.finished", stage="train", run=f"train-{dataset}", result=result)

    def tick(self, now: datetime) -> None:
        """One more measurement with drift, and the decision; a training that is due by then ends first."""
        number = next(self.ticks)
        if self._due is not None and number >= self._due:
            self.train(self.store.ledger.state().model("small").dataset or "")
            self._due = None
        if self.data:
            self.commit(f"data-{number}")
        found = {"drifted": True, "details": "d"}
        self.append(
            "drift.measured", stage="monitor", run=f"monitor-{number}", version=1, verdict="Drift.", result=found
        )
        decision = decide(self.spec, self.store, now=now)
        self.whys.append(decision.why)
        if decision.action == "retrain":
            self.asked.append(now)
            self._due = None if self.takes is None else number + self.takes


@pytest.fixture
def world(make_spec: Any, store: Store) -> Callable[..., World]:
    """``world(takes=3, cooldown="6h")``: trainings take three ticks; None: they all fail."""

    def make(*, takes: int | None, data: bool = True, cooldown: str | None = "6h", **retrain: Any) -> World:
        spec = make_spec(retrain={"cooldown": cooldown} | retrain)
        made = World(spec, store, takes, data)
        made.begin()
        return made

    return make


def gaps(moments: list[datetime]) -> list[timedelta]:
    return [after - before for before, after in pairwise(moments)]


def test_an_alarm_that_does_not_end_asks_once_a_cooldown(world: Any) -> None:
    """The training is done within the hour, its challenger is refused, and new data comes each hour."""
    model = world(takes=1)
    for hour in range(18):
        model.tick(BEGIN + hour * HOUR)
    assert len(model.asked) == 3
    assert min(gaps(model.asked)) == 6 * HOUR


def test_a_long_training_is_waited_for(world: Any) -> None:
    model = world(takes=10, cooldown="1h")
    for hour in range(21):
        model.tick(BEGIN + hour * HOUR)
    assert min(gaps(model.asked)) == 10 * HOUR
    assert set(model.whys) == {"asked", "open"}


def test_trainings_that_always_fail_are_asked_for_once_a_day(world: Any) -> None:
    model = world(takes=None, cooldown="1h")
    for hour in range(26):
        model.tick(BEGIN + hour * HOUR)
    assert len(model.asked) == 2
    assert min(gaps(model.asked)) == 24 * HOUR


def test_a_challenger_that_lost_is_not_made_again_from_the_same_data(world: Any) -> None:
    model = world(takes=1, data=False, cooldown=None)
    for hour in range(12):
        model.tick(BEGIN + hour * HOUR)
    assert model.asked == [BEGIN]
    assert set(model.whys[1:]) == {"trained"}
    model.commit("third")
    model.tick(BEGIN + 12 * HOUR)
    assert len(model.asked) == 2


def test_without_a_cooldown_the_open_request_still_bounds(world: Any) -> None:
    model = world(takes=4, cooldown=None)
    for hour in range(12):
        model.tick(BEGIN + hour * HOUR)
    assert len(model.asked) == 3


def test_a_clock_that_is_set_back_on_the_way(world: Any) -> None:
    model = world(takes=1)
    for hour in range(26):
        model.tick(BEGIN + hour * HOUR - (timedelta(days=1) if hour >= 13 else timedelta()))
    places = [hour for hour, why in enumerate(model.whys) if why == "asked"]
    assert places == [0, 6, 12, 19, 25]


def play(clock: Callable[[int], datetime], ticks: int = 120) -> list[int]:
    """The ticks at which the policy asks, where drift never ends and each training is done at once."""
    policy = RetrainSpec(cooldown="6h")
    asked, decided = [], []
    places = []
    for tick in range(ticks):
        drift = Measurement(tick, f"monitor-{tick}", "Drift.", judged=True, drifted=True, lost=False)
        facts = Facts(
            now=clock(tick), champion=1, measured=(drift,), dataset="new", requests=tuple(asked), decided=tuple(decided)
        )
        decided.append(Mark(tick, facts.now))
        if decide_on(policy, facts).action == "retrain":
            asked.append(decided[-1])
            places.append(tick)
    return places


@pytest.mark.parametrize("hours", [-87_600, -48, -25, -24, -7, -6, -5, -1, 1, 5, 6, 7, 24, 48, 87_600])
def test_a_clock_that_jumps_costs_one_request_at_most_and_locks_nothing(hours: int) -> None:
    for at in range(1, 40):
        places = play(lambda tick, at=at: BEGIN + tick * HOUR + (hours * HOUR if tick >= at else timedelta()))
        between = [after - before for before, after in pairwise(places)]
        assert max(between) <= 2 * 6 + 1, (at, places)  # at worst the cooldown begins again
        assert len([gap for gap in between if gap < 6]) <= 1, (at, places)


@pytest.mark.parametrize("apart", [-24, -6, -5, 5, 24, 1000])
@pytest.mark.parametrize("turns", [1, 2, 5, 11])
def test_two_clocks_that_differ_are_each_held_to_the_cooldown(apart: int, turns: int) -> None:
    places = play(lambda tick: BEGIN + tick * HOUR + (apart * HOUR if (tick // turns) % 2 else timedelta()))
    assert 5 <= len(places) <= 2 * 120 / 6
    for side in (0, 1):
        mine = [tick for tick in places if (tick // turns) % 2 == side]
        assert all(after - before >= 6 for before, after in pairwise(mine)), places


def test_order_is_the_ledgers(world: Any) -> None:
    """A request from the future that a training has answered is over, whatever the times say."""
    model = world(takes=1, cooldown=None)
    model.tick(BEGIN + timedelta(days=400))
    model.tick(BEGIN)
    assert model.whys == ["asked", "asked"]
