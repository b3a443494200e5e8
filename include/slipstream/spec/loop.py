"""What model.yaml may say of the loop behind training: approval, deployment, monitoring, retraining, schedules."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from slipstream.errors import shown
from slipstream.hints import did_you_mean
from slipstream.spec.cron import wrong_cron
from slipstream.spec.values import Backend, Column, Duration, SpecPart, SpecProblem

Signal = Literal["inputs", "prediction", "target", "missing", "unknown", "explanations"]


class ApprovalSpec(SpecPart):
    """Whether a person decides."""

    mode: Literal["auto", "manual"] = "auto"
    """`auto`: passing the gates is enough; `manual`: a person decides in Airflow's Required Actions."""
    timeout: Duration = Field(default="3d", validate_default=True)
    """No answer by then counts as no."""
    four_eyes: bool = False
    """Whether who asked for the training may not be the one who approves its version."""


class CaptureSpec(SpecPart):
    """What of the answered rows the predictions table keeps. `capture: true` is the default, `false` keeps nothing."""

    sample: float = Field(default=1.0, ge=0, le=1)
    """Share of the requests that are kept; a request is kept whole or not at all."""
    inputs: Literal["values", "digest", "none"] = "values"
    """`values`; `digest`: one sha256 a row instead, by which equal rows are found; `none`."""
    redact: tuple[Column, ...] = Field(default=(), strict=False)
    """Inputs that are never kept, nor part of the digest."""


def _in_full(capture: object) -> object:
    """`true` and `false` in the long form."""
    if not isinstance(capture, bool | dict | CaptureSpec):
        raise ValueError("expected true, false or the keys sample, inputs and redact")
    return {"sample": float(capture)} if isinstance(capture, bool) else capture


class RolloutAlarms(SpecPart):
    """What takes a challenger back. Each can be switched off with `null`, but not all."""

    errors: float | None = Field(default=0.01, ge=0, lt=1)
    """Share of its requests that it could not answer (the champion then answers them)."""
    latency: float | None = Field(default=3.0, gt=1)
    """How many times the champion's 95th percentile its own may be."""
    missing: float | None = Field(default=0.1, gt=0, le=1)
    """By how much the share of its values that are null or unlike training may exceed the champion's."""
    disagreement: float | None = Field(default=None, gt=0, le=1)
    """Share of its rows that the champion answers otherwise: another label, or a number more than 1 % off."""
    quality: float | None = Field(default=None, gt=0)
    """By how much its deciding metric may be worse than the champion's, where labels have come."""

    @model_validator(mode="after")
    def _some(self) -> RolloutAlarms:
        if all(getattr(self, name) is None for name in type(self).model_fields):
            raise SpecProblem(
                "nothing would stop a bad version; set at least one of errors, latency, missing, disagreement, quality",
                code="spec_alarm_missing",
            )
        return self


class RolloutSpec(SpecPart):
    """How a new version takes over from a champion: step by step, watched at each."""

    steps: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(default=(0.1, 0.5), max_length=20, strict=False)
    """Shares of the keys that it answers as a canary, ascending; before it takes over it answers everything once."""
    bake: Duration = Field(default="1m", validate_default=True)
    """How long each step is watched."""
    min_requests: int = Field(default=0, ge=0)
    """Each step lasts until it has answered so many."""
    patience: Duration = Field(default="1h", validate_default=True)
    """A step that has not seen `min_requests` by then is taken back."""
    alarms: RolloutAlarms = RolloutAlarms()

    @field_validator("steps")
    @classmethod
    def _ascending(cls, steps: tuple[float, ...]) -> tuple[float, ...]:
        if any(later <= earlier for earlier, later in pairwise(steps)):
            raise ValueError("steps must ascend, such as [0.1, 0.5]")
        return steps


class DeploySpec(SpecPart):
    """Where the champion serves."""

    target: Backend = Field(default_factory=lambda: {"type": "endpoint"})
    """The target: `{type: endpoint}` waits for the running endpoint; `{type: local}` proves the bundle in process."""
    timeout: Duration = Field(default="2m", validate_default=True)
    """The endpoint must answer with the version by then."""
    rollout: RolloutSpec = RolloutSpec()
    sticky: str = Field(default="", max_length=200)
    """What keeps a caller with one version during a canary: an input, `header:<name>`, or none: the whole request."""
    on_schema_change: Literal["refuse", "allow"] = "refuse"
    """What happens to a version whose inputs or classes differ from those of the version that serves."""
    capture: Annotated[CaptureSpec, BeforeValidator(_in_full, json_schema_input_type=bool | CaptureSpec)] = (
        CaptureSpec()
    )
    """What of the answered rows the predictions table keeps: `true`, `false` or the keys below."""


class DriftSpec(SpecPart):
    """When a window counts as drifted."""

    numeric: Literal["psi", "ks", "wasserstein", "jensen_shannon"] = "psi"
    """Method for numbers."""
    categorical: Literal["psi", "jensen_shannon", "chi_square"] = "psi"
    """Method for categories."""
    threshold: float = Field(default=0.2, gt=0)
    """A column has drifted when its statistic is above it and above what chance explains."""
    columns: tuple[Column, ...] = Field(default=(), strict=False)
    """Columns to watch; without it all inputs."""
    share: float = Field(default=0.3, gt=0, le=1)
    """The inputs have drifted when at least this share of the watched columns has, or (below 1) one of them by far."""
    missing: float = Field(default=0.1, gt=0, le=1)
    """A watched column misses more values than at training when its share of missing ones rose by more."""
    unknown: float = Field(default=0.1, gt=0, le=1)
    """A watched column has unknown words when a larger share of its rows holds words that training never saw."""
    explanations: float = Field(default=0.2, gt=0, le=1)
    """The explanations have shifted when a larger share of the mean absolute contributions moved to other inputs."""
    signals: tuple[Signal, ...] = Field(default=("inputs", "missing", "unknown"), min_length=1, strict=False)
    """What counts as drift: any of `inputs`, `prediction`, `target`, `missing`, `unknown` and `explanations`. All are
    measured and shown in any case."""
    false_alarms: float = Field(default=0.01, gt=0, le=0.2)
    """Budget: at most about this share of quiet windows may count as drifted. The tests of all columns are corrected
    for their number (Benjamini and Hochberg 1995)."""
    season: Duration | None = None
    """Where history has rows of one season before, a column that looks now as it did then has not drifted."""


class QualitySpec(SpecPart):
    """When quality counts as lost; judged where truth is known."""

    max_loss: float = Field(gt=0)
    """How much worse than at training the deciding metric may be."""
    maturity: Duration | None = None
    """Only predictions at least so old are judged: labels that come early are seldom a fair sample."""
    min_coverage: float = Field(default=0.0, ge=0, le=1)
    """With a smaller share of them labelled there is no verdict."""
    estimated: bool = False
    """Whether an estimated loss counts as long as there is no truth (classifiers)."""


class MonitorSpec(SpecPart):
    """How the champion is watched."""

    source: Literal["data", "predictions"] = "data"
    """What is compared with the training reference: newly committed rows, or captured predictions."""
    window: Duration | None = None
    """How much of it, back from the newest row; without it everything since the reference."""
    min_rows: int = Field(default=500, gt=0)
    """With fewer rows there is no verdict."""
    drift: DriftSpec = DriftSpec()
    quality: QualitySpec | None = None
    labels: Backend | None = None
    """Where labels come from, as `data.source` has it: what is new of them is brought before they are joined. Its
    columns are those of `data.key` (or `id`, of the prediction), `label` or the target, and if wanted `time`."""
    evidently: bool = True
    """Whether Evidently's report is made too, from a sample."""


def _cron(value: str) -> str:
    """A cron expression that has a next time."""
    if problem := wrong_cron(value):
        raise ValueError(problem)
    return value


class RetrainSpec(SpecPart):
    """The policy: what asks for a retraining, and how often it may."""

    drift: bool = True
    """When a window has drifted."""
    quality: bool = True
    """When quality is lost, by `monitor.quality`."""
    rows: int | None = Field(default=None, gt=0)
    """When so many rows were committed since the newest training; 1: at each new dataset version."""
    cron: Annotated[str, AfterValidator(_cron)] | None = None
    """When a time of this cron expression (UTC) has passed since the newest training."""
    windows: int = Field(default=1, ge=1, le=100)
    """Drift and lost quality must last so many windows in a row; windows that overlap count once."""
    cooldown: Duration | None = Field(default="1h", validate_default=True)
    """At least so long lies between two requests; `null`: no limit. There is never more than one open request."""


def _started(*words: str) -> Any:
    """What may start a DAG: one of *words*, or a cron expression."""

    def checked(value: str) -> str:
        problem = "" if value in words else wrong_cron(value)
        if problem and words:
            hint = did_you_mean(value, words)
            neither = f"{shown(value)} is neither {', '.join(words)} nor a cron expression; {hint}"
            problem = neither if hint else f"{problem}. It may also be {' or '.join(words)}"
        if problem:
            raise ValueError(problem)
        return value

    return AfterValidator(checked)


class ScheduleSpec(SpecPart):
    """What starts each DAG; an empty list means by hand only. Training is started by the policy of `retrain`."""

    ingest: tuple[Annotated[str, _started()], ...] = Field(default=(), strict=False)
    """A cron expression."""
    monitor: tuple[Annotated[str, _started("data", "predictions")], ...] = Field(default=("data",), strict=False)
    """`data` (each new dataset version), `predictions` (new predictions or labels, looked for every few seconds) and a
    cron expression, in any mix."""
    score: tuple[Annotated[str, _started("data")], ...] = Field(default=(), strict=False)
    """Of the batch job `score`: `data` (each new dataset version) and a cron expression, in any mix."""

    @field_validator("ingest", "monitor", "score")
    @classmethod
    def _one(cls, entries: tuple[str, ...]) -> tuple[str, ...]:
        crons = [entry for entry in entries if entry not in {"data", "predictions"}]
        if len(crons) > 1:
            raise ValueError(f"expected at most one cron expression, got {', '.join(crons)}")
        return entries
