"""What a stage leaves in its event, as far as others than its own room read it. The rooms have the whole results."""

from __future__ import annotations

import msgspec


class StageFigures(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What any stage may leave.

    Attributes:
        version: The version that the run was about; None or 0 for none.
        batch: Id of the batch that it was about.
        report: Digest of our HTML report; "" for none.
        evidently: Digest of Evidently's.
        card: Digest of the model card's page.
        details: Digest of all that it found, JSON.
    """

    version: int | None = None
    batch: str = ""
    report: str = ""
    evidently: str = ""
    card: str = ""
    details: str = ""

    def reports(self) -> dict[str, str]:
        """Name -> digest of each HTML page."""
        pages = {"report": self.report, "evidently": self.evidently, "card": self.card}
        return {name: digest for name, digest in pages.items() if digest}


class IngestFigures(StageFigures, frozen=True, kw_only=True):
    """Of an ingest: rows of the batch; None in an event that lacks them."""

    rows: int | None = None


class ValidateFigures(StageFigures, frozen=True, kw_only=True):
    """Of a validation: how many rows came and were good, whether they were committed, or why not."""

    rows: int | None = None
    good: int = 0
    quarantined: int = 0
    success: bool = False
    failed: tuple[str, ...] = ()
    message: str = ""


class TrainFigures(StageFigures, frozen=True, kw_only=True):
    """Of a training: the candidate, which is the run's id, and what it was trained on; *cutoff* is ISO 8601 or ""."""

    candidate: str = ""
    dataset: str = ""
    rows_train: int | None = None
    cutoff: str = ""


class EvaluateFigures(StageFigures, frozen=True, kw_only=True):
    """Of an evaluation: the scores, and by how much the deciding metric is better than the champion's."""

    metric: str = ""
    scores: dict[str, float | None] = {}
    champion: int | None = None
    gain: float | None = None
    rows: int = 0


class ExplainFigures(StageFigures, frozen=True, kw_only=True):
    """Of an explanation: ``(input, mean effect)``, largest first; None in an event that lacks them."""

    importance: tuple[tuple[str, float], ...] | None = None


class VersionFigures(StageFigures, frozen=True, kw_only=True):
    """Of a packaging: the runs that the version came from, its bundle, and what gates judge of it.

    Attributes:
        candidate: The train run.
        evaluation: The evaluate run.
        explanation: The explain run.
        dataset: The dataset version that it was trained on.
        bundle: Id of the bundle; "" only in an event that cannot be served.
        size_bytes: Of all files of the bundle; None where it was not measured.
        latency_ms: Median time to answer one row, in milliseconds; None where it was not measured.
    """

    bundle: str = ""
    candidate: str = ""
    evaluation: str = ""
    explanation: str = ""
    dataset: str = ""
    size_bytes: int | None = None
    latency_ms: float | None = None


class VerdictFigures(msgspec.Struct, frozen=True, gc=False):
    """What one gate says: whether the version may pass, and why."""

    passed: bool
    sentence: str


class GateFigures(StageFigures, frozen=True, kw_only=True):
    """Of a run of the gates: whether the version passed all, and what each says."""

    version: int
    passed: bool
    verdicts: tuple[VerdictFigures, ...]

    @property
    def refusals(self) -> list[str]:
        """The sentences of the gates that did not let it pass."""
        return [verdict.sentence for verdict in self.verdicts if not verdict.passed]


class ReplayFigures(StageFigures, frozen=True, kw_only=True):
    """Of a replay: the challenger's and the champion's number, and the outcome in one sentence."""

    version: int
    champion: int | None = None
    sentence: str = ""


class ScoreFigures(StageFigures, frozen=True, kw_only=True):
    """Of a batch scoring: the version, where its answers lie, how many rows, and how many have none."""

    input: str = ""
    output: str = ""
    rows: int = 0
    errors: int = 0
    sentence: str = ""


class LabelsFigures(StageFigures, frozen=True, kw_only=True):
    """Of a delivery of labels: its rows, the new labels, and the rows that could not be used."""

    rows: int | None = None
    new: int = 0
    bad: int = 0


class MonitorFigures(StageFigures, frozen=True, kw_only=True):
    """Of a measurement of drift; as the stage's own result has it (:class:`slipstream.stages.monitor.Monitored`)."""

    champion: int | None = None
    window: str = ""
    first: str | None = ""
    last: str | None = ""
    rows: int = 0
    verdict: str = ""
    drifted: bool = False
    drifted_columns: tuple[str, ...] = ()
    columns: int = 0
    quality: float | None = None
    quality_low: float | None = None
    quality_high: float | None = None
    quality_lost: bool = False
    estimated: float | None = None


class JoinFigures(StageFigures, frozen=True, kw_only=True):
    """Of a join of labels: the deciding metric with its interval, and on how many answers it was measured."""

    metric: str = ""
    sentence: str = ""
    value: float | None = None
    low: float | None = None
    high: float | None = None
    labelled: int = 0
    coverage: float | None = 0.0
    matured: str = ""


class DecideFigures(StageFigures, frozen=True, kw_only=True):
    """Of a decision on retraining: ``asked``, or what stands against it in a word."""

    why: str = ""


class ColumnDecision(msgspec.Struct, frozen=True, kw_only=True):
    """One change of a column: ``added``, ``removed``, ``renamed`` (*now* is its new name) or ``retyped``."""

    kind: str
    column: str
    was: str = ""
    now: str = ""
    delivered: bool = False
