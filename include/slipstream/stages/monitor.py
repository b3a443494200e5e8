"""Monitor: holds what came since training against the champion's training reference, and judges it."""

from __future__ import annotations

import io
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import msgspec

from slipstream.errors import NotFound, StageError
from slipstream.monitoring.reference import Champion, Subject, watched_champion
from slipstream.monitoring.window import Window
from slipstream.monitoring.window_origin import Origin, origin_of
from slipstream.profiling.profile import ANSWER, Profile
from slipstream.runs import Result, Stage, once, run_key
from slipstream.spec.model import ModelSpec
from slipstream.store import Store
from slipstream.store.figures import JoinFigures, MonitorFigures
from slipstream.store.payloads import DriftMeasured
from slipstream.store.tables import left_out

if TYPE_CHECKING:
    from slipstream.monitoring.partitions import Added
    from slipstream.monitoring.scored_window import Scored
    from slipstream.monitoring.signals import SignalEvidence
    from slipstream.profiling.column_drift import ColumnDrift

__all__ = ["NOTHING_NEW", "STAGE", "Champion", "Monitored", "monitor"]

STAGE = Stage("monitor", version=3, event="drift.measured")
READS = ("target", "evaluate", "monitor", "data.time", "train.seed")
NOTHING_NEW = "Nothing new since training."
_log = logging.getLogger("slipstream")


@dataclass(frozen=True)
class Monitored(Result):
    """How a window compares with the training reference.

    Attributes:
        champion: The version that was watched.
        window: From when to when, or how many rows, in words.
        first: Event time of the oldest row, ISO 8601; empty if unknown.
        last: Event time of the newest row.
        rows: Rows of the window; 0 when nothing is new, and then nothing was committed either.
        verdict: One sentence.
        drifted: Whether any of the signals that count fired (``monitor.drift.signals``).
        signals: Which of those did.
        drifted_columns: The watched columns that drifted, largest statistic first.
        columns: How many were watched.
        seasonal: The columns that differ from training, but look as one season before.
        quality: The deciding metric on the rows whose truth is known; None where it is not.
        quality_low: Lower end of its interval; so is ``quality_high`` the upper one.
        quality_reference: The same at training, on rows that were held out.
        quality_lost: Whether it is worse by more than ``monitor.quality.max_loss`` and more than chance explains; where
            ``monitor.quality.estimated`` says so and no truth is known, the estimate decides.
        coverage: Share of the rows, old enough to be judged, whose truth is known; None where nothing can tell.
        estimated: The deciding metric as estimated without truth; None where it cannot be.
        estimated_lost: Whether that is worse by more than ``monitor.quality.max_loss``.
        damaged: Data files that are not what was written, and were left out.
        report: Digest of our HTML report; empty without rows.
        evidently: Digest of Evidently's, which runs what is in the data: serve it sandboxed only. Empty if not made.
        details: Digest of all figures, JSON.
    """

    champion: int
    window: str = ""
    first: str = ""
    last: str = ""
    rows: int = 0
    verdict: str = NOTHING_NEW
    drifted: bool = False
    signals: tuple[str, ...] = ()
    drifted_columns: tuple[str, ...] = ()
    columns: int = 0
    seasonal: tuple[str, ...] = ()
    quality: float | None = None
    quality_low: float | None = None
    quality_high: float | None = None
    quality_reference: float | None = None
    quality_lost: bool = False
    coverage: float | None = None
    estimated: float | None = None
    estimated_lost: bool = False
    damaged: tuple[str, ...] = ()
    report: str = ""
    evidently: str = ""
    details: str = ""


def monitor(spec: ModelSpec, store: Store, *, actor: str = "") -> Monitored:
    """Compare the rows of ``monitor.source`` with the champion's training reference.

    Raises:
        NotFound: ``champion_missing``.
        SpecError: ``monitor.drift.columns`` names a column that the champion does not read.
        BundleError: the champion's bundle cannot be trusted.
        StageError: ``inputs_not_kept``: no watched input is kept.
    """
    from slipstream.monitoring.quality import labels_of

    subject = Subject(spec, store, watched_champion(spec, store))
    champion = subject.champion
    origin = origin_of(spec, store, champion.number, champion.dataset)
    if not origin.id:
        return Monitored(champion=champion.number)
    labels = labels_of(subject) if spec.monitor.source == "predictions" else None
    inputs = {"bundle": champion.bundle, "version": champion.number, "window": origin.id}
    if labels is not None:
        inputs["labels"] = labels.details
    return once(
        STAGE,
        spec,
        store,
        run_key(STAGE, spec.part(*READS), inputs),
        lambda run: _monitor(subject, origin, labels),
        result=Monitored,
        actor=actor,
        record=lambda result, _: {"verdict": result.verdict, "version": champion.number},
    )


def _monitor(subject: Subject, origin: Origin, labels: JoinFigures | None) -> Monitored:
    spec, least = subject.spec, subject.spec.monitor.min_rows
    _log.debug("%s: watching %s", spec.name, ", ".join(subject.watched))
    with origin.open(subject.reference) as window:
        span = f"{window.first[:10]} to {window.last[:10]}" if window.first else f"{window.rows:,} rows"
        result = Monitored(
            subject.champion.number, span, window.first, window.last, window.rows, damaged=window.damaged
        )
        if window.rows < least:
            verdict = f"Not enough data: {window.rows:,} rows, monitor.min_rows asks for {least:,}."
            return replace(result, verdict=_with_damage(verdict, window))
        model = subject.store.ledger.state().model(spec.name)
        past = [event.content_as(DriftMeasured) for event in model.on(STAGE.event)]
        return _Measuring(subject, window, labels, past).into(result)


@dataclass(frozen=True)
class _Measuring:
    """One comparison of a window with a reference.

    Attributes:
        past: Earlier measurements of the model.
    """

    subject: Subject
    window: Window
    labels: JoinFigures | None
    past: Sequence[DriftMeasured]

    def into(self, result: Monitored) -> Monitored:
        """Profile, score, judge, and keep the figures and the pages."""
        from slipstream.monitoring.estimated_quality import estimated
        from slipstream.monitoring.quality import quality_of
        from slipstream.monitoring.scored_window import scored
        from slipstream.monitoring.timeline import timeline
        from slipstream.monitoring.verdict import DriftVerdict
        from slipstream.reports import drift as report

        store, remembered = self.subject.store, self._remembered()
        done = scored(self.subject, self.window)
        added = self._profile(remembered)
        now = self._with_answers(added.profile, done)
        evidence = self._evidence(now, done)
        quality = quality_of(self.subject, self.window, done, self.labels)
        basis = (remembered.get("estimate") or {}).get("basis")
        guess = estimated(self.subject, done.scores, quality.reference, basis)
        judged = DriftVerdict(evidence, quality, guess, self.window.left_out)
        result = replace(result, **judged.figures())
        result = replace(result, verdict=_with_damage(result.verdict, self.window))
        now_measured = msgspec.convert(result.figures(), MonitorFigures)
        details = judged.details(result.figures()) | {
            "history": [asdict(point) for point in timeline([*(one.result for one in self.past), now_measured])],
            "source": self.subject.spec.monitor.source,
            "partitions": msgspec.to_builtins(added.partitions),
            "files": {"all": added.files, "reused": added.reused},
        }
        _log.info("%s: %s", self.subject.spec.name, result.verdict)
        return replace(
            result,
            report=store.objects.put(report.page(self.subject.spec.name, details)),
            evidently=self._evidently(done, details) if self.subject.spec.monitor.evidently else "",
            details=store.objects.put_json(details),
        )

    def _remembered(self) -> dict[str, Any]:
        """The details of the newest measurement of the same champion; empty without one."""
        for before in reversed(self.past):
            details = before.result.details
            if details and before.version == self.subject.champion.number:
                try:
                    remembered: dict[str, Any] = self.subject.store.objects.get_json(details)
                except NotFound:  # it only saves work
                    return {}
                return remembered
        return {}

    def _profile(self, remembered: dict[str, Any]) -> Added:
        """The profile of all rows of the window."""
        from slipstream.monitoring.partitions import Partition, added_up

        known: list[Partition] = msgspec.convert(remembered.get("partitions", []), list[Partition])
        subject = self.subject
        added = added_up(subject.store, subject.reference, subject.champion.bundle, self.window, known)
        reused = f"{added.reused:,} of {added.files:,} data files"
        _log.info("%s: the counts of %s were remembered", subject.spec.name, reused)
        return added

    def _with_answers(self, profile: Profile, done: Scored) -> Profile:
        """The same profile with the answers to the scored rows."""
        reference = self.subject.reference.columns
        if ANSWER not in reference:
            return profile
        answers = Profile({ANSWER: reference[ANSWER]}).on(self.window.relation, done.answers)
        return Profile({**profile.columns, **answers.columns})

    def _evidence(self, now: Profile, done: Scored) -> SignalEvidence:
        """What the signals are read from."""
        from slipstream.monitoring.explanation_shift import shift
        from slipstream.monitoring.season import seasonal
        from slipstream.monitoring.signals import SignalEvidence
        from slipstream.monitoring.verdict import left_out as not_kept
        from slipstream.profiling.column_drift import drifts

        subject, window = self.subject, self.window
        columns = drifts(subject.reference, now, subject.methods)
        if not any(column.column in subject.watched for column in columns):
            message = f"{subject.spec.name}: {not_kept(window.left_out)}; name other columns."
            raise StageError(message, code="inputs_not_kept")
        differing = [one.column for one in columns if one.role != "target" and _differs(one, subject)]
        season = seasonal(subject, window, now, differing)
        judged = [replace(one, drifted=one.drifted and one.column not in season.columns) for one in columns]
        rows = f"{window.rows:,} rows" + (f" from {window.first[:10]} to {window.last[:10]}" if window.first else "")
        return SignalEvidence(subject, judged, now, shift(subject, done.frame, window.left_out), season, rows)

    def _evidently(self, done: Scored, details: dict[str, Any]) -> str:
        """Digest of Evidently's report on the scored rows and the background sample."""
        import pandas as pd

        from slipstream.reports.evidently_page import DriftSettings, Verdicts, page

        before = pd.read_parquet(io.BytesIO(self.subject.bundle.files["background.parquet"]))
        columns = {name: column.kind for name, column in self.subject.reference.columns.items()}
        names = [name for name in columns if name in done.frame.columns and name in before.columns]
        names = [name for name in names if not done.frame[name].isna().all() and not before[name].isna().all()]
        drift = self.subject.spec.monitor.drift
        settings = DriftSettings(
            numbers=tuple(name for name in names if columns[name] == "number"),
            words=tuple(name for name in names if columns[name] == "word"),
            numeric=drift.numeric,
            categorical=drift.categorical,
            threshold=drift.threshold,
            share=drift.share,
        )
        verdicts = Verdicts(details["verdict"], tuple(details["watched"]), tuple(details["columns"]))
        return self.subject.store.objects.put(page(settings, verdicts, before, done.frame))


def _with_damage(verdict: str, window: Window) -> str:
    return f"{verdict} {left_out(window.damaged)}." if window.damaged else verdict


def _differs(column: ColumnDrift, subject: Subject) -> bool:
    """Whether a column differs from training in a way that a season may explain."""
    drift = subject.spec.monitor.drift
    risen = column.missing[1] - column.missing[0]
    return column.drifted or risen > drift.missing or column.unknown > drift.unknown
