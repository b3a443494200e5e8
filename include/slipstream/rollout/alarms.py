"""What takes a challenger back: its figures beside the champion's, each held against its limit.

Pure functions. Nothing counts that chance may explain: a share is above its limit when the lower end of its interval is
(Wilson 1927), a difference of two shares when the lower end of the difference's interval is (Newcombe 1998, method 10).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from operator import add, sub
from typing import Any

from slipstream.number_formats import percent
from slipstream.spec.estimators import LOWER_IS_BETTER
from slipstream.spec.loop import RolloutAlarms
from slipstream.statistics.latency import BOUNDS, quantile, slower
from slipstream.statistics.shares import wilson

Z = 2.5758293035489004
"""Standard normal quantile of a two-sided level of 99 %."""
FEWEST_TIMED, FEWEST_LABELLED = 50, 50
"""Fewer requests or labelled rows say nothing of a percentile or of quality."""
FLOOR_SECONDS = 0.005
"""A difference that nobody would notice is none, whatever the ratio."""

_COUNTS = ("requests", "failures", "values", "missing", "compared", "disagreed")
_NONE = (0,) * (len(BOUNDS) + 1)


@dataclass(frozen=True)
class Figures:
    """What one version answered, from one moment to another; figures of several endpoints can be added.

    Attributes:
        requests: Requests that it answered.
        failures: Requests that it could not answer.
        values: Values asked about.
        missing: Those that were null or unlike its training.
        compared: Rows that it, on trial, and the champion answered both.
        disagreed: Those that the two answered otherwise.
        latency: Requests by the bucket of their time.
    """

    requests: int = 0
    failures: int = 0
    values: int = 0
    missing: int = 0
    compared: int = 0
    disagreed: int = 0
    latency: tuple[int, ...] = _NONE

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Figures:
        """The figures of one record of the endpoint's ``traffic``."""
        latency = tuple(record["latency"])
        counts = {name: int(record[name]) for name in _COUNTS}
        return cls(**counts, latency=latency if len(latency) == len(_NONE) else _NONE)

    @property
    def received(self) -> int:
        """Requests that came to it."""
        return self.requests + self.failures

    @property
    def p95_ms(self) -> float | None:
        """Within so many milliseconds it answered 95 % of its requests; None before the first."""
        seconds = quantile(self.latency, 0.95)
        return None if seconds is None else round(seconds * 1e3, 3)

    def __add__(self, other: Figures) -> Figures:
        return self._with(add, other)

    def __sub__(self, other: Figures) -> Figures:
        return self._with(sub, other)

    def payload(self) -> dict[str, Any]:
        """Plain values for a payload."""
        return {**asdict(self), "latency": list(self.latency), "p95_ms": self.p95_ms}

    def _with(self, operation: Callable[[int, int], int], other: Figures) -> Figures:
        counts = {name: operation(getattr(self, name), getattr(other, name)) for name in _COUNTS}
        pairs = zip(self.latency, other.latency, strict=True)
        return Figures(**counts, latency=tuple(operation(one, two) for one, two in pairs))


@dataclass(frozen=True)
class ServedFigure:
    """The deciding metric of one version's answers on *labelled* rows, those whose labels came; None: not known."""

    metric: str
    value: float
    low: float | None
    high: float | None
    labelled: int


@dataclass(frozen=True)
class VersionSide:
    """One of the two versions: its number, its figures and, where labels have come, its quality."""

    version: int
    figures: Figures
    quality: ServedFigure | None = None


@dataclass(frozen=True)
class Alarm:
    """Why a challenger must go.

    Attributes:
        name: The alarm's key in the model file.
        value: What was measured.
        limit: What the model file allows.
        sentence: Both in one sentence.
    """

    name: str
    value: float
    limit: float
    sentence: str


NOTHING = Figures()


def alarm(limits: RolloutAlarms, champion: VersionSide, challenger: VersionSide) -> Alarm | None:
    """The first alarm that the figures raise; None as long as chance may explain them."""
    return next(_alarms(limits, champion, challenger), None)


def _alarms(limits: RolloutAlarms, champion: VersionSide, challenger: VersionSide) -> Iterator[Alarm]:
    for name, judge in _JUDGES.items():
        limit = getattr(limits, name)
        verdict = judge(limit, champion, challenger) if limit is not None else None
        if verdict is not None:
            yield Alarm(name, round(verdict[0], 6), limit, verdict[1])


Verdict = tuple[float, str] | None


def _errors(limit: float, _: VersionSide, challenger: VersionSide) -> Verdict:
    failures, requests = challenger.figures.failures, challenger.figures.received
    if not requests or wilson(failures, requests, Z)[0] <= limit:
        return None
    share = failures / requests
    text = f"could not answer {failures:,} of {requests:,} requests ({percent(share)}; limit {percent(limit)})"
    return share, f"Version {challenger.version} {text}."


def _latency(limit: float, champion: VersionSide, challenger: VersionSide) -> Verdict:
    ours, theirs = challenger.figures.latency, champion.figures.latency
    usual, own = quantile(theirs, 0.95), quantile(ours, 0.95)
    if usual is None or own is None or min(sum(ours), sum(theirs)) < FEWEST_TIMED:
        return None
    # Its 95th percentile lies above the threshold when more than 5 % of its answers do.
    threshold = max(limit * usual, usual + FLOOR_SECONDS)
    if own <= threshold or wilson(slower(ours, threshold), sum(ours), Z)[0] <= 0.05:
        return None
    text = f"needs {own * 1e3:.3g} ms for 95 % of its answers, {own / usual:.3g} times as long as version"
    return own / usual, (
        f"Version {challenger.version} {text} {champion.version} with {usual * 1e3:.3g} ms (limit: {limit:g} times)."
    )


def _missing(limit: float, champion: VersionSide, challenger: VersionSide) -> Verdict:
    one, other = challenger.figures, champion.figures
    if not one.values or not other.values or _least_rise(other, one) <= limit:
        return None
    ours, theirs = one.missing / one.values, other.missing / other.values
    return ours - theirs, (
        f"{percent(ours)} of the values of version {challenger.version} are null or unlike training, of version "
        f"{champion.version} {percent(theirs)} (limit: {100 * limit:.3g} points more)."
    )


def _disagreement(limit: float, champion: VersionSide, challenger: VersionSide) -> Verdict:
    compared, disagreed = challenger.figures.compared, challenger.figures.disagreed
    if not compared or wilson(disagreed, compared, Z)[0] <= limit:
        return None
    share = disagreed / compared
    return share, (
        f"Version {challenger.version} answers {disagreed:,} of {compared:,} rows otherwise than version "
        f"{champion.version} ({percent(share)}; limit {percent(limit)})."
    )


def _quality(limit: float, champion: VersionSide, challenger: VersionSide) -> Verdict:
    ours, theirs = challenger.quality, champion.quality
    if ours is None or theirs is None or min(ours.labelled, theirs.labelled) < FEWEST_LABELLED:
        return None
    sense = -1 if ours.metric in LOWER_IS_BETTER else 1
    lost = sense * (theirs.value - ours.value)
    best, worst = (ours.high, theirs.low) if sense > 0 else (ours.low, theirs.high)
    chance = math.hypot(
        ours.value - (ours.value if best is None else best), theirs.value - (theirs.value if worst is None else worst)
    )
    if lost - chance <= limit:
        return None
    return lost, (
        f"Version {challenger.version} reaches {ours.metric} {ours.value:.4g} on {ours.labelled:,} labelled rows, "
        f"version {champion.version} {theirs.value:.4g} (limit: {limit:g} worse)."
    )


_JUDGES: Mapping[str, Callable[[float, VersionSide, VersionSide], Verdict]] = {
    "errors": _errors,
    "latency": _latency,
    "missing": _missing,
    "disagreement": _disagreement,
    "quality": _quality,
}


def judged(limits: RolloutAlarms, champion: VersionSide, challenger: VersionSide) -> tuple[list[str], list[str]]:
    """Names of the alarms that are set: those that had enough to judge, and those that had not."""
    ours, theirs = challenger.figures, champion.figures
    labelled = [side.quality.labelled if side.quality else 0 for side in (champion, challenger)]
    enough = {
        "errors": ours.received > 0,
        "latency": min(sum(ours.latency), sum(theirs.latency)) >= FEWEST_TIMED,
        "missing": min(ours.values, theirs.values) > 0,
        "disagreement": ours.compared > 0,
        "quality": min(labelled) >= FEWEST_LABELLED,
    }
    watched = [name for name in enough if getattr(limits, name) is not None]
    return [name for name in watched if enough[name]], [name for name in watched if not enough[name]]


def _least_rise(before: Figures, after: Figures) -> float:
    """By how much the share of missing values rose at least, at 99 % (Newcombe 1998, method 10)."""
    old, new = before.missing / before.values, after.missing / after.values
    low, high = wilson(after.missing, after.values, Z)[0], wilson(before.missing, before.values, Z)[1]
    return (new - old) - math.hypot(new - low, high - old)
