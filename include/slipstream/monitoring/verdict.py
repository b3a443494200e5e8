"""The verdict on a window: which signals fired, what is lost, one sentence, and all figures to keep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from slipstream.monitoring.estimated_quality import Estimate
from slipstream.monitoring.quality import QualityChange
from slipstream.monitoring.signals import NAMED, Signal, SignalEvidence, signals
from slipstream.profiling.column_drift import figures
from slipstream.spec.estimators import LOWER_IS_BETTER


def left_out(names: Sequence[str]) -> str:
    """What the sentence says of inputs that cannot be judged; empty if there are none."""
    listed = ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else "")
    return f"not judged, because deploy.capture does not keep them: {listed}" if listed else ""


@dataclass(frozen=True)
class DriftVerdict:
    """The judgement.

    Attributes:
        evidence: What was found of the columns and the explanations.
        quality: With truth.
        estimate: Without.
        left_out: Inputs that could not be judged.
    """

    evidence: SignalEvidence
    quality: QualityChange
    estimate: Estimate
    left_out: tuple[str, ...]

    @cached_property
    def signals(self) -> dict[str, Signal]:
        """Every signal by its word."""
        return signals(self.evidence)

    @property
    def fired(self) -> tuple[str, ...]:
        """The signals that count and fired."""
        counted = self.evidence.subject.spec.monitor.drift.signals
        return tuple(word for word, signal in self.signals.items() if word in counted and signal.fired)

    @property
    def lost(self) -> bool:
        """Whether quality is lost, by truth or, where the model file wants that and there is no truth, by estimate."""
        return self.quality.lost or self._lost_by_estimate

    @property
    def _lost_by_estimate(self) -> bool:
        settings = self.evidence.subject.spec.monitor.quality
        return bool(settings and settings.estimated and self.quality.now is None and self.estimate.lost)

    @property
    def sentence(self) -> str:
        """What was found, what fired first."""
        signals = self.signals
        sentences = [signals[word].sentence for word in self.fired]
        lost, held = self._quality_sentences()
        if "inputs" not in self.fired:
            sentences = [*sentences, *lost, signals["inputs"].sentence]
            lost = []
        parts = [*sentences, *lost, *held, left_out(self.left_out)]
        whole = "; ".join(filter(None, parts)) + "."
        return whole[0].upper() + whole[1:] if self.fired else whole  # a metric's name stays as it is

    def _quality_sentences(self) -> tuple[list[str], list[str]]:
        """What is said of quality: of a loss, and of what is not lost."""
        estimate = self._estimate_sentence()
        if self.quality.now is None:
            return ([estimate], []) if self._lost_by_estimate else ([], [estimate])
        return ([self.quality.sentence], []) if self.quality.lost else ([], [self.quality.sentence])

    def _estimate_sentence(self) -> str:
        value, before = self.estimate.value, self.quality.reference
        if value is None or before is None or before.value is None:
            return ""
        metric = self.quality.metric
        if not self.estimate.lost:
            return f"{metric} estimated without truth {value:.3f}, at training {before.value:.3f}"
        moved = "rose" if metric in LOWER_IS_BETTER else "fell"
        return f"{metric}, estimated without truth, {moved} from {before.value:.3f} to {value:.3f}"

    def figures(self) -> dict[str, Any]:
        """The fields of the stage's result."""
        now, before = self.quality.now, self.quality.reference
        return {
            "verdict": self.sentence,
            "drifted": bool(self.fired),
            "signals": self.fired,
            "drifted_columns": tuple(column.column for column in self.evidence.drifted),
            "columns": len(self.evidence.watched),
            "seasonal": self.evidence.season.columns,
            "quality": now.value if now else None,
            "quality_low": now.low if now else None,
            "quality_high": now.high if now else None,
            "quality_reference": before.value if before else None,
            "quality_lost": self.lost,
            "coverage": self.quality.coverage,
            "estimated": self.estimate.value,
            "estimated_lost": self.estimate.lost,
        }

    def details(self, result: dict[str, Any]) -> dict[str, Any]:
        """All figures, as plain values; *result* holds those of the stage's result."""
        subject, season = self.evidence.subject, self.evidence.season
        columns = figures(self.evidence.columns, subject.reference, self.evidence.profile)
        return {
            "champion": asdict(subject.champion),
            "window": {"named": result["window"], **{name: result[name] for name in ("rows", "first", "last")}},
            "verdict": result["verdict"],
            "drifted": result["drifted"],
            "share": subject.spec.monitor.drift.share,
            "level": subject.level,
            "counted": list(subject.spec.monitor.drift.signals),
            "signals": {word: asdict(signal) for word, signal in self.signals.items()},
            "watched": [column.column for column in self.evidence.watched],
            "left_out": list(self.left_out),
            "columns": [column | {"seasonal": column["column"] in season.columns} for column in columns],
            "season": asdict(season),
            "explanations": asdict(self.evidence.shift),
            "quality": asdict(self.quality),
            "estimate": asdict(self.estimate),
            "lost": self.lost,
            "not_judged": self._not_judged(),
        }

    def _not_judged(self) -> list[str]:
        """What could not be judged, and why."""
        season = f"season of {self.evidence.season.span}"
        reasons = {
            "inputs": left_out(self.left_out),
            f"quality ({self.quality.metric})": self.quality.note,
            "estimated quality": self.estimate.note,
            "shift in explanations": self.evidence.shift.note,
            season: self.evidence.season.note,
        }
        return [f"{what}: {why}" for what, why in reasons.items() if why]
