"""What counts as drift: each signal measured against its limit, with one sentence of evidence."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from slipstream.monitoring.explanation_shift import Shift
from slipstream.monitoring.reference import Subject
from slipstream.monitoring.season import Season
from slipstream.profiling.column_drift import ColumnDrift
from slipstream.profiling.profile import Profile
from slipstream.statistics.multiple_testing import benjamini_hochberg

NAMED = 5
"""So many columns are named in a sentence."""


@dataclass(frozen=True)
class Signal:
    """One signal.

    Attributes:
        fired: Whether it is above its limit, and above what chance explains.
        value: What was measured; None where it was not.
        limit: What the model file allows.
        sentence: The evidence, as part of a sentence.
    """

    fired: bool
    value: float | None
    limit: float
    sentence: str


@dataclass(frozen=True)
class SignalEvidence:
    """What the signals are read from.

    Attributes:
        subject: The champion.
        columns: The verdict on every column; those that only look as one season before are not drifted.
        profile: The window's profile.
        shift: How the contributions moved.
        season: The comparison with one season before.
        rows: Which rows the window has, in words.
    """

    subject: Subject
    columns: Sequence[ColumnDrift]
    profile: Profile
    shift: Shift
    season: Season
    rows: str

    @property
    def watched(self) -> list[ColumnDrift]:
        """The columns that count."""
        return [column for column in self.columns if column.column in self.subject.watched]

    @property
    def drifted(self) -> list[ColumnDrift]:
        """Those of them that drifted, largest statistic first."""
        return sorted((one for one in self.watched if one.drifted), key=lambda one: (-one.statistic, one.column))


def signals(evidence: SignalEvidence) -> dict[str, Signal]:
    """Every signal, by its word in ``monitor.drift.signals``."""
    return {word: measure(evidence) for word, measure in _SIGNALS.items()}


def _inputs(evidence: SignalEvidence) -> Signal:
    drifted, count = evidence.drifted, len(evidence.watched)
    limit = evidence.subject.spec.monitor.drift.share
    # Who asks for all inputs asks for no single one.
    alone = [one.column for one in drifted if one.statistic > one.far and limit < 1]
    listed = _listed([_statistic(one) for one in drifted])
    sentence = f"{len(drifted)} of {count} inputs drifted in {evidence.rows}" + (f" ({listed})" if listed else "")
    alike = [one for one in evidence.watched if one.column in evidence.season.columns]
    if alike:
        did = "look as they" if len(alike) > 1 else "looks as it"
        sentence += f", {len(alike)} more {did} did {evidence.season.span} before"
    enough = len(drifted) >= limit * count
    if alone and not enough:
        sentence += f"; {_listed(alone)} so far that one is enough"
    return Signal(enough or bool(alone), len(drifted) / count, limit, sentence)


def _role(role: str, name: str) -> Callable[[SignalEvidence], Signal]:
    def measure(evidence: SignalEvidence) -> Signal:
        limit = evidence.subject.spec.monitor.drift.threshold
        column = next((one for one in evidence.columns if one.role == role), None)
        if column is None or not column.n_window:
            return Signal(False, None, limit, f"{name}: not known")
        sentence = f"{name} {'drifted' if column.drifted else 'did not drift'} ({_statistic(column)})"
        return Signal(column.drifted, column.statistic, max(limit, column.noise), sentence)

    return measure


def _missing(evidence: SignalEvidence) -> Signal:
    """More values are missing: the rise of the share, and whether chance explains it (two shares, normal)."""
    limit = evidence.subject.spec.monitor.drift.missing
    judged = [one for one in evidence.watched if one.n_reference and one.n_window]
    chances = [_above(one.missing[1], one.missing[0], _pooled(one)) for one in judged]
    proven = benjamini_hochberg(chances, evidence.subject.level)
    risen = {one.column: one for one, is_proven in zip(judged, proven, strict=True) if is_proven}
    over = _over({name: one.missing[1] - one.missing[0] for name, one in risen.items()}, limit, evidence.season)
    changes = [f"{name} {risen[name].missing[0]:.1%} -> {risen[name].missing[1]:.1%}" for name in over]
    largest = max((one.missing[1] - one.missing[0] for one in judged), default=None)
    return Signal(bool(over), largest, limit, f"missing values: {_listed(changes) or 'no rise'}")


def _unknown(evidence: SignalEvidence) -> Signal:
    """Words that training never saw, beyond what training lets expect (Good, Biometrika 40 (1953), 237-264)."""
    limit = evidence.subject.spec.monitor.drift.unknown
    judged = [one for one in evidence.watched if one.n_reference and one.n_window]
    chances = [_above(one.unknown, *_unseen(evidence, one)) for one in judged]
    proven = benjamini_hochberg(chances, evidence.subject.level)
    shares = {one.column: one.unknown for one, is_proven in zip(judged, proven, strict=True) if is_proven}
    over = _over(shares, limit, evidence.season)
    changes = [f"{name} in {shares[name]:.1%} of the rows" for name in over]
    largest = max((one.unknown for one in judged), default=None)
    return Signal(
        bool(over), largest, limit, f"words that training never saw: {_listed(changes) or 'no more than allowed'}"
    )


def _explanations(evidence: SignalEvidence) -> Signal:
    limit, shift = evidence.subject.spec.monitor.drift.explanations, evidence.shift
    if shift.moved is None or shift.reference is None or shift.window is None:
        return Signal(False, None, limit, f"explanations: not measured, because {shift.note}")
    fired = shift.moved > limit and shift.p_value <= evidence.subject.level
    before, now = shift.reference, shift.window
    most = sorted(before, key=lambda name: (-abs(now[name] - before[name]), name))[:2]
    moves = ", ".join(f"{name} {before[name]:.1%} -> {now[name]:.1%}" for name in most)
    return Signal(fired, shift.moved, limit, f"{shift.moved:.1%} of the contributions moved to other inputs ({moves})")


_SIGNALS: dict[str, Callable[[SignalEvidence], Signal]] = {
    "inputs": _inputs,
    "prediction": _role("answer", "the answer"),
    "target": _role("target", "the target"),
    "missing": _missing,
    "unknown": _unknown,
    "explanations": _explanations,
}


def _statistic(column: ColumnDrift) -> str:
    bound = max(column.threshold, column.noise)
    sign = ">" if column.statistic > bound else "≤"
    name = "" if column.role == "answer" else f"{column.column} "
    return f"{name}{column.method} {column.statistic:.3g} {sign} {bound:.3g}"


def _listed(texts: Sequence[str]) -> str:
    return ", ".join(texts[:NAMED]) + (", ..." if len(texts) > NAMED else "")


def _over(values: dict[str, float], limit: float, season: Season) -> list[str]:
    """The names whose value is above *limit*, largest first, but for those that look as one season before."""
    over = [name for name, value in values.items() if value > limit and name not in season.columns]
    return sorted(over, key=lambda name: (-values[name], name))


def _pooled(column: ColumnDrift) -> float:
    """The variance of the difference of two shares of missing values where both are one."""
    before, now = column.missing
    rows = column.n_reference, column.n_window
    share = (before * rows[0] + now * rows[1]) / sum(rows)
    return share * (1 - share) * (1 / rows[0] + 1 / rows[1])


def _unseen(evidence: SignalEvidence, column: ColumnDrift) -> tuple[float, float]:
    """The share of unseen words that a quiet window has, by the words that training saw once, and its variance."""
    counts = [count for _, count in evidence.subject.reference.columns[column.column].words]
    once, twice, rows = counts.count(1), counts.count(2), column.n_reference
    share = once / rows
    # At least as uncertain as one row more would make it.
    held = max(share, 1 / rows)
    return share, held * (1 - min(held, 1)) / column.n_window + max(once + 2 * twice, 1) / rows**2


def _above(value: float, expected: float, variance: float) -> float:
    """The chance of a normal figure to be at least *value*."""
    if variance <= 0:
        return 1.0 if value <= expected else 0.0
    return 0.5 * math.erfc((value - expected) / math.sqrt(2 * variance))
