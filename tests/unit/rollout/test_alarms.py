"""When a challenger must go: what chance explains raises no alarm, what it does not does."""

from __future__ import annotations

import math
from bisect import bisect_left

import numpy as np
import pytest

from slipstream.rollout.alarms import Figures, ServedFigure, VersionSide, Z, alarm
from slipstream.rollout.traffic import TrafficWatch
from slipstream.spec.loop import RolloutAlarms
from slipstream.statistics.latency import BOUNDS, quantile, slower
from slipstream.statistics.shares import wilson

ALL = RolloutAlarms(disagreement=0.2, quality=0.02)


def timed(*seconds: float) -> tuple[int, ...]:
    counts = [0] * (len(BOUNDS) + 1)
    for one in seconds:
        counts[bisect_left(BOUNDS, one)] += 1
    return tuple(counts)


def named(challenger: Figures, champion: Figures | None = None, limits: RolloutAlarms = ALL) -> str | None:
    found = alarm(limits, VersionSide(1, champion or Figures()), VersionSide(2, challenger))
    return found.name if found else None


class TestErrors:
    @pytest.mark.parametrize(
        ("failures", "requests", "expected"),
        [(1, 0, "errors"), (1, 19, None), (5, 495, None), (20, 480, "errors"), (0, 10_000, None), (0, 0, None)],
    )
    def test_beyond_chance(self, failures: int, requests: int, expected: str | None) -> None:
        assert named(Figures(requests=requests, failures=failures)) == expected

    def test_sentence(self) -> None:
        found = alarm(ALL, VersionSide(1, Figures()), VersionSide(3, Figures(requests=28, failures=12)))
        assert found is not None
        assert found.sentence == "Version 3 could not answer 12 of 40 requests (30 %; limit 1 %)."
        assert (found.value, found.limit) == (0.3, 0.01)

    def test_at_the_limit_it_is_quiet(self) -> None:
        random = np.random.default_rng(0)
        raised = [named(Figures(requests=500, failures=int(n))) for n in random.binomial(500, 0.01, 1000)]
        assert sum(name is not None for name in raised) <= 15

    def test_can_be_switched_off(self) -> None:
        assert named(Figures(failures=10), limits=RolloutAlarms(errors=None)) is None


class TestLatency:
    def test_a_slow_one(self) -> None:
        champion = Figures(100, latency=timed(*[0.002] * 100))
        assert named(Figures(100, latency=timed(*[0.02] * 100)), champion) == "latency"
        assert named(Figures(100, latency=timed(*[0.002] * 100)), champion) is None

    def test_a_few_slow_answers_are_chance(self) -> None:
        champion = Figures(100, latency=timed(*[0.002] * 100))
        assert named(Figures(100, latency=timed(*[0.002] * 93, *[0.2] * 7)), champion) is None
        assert named(Figures(100, latency=timed(*[0.002] * 70, *[0.2] * 30)), champion) == "latency"

    def test_a_difference_that_nobody_notices(self) -> None:
        champion = Figures(100, latency=timed(*[0.0002] * 100))
        assert named(Figures(100, latency=timed(*[0.003] * 100)), champion) is None

    def test_needs_fifty_of_each(self) -> None:
        few, many = Figures(49, latency=timed(*[0.001] * 49)), Figures(100, latency=timed(*[0.5] * 100))
        assert named(many, few) is None
        assert named(Figures(49, latency=timed(*[0.5] * 49)), Figures(100, latency=timed(*[0.001] * 100))) is None


class TestShares:
    @pytest.mark.parametrize(
        ("missing", "values", "expected"), [(300, 1000, "missing"), (140, 1000, None), (2, 3, None), (0, 0, None)]
    )
    def test_missing(self, missing: int, values: int, expected: str | None) -> None:
        assert named(Figures(values=values, missing=missing), Figures(values=1000, missing=50)) == expected

    def test_without_a_champion_there_is_nothing_to_compare(self) -> None:
        assert named(Figures(values=1000, missing=1000)) is None

    @pytest.mark.parametrize(("disagreed", "expected"), [(20, None), (25, None), (45, "disagreement")])
    def test_disagreement(self, disagreed: int, expected: str | None) -> None:
        assert named(Figures(compared=100, disagreed=disagreed)) == expected

    def test_intervals_are_those_of_wilson(self) -> None:
        # Brown, Cai, DasGupta (2001) write the same interval; here by its defining equation.
        for count, total in ((1, 1), (3, 40), (250, 1000)):
            for end in wilson(count, total, Z):
                share = count / total
                assert abs(share - end) == pytest.approx(2.5758293035489004 * math.sqrt(end * (1 - end) / total))


class TestQuality:
    def quality(
        self, value: float, metric: str = "roc_auc", labelled: int = 200, half: float | None = 0.01
    ) -> ServedFigure:
        ends = (None, None) if half is None else (value - half, value + half)
        return ServedFigure(metric, value, *ends, labelled)

    @pytest.mark.parametrize(
        ("metric", "challenger", "champion", "expected"),
        [
            ("roc_auc", 0.70, 0.80, "quality"),
            ("roc_auc", 0.77, 0.80, None),
            ("roc_auc", 0.90, 0.80, None),
            ("rmse", 12.0, 10.0, "quality"),
            ("rmse", 9.0, 10.0, None),
        ],
    )
    def test_worse_beyond_chance(self, metric: str, challenger: float, champion: float, expected: str | None) -> None:
        sides = (VersionSide(v, Figures(), self.quality(q, metric)) for v, q in ((1, champion), (2, challenger)))
        found = alarm(ALL, *sides)
        assert (found.name if found else None) == expected

    def test_needs_fifty_labels(self) -> None:
        good, bad = self.quality(0.9, labelled=49), self.quality(0.1, half=None)
        assert alarm(ALL, VersionSide(1, Figures(), good), VersionSide(2, Figures(), bad)) is None


def test_quantiles_of_buckets_are_near_those_of_the_answers() -> None:
    random = np.random.default_rng(1)
    seconds = random.lognormal(-5, 1, 20_000)
    counts = timed(*seconds)
    for share in (0.5, 0.95, 0.99):
        found = quantile(counts, share)
        assert found == pytest.approx(float(np.quantile(seconds, share)), rel=0.25)
        assert found is not None
        assert slower(counts, found) == pytest.approx((1 - share) * 20_000, abs=2)
    assert quantile([0] * len(counts), 0.95) is None
    assert slower(timed(100.0, 0.1), 20.0) == 0
    assert quantile(timed(100.0), 0.95) == BOUNDS[-1]


class TestWatch:
    def told(self, instance: str, version: int, requests: int) -> dict[str, object]:
        names = ("failures", "values", "missing", "compared", "disagreed")
        latency = [requests, *[0] * len(BOUNDS)]
        one = {"version": version, "requests": requests, **dict.fromkeys(names, 0), "latency": latency}
        return {"instance": instance, "traffic": [one]}

    def test_adds_up_what_each_instance_answered_since(self) -> None:
        watch = TrafficWatch()
        for instance, requests in (("a", 100), ("b", 10), ("a", 120), ("b", 15)):
            watch.take(self.told(instance, 2, requests))
        assert watch.rollout(2).requests == 25
        watch.begin_step()
        assert watch.step(2).requests == 0
        watch.take(self.told("a", 2, 125))
        watch.take(self.told("c", 2, 1000))  # it was there before, as far as anybody knows
        watch.take(self.told("c", 2, 1001))
        assert watch.step(2) == Figures(requests=6, latency=(6, *[0] * len(BOUNDS)))
        assert (watch.rollout(2).requests, watch.ever(2).requests) == (31, 1141)
        assert watch.rollout(3) == Figures()
