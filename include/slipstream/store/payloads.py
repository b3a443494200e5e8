"""What events say: a type for the payload of each kind. Older events lack some fields; those have defaults."""

from __future__ import annotations

from typing import Any

import msgspec

from slipstream.store import figures


class Payload(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What an event of any kind may say.

    Attributes:
        stage: The stage that finished; "" if none did.
        run: Id of its run.
        spec: Digest of the model file that it ran by.
        version: The version that the event is about.
        reason: Why it happened, in one sentence.
        evidence: Ids and figures behind it.
        result: What the stage left.
    """

    stage: str = ""
    run: str = ""
    spec: str = ""
    version: int | None = None
    reason: str | None = ""
    evidence: dict[str, Any] | None = None
    result: figures.StageFigures = figures.StageFigures()

    @property
    def about(self) -> int | None:
        """The version that the event, or the result in it, is about."""
        return self.version or self.result.version or None


class IngestFinished(Payload, frozen=True, kw_only=True):
    """A batch arrived."""

    result: figures.IngestFigures = figures.IngestFigures()


class TrainFinished(Payload, frozen=True, kw_only=True):
    """A candidate was trained."""

    result: figures.TrainFigures = figures.TrainFigures()


class ImportFinished(Payload, frozen=True, kw_only=True):
    """A model that was fitted elsewhere became a candidate; the evidence names its file."""

    result: figures.TrainFigures = figures.TrainFigures()


class EvaluateFinished(Payload, frozen=True, kw_only=True):
    """A candidate was evaluated."""

    result: figures.EvaluateFigures = figures.EvaluateFigures()


class ExplainFinished(Payload, frozen=True, kw_only=True):
    """A candidate was explained."""

    result: figures.ExplainFigures = figures.ExplainFigures()


class GateFinished(Payload, frozen=True, kw_only=True):
    """A version was held against the gates."""

    result: figures.GateFigures


class ReplayFinished(Payload, frozen=True, kw_only=True):
    """Captured requests were answered again by a version."""

    result: figures.ReplayFigures


class ScoreFinished(Payload, frozen=True, kw_only=True):
    """Rows of files or of the data table were answered by a version; the evidence names bundle, input and output."""

    result: figures.ScoreFigures = figures.ScoreFigures()


class LabelsFinished(Payload, frozen=True, kw_only=True):
    """A delivery of labels was taken."""

    result: figures.LabelsFigures = figures.LabelsFigures()


class ValidationFinished(Payload, frozen=True, kw_only=True):
    """A batch was judged by the contract."""

    result: figures.ValidateFigures = figures.ValidateFigures()


class DatasetCommitted(Payload, frozen=True, kw_only=True):
    """The data table has a new version.

    Attributes:
        dataset: Its id.
        watermark: What the next delivery starts after.
        manifest: Digest of the list of its files.
        batch: The batch that made it; empty in events of an earlier time.
        batches: All that it was derived from anew; None unless a rebuild made it.
        joined: Name of each joined table -> the version that the batch was joined with.
        derived: File that the rebuild wrote -> what tells the delivery that it was derived from.
        rows: Its rows.
    """

    dataset: str
    watermark: str
    manifest: str = ""
    batch: str | None = None
    batches: tuple[str, ...] | None = None
    derived: dict[str, str] | None = None
    joined: dict[str, str] = {}
    rows: int = 0
    result: figures.ValidateFigures = figures.ValidateFigures()


class SchemaAccepted(Payload, frozen=True, kw_only=True):
    """A person accepted changes of the columns that a *batch* brought to the dataset version *dataset*."""

    batch: str
    dataset: str
    changes: tuple[figures.ColumnDecision, ...]


class JoinedCommitted(Payload, frozen=True, kw_only=True):
    """Joined table *table* has version *joined* of so many *rows*, *added* of them new; next read after *watermark*."""

    table: str
    joined: str
    manifest: str
    watermark: str = ""
    rows: int = 0
    added: int = 0


class VersionRegistered(Payload, frozen=True, kw_only=True):
    """A version was packaged and signed."""

    result: figures.VersionFigures


class DeploymentShifted(Payload, frozen=True, kw_only=True):
    """A deployment has another share of the keys.

    Attributes:
        version: The version that is being rolled out.
        weight: The share of the keys that it answers; 1: everything.
        shadow: Whether it only listens.
        request: The caller's word for what it asked for, who may so take it back; "" for none.
    """

    version: int
    weight: float = 1.0
    shadow: bool = False
    request: str = ""

    @property
    def steps(self) -> list[dict[str, Any]]:
        """The evidence of each step of a rollout that has passed."""
        return list((self.evidence or {}).get("steps", []))


class DeploymentStarted(DeploymentShifted, frozen=True, kw_only=True):
    """A version is being rolled out.

    Attributes:
        sticky: What keeps a caller with one version.
        schema_change: Whether the inputs or the classes may change.
        left: The version that a rollback leaves; None for any other deployment.
    """

    sticky: str | None = ""
    schema_change: bool = False
    left: int | None = None


class DeploymentFinished(Payload, frozen=True, kw_only=True):
    """A version is the champion.

    Attributes:
        version: Its number.
        previous: The champion before it.
        left: The version that a rollback left; None for any other deployment.
        request: What asked for the rollback; the same request is answered once.
    """

    version: int
    previous: int | None = None
    left: int | None = None
    request: str = ""


class DeploymentRolledBack(Payload, frozen=True, kw_only=True):
    """A deployment was closed without a new champion.

    Attributes:
        version: The version that was taken back.
        previous: The champion, which serves on.
        code: ``rolled_back``, or the code of the error for which it did not come into service.
        alarm: The alarm that took it back; "" for none.
        request: What asked for the rollback; the same request is answered once.
    """

    version: int
    previous: int | None = None
    code: str = ""
    alarm: str = ""
    request: str = ""


class ModelRetired(Payload, frozen=True, kw_only=True):
    """The model was taken out of service."""


class RetrainDecided(Payload, frozen=True, kw_only=True):
    """It was decided whether to retrain.

    Attributes:
        situation: Digest of all that decided.
        trigger: What asks; "" when nothing does.
        at: What the clock showed, ISO 8601; "" for the event's own time.
    """

    situation: str = ""
    trigger: str = ""
    at: str = ""
    result: figures.DecideFigures = figures.DecideFigures()

    @property
    def measured(self) -> str:
        """Run of the measurement that it was decided on; a request of an older release was the monitoring's own."""
        return str((self.evidence or {}).get("measured") or self.run)


class ApprovalRequested(Payload, frozen=True, kw_only=True):
    """A person was asked about a version; *requester* asked for its training, "" when the policy did."""

    version: int
    requester: str = ""


class ApprovalDecided(Payload, frozen=True, kw_only=True):
    """A person, or the policy, decided on a version."""

    version: int
    approved: bool
    comment: str | None = ""


class DriftMeasured(Payload, frozen=True, kw_only=True):
    """A window was compared with the training reference of a version."""

    verdict: str = ""
    result: figures.MonitorFigures = figures.MonitorFigures()


class LabelsJoined(Payload, frozen=True, kw_only=True):
    """Labels were joined to the predictions of a version; None before the first champion."""

    sentence: str = ""
    result: figures.JoinFigures = figures.JoinFigures()


class KeyPublished(Payload, frozen=True, kw_only=True):
    """A signing key is trusted for the model from now on; *key* is its name."""

    key: str


class KeyIssued(Payload, frozen=True, kw_only=True):
    """An API key of the endpoint, as :class:`slipstream.store.state.IssuedKey` has it."""

    id: str
    digest: str
    caller: str
    scopes: tuple[str, ...]
    expires: str


class KeyRevoked(Payload, frozen=True, kw_only=True):
    """The API key of that id was taken back."""

    id: str
