"""A past measurement under another model file: its stored statistics are judged again, by the code that judges live."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec

from slipstream.profiling.column_drift import ColumnDrift, Methods
from slipstream.retraining.facts import measurement
from slipstream.retraining.policy import Measurement
from slipstream.spec.estimators import LOWER_IS_BETTER
from slipstream.spec.loop import QualitySpec
from slipstream.spec.model import ModelSpec
from slipstream.statistics.metrics import loss
from slipstream.statistics.multiple_testing import benjamini_hochberg
from slipstream.store import Store
from slipstream.store.state import Event

REPLAYABLE = (
    *("retrain", "monitor.quality.max_loss", "monitor.quality.estimated"),
    *(
        f"monitor.drift.{key}"
        for key in ("threshold", "share", "columns", "missing", "unknown", "explanations", "signals", "false_alarms")
    ),
)
"""Keys of the model file whose other values can be tried on statistics that were measured already."""


class Judge:
    """Judges the measurements of one model again; each champion is opened once.

    Args:
        spec: The model file to judge by.
        store: Where the statistics are.
    """

    def __init__(self, spec: ModelSpec, store: Store) -> None:
        self._spec = spec
        self._store = store
        self._subjects: dict[str, Any] = {}

    def judged(self, event: Event) -> Measurement:
        """The measurement of a ``drift.measured`` event; as it was, where its statistics were not kept.

        Raises:
            SpecError: ``spec_column_unknown``.
            BundleError: the champion of that time cannot be opened.
        """
        known = measurement(event)
        details = self._store.objects.get_json(event.content.result.details) if known.judged else {}
        if "counted" not in details:
            return known
        verdict = self._verdict(details)
        return replace(known, verdict=verdict.sentence, drifted=bool(verdict.fired), lost=verdict.lost)

    def _verdict(self, details: dict[str, Any]) -> Any:
        from slipstream.monitoring.estimated_quality import Estimate
        from slipstream.monitoring.explanation_shift import Shift
        from slipstream.monitoring.quality import QualityChange
        from slipstream.monitoring.season import Season
        from slipstream.monitoring.signals import SignalEvidence
        from slipstream.monitoring.verdict import DriftVerdict

        subject = self._subject(details["champion"])
        shift = msgspec.convert(details["explanations"], Shift)
        season = msgspec.convert(details["season"], Season)
        columns = _again(msgspec.convert(details["columns"], list[ColumnDrift]), subject.methods, season.columns)
        settings = self._spec.monitor.quality
        return DriftVerdict(
            SignalEvidence(subject, columns, subject.reference, shift, season, _rows(details["window"])),
            _quality(msgspec.convert(details["quality"], QualityChange), settings),
            _estimate(msgspec.convert(details["estimate"], Estimate), settings),
            tuple(details["left_out"]),
        )

    def _subject(self, champion: dict[str, Any]) -> Any:
        from slipstream.monitoring.reference import Champion, Subject

        if champion["bundle"] not in self._subjects:
            self._subjects[champion["bundle"]] = Subject(self._spec, self._store, Champion(**champion))
        return self._subjects[champion["bundle"]]


def _again(columns: Sequence[ColumnDrift], methods: Methods, seasonal: Sequence[str]) -> list[ColumnDrift]:
    """The columns against another threshold and level. Inputs are one family of tests, the others another."""
    judged: dict[str, ColumnDrift] = {}
    for family in (
        [one for one in columns if one.role == "input"],
        [one for one in columns if one.role != "input"],
    ):
        proven = benjamini_hochberg([one.p_value for one in family], methods.false_alarms)
        for one, significant in zip(family, proven, strict=True):
            drifted = significant and one.statistic > methods.threshold and one.column not in seasonal
            judged[one.column] = replace(one, threshold=methods.threshold, drifted=drifted)
    return [judged[one.column] for one in columns]


def _quality(was: Any, settings: QualitySpec | None) -> Any:
    """The quality against another loss that is allowed."""
    allowed = settings.max_loss if settings else None
    if allowed is None or was.loss is None:
        return replace(was, max_loss=allowed, lost=False)
    best = was.now.low if was.metric in LOWER_IS_BETTER else was.now.high
    real = best is None or loss(was.metric, was.reference.value, best) > 0
    return replace(was, max_loss=allowed, lost=was.loss > allowed and real)


def _estimate(was: Any, settings: QualitySpec | None) -> Any:
    allowed = settings.max_loss if settings else None
    return replace(was, max_loss=allowed, lost=allowed is not None and was.loss is not None and was.loss > allowed)


def _rows(window: dict[str, Any]) -> str:
    rows = f"{window['rows']:,} rows"
    return rows + (f" from {window['first'][:10]} to {window['last'][:10]}" if window["first"] else "")
