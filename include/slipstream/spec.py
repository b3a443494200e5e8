"""What model.yaml may say. Parsed once, checked strictly, frozen: every other module is handed a :class:`ModelSpec`."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PrivateAttr, field_validator, model_validator

from slipstream.estimators import CLASSIFIERS, ESTIMATORS, METRICS, REGRESSORS
from slipstream.spec_data import ContractSpec, DataSpec, Expectation
from slipstream.spec_loop import ApprovalSpec, DeploySpec, MonitorSpec, RetrainSpec, ScheduleSpec
from slipstream.spec_values import Backend, Column, Duration, Name, Part, SpecProblem, duration, unknown

_HEADER = re.compile(r"^header:[A-Za-z0-9-]{1,100}$")

__all__ = ["ContractSpec", "DataSpec", "Expectation", "GateSpec", "ModelSpec", "Task", "TrainSpec"]

Task = Literal["binary", "multiclass", "regression"]


def _listed(value: object) -> object:
    """One name as a list of one."""
    return [value] if isinstance(value, str) else value


class TrainSpec(Part):
    """How a candidate is made."""

    trainer: Backend
    """The trainer: `{type: sklearn, estimator: ..., parameters: {...}}`."""
    window: Duration | None = None
    """Train and hold out on the last so much of the data (by event time); without it, on all."""
    holdout: Duration | float = 0.2
    """The newest part, never trained on: a duration of event time, or a share of the rows."""
    gap: Duration | None = None
    """Event time left out between training and hold-out rows, for labels that look back."""
    group: Annotated[tuple[Column, ...], BeforeValidator(_listed, json_schema_input_type=str | list[str])] = Field(
        default=(), strict=False
    )
    """Columns whose equal rows (a customer, a patient) stand on one side of the split, with event time too. A missing
    value is a group as any other."""
    min_rows: int = Field(default=100, gt=0)
    """With fewer training rows the stage fails."""
    seed: int = 7
    """Seeds every random choice."""

    @field_validator("holdout", mode="before")
    @classmethod
    def _share(cls, value: object) -> object:
        if isinstance(value, int | float) and not 0 < value < 1:
            raise ValueError("a share of the rows lies between 0 and 1")
        return value if isinstance(value, float) else duration(value)


class EvaluateSpec(Part):
    """How a candidate is judged."""

    metric: str
    """The metric that decides between champion and challenger."""
    metrics: tuple[str, ...] = Field(default=(), strict=False)
    """Further metrics to report."""
    slices: tuple[Column, ...] = Field(default=(), strict=False)
    """Columns by whose values the metric is reported too."""
    sensitive: tuple[Column, ...] = Field(default=(), strict=False)
    """Columns of the data whose groups are to be treated alike; fairness is reported, and gates can bound it."""
    min_slice: int = Field(default=200, gt=0)
    """Slices with fewer rows are not judged."""
    bootstrap: int = Field(default=200, ge=20, le=2000)
    """Resamples behind each confidence interval."""


class GateSpec(Part):
    """A rule that a candidate must pass before it can serve."""

    type: Literal["metric", "champion", "slice", "fairness", "replay", "latency", "size"]
    """`metric`: a bound on a metric; `champion`: not worse than the champion; `slice`: a bound in every slice;
    `fairness`: a bound on the difference between the groups of the sensitive columns; `replay`: a bound on the share of
    captured rows that the champion answers otherwise; `latency`: milliseconds for one row; `size`: megabytes of the
    bundle."""
    metric: str | None = None
    """The metric; without it the deciding metric of `evaluate`."""
    bound: float | None = None
    """The worst value that passes: a floor or, for losses, latency and size, a ceiling."""
    margin: float = Field(default=0.0, ge=0)
    """For `champion`: how much worse than the champion still passes."""
    column: Column | None = None
    """For `fairness`: the sensitive column; without it the worst of all."""
    measure: Literal["demographic_parity", "equal_opportunity", "equalized_odds", "metric"] = "metric"
    """For `fairness`: `demographic_parity` (share of positive answers), `equal_opportunity` (true positive rate),
    `equalized_odds` (true and false positive rate) or `metric`; the largest difference between two groups counts."""

    @model_validator(mode="after")
    def _bounded(self) -> GateSpec:
        if self.type != "champion" and self.bound is None:
            raise SpecProblem(f"gate '{self.type}' needs 'bound'")
        return self


class ModelSpec(Part):
    """One model project: everything that model.yaml says."""

    name: Name
    """The model's name; also its folder's name."""
    description: str = ""
    """One sentence on what it predicts, for people."""
    owner: str = "slipstream"
    """Who answers for it; shown in Airflow."""
    task: Task
    """`binary`, `multiclass` or `regression`."""
    target: Column
    """The column to predict."""
    positive: bool | int | str | None = None
    """For `binary`: the label that probabilities, precision and recall are about. Not needed for true and false, 1 and
    0, yes and no."""
    inputs: tuple[Column, ...] = Field(min_length=1, max_length=2000, strict=False)
    """The columns that the model sees, in this order; types come from the data."""
    data: DataSpec
    contract: ContractSpec = ContractSpec()
    train: TrainSpec
    evaluate: EvaluateSpec
    gates: tuple[GateSpec, ...] = Field(default=(), strict=False)
    explain: Backend = Field(default_factory=lambda: {"type": "permutation"})
    """The explainer: `{type: permutation}` or, with the extra, `{type: shap}`."""
    approval: ApprovalSpec = ApprovalSpec()
    deploy: DeploySpec = DeploySpec()
    monitor: MonitorSpec = MonitorSpec()
    retrain: RetrainSpec = RetrainSpec()
    schedule: ScheduleSpec = ScheduleSpec()
    alerts: tuple[Backend, ...] = Field(default=(), strict=False)
    """Airflow notifiers told of failed tasks: `{type: webhook, connection: ...}`, `{type: smtp, to: ...}`."""
    trackers: tuple[Backend, ...] = Field(default=(), strict=False)
    """Who else is told of runs."""
    pool: str = "default_pool"
    """Airflow pool of the heavy tasks."""

    _folder: Path = PrivateAttr(default=Path())
    _allow_code: bool = PrivateAttr(default=False)

    @model_validator(mode="after")
    def _consistent(self) -> ModelSpec:
        for number, column in enumerate(self.inputs):
            if column in self.inputs[:number]:
                raise SpecProblem(f"column {column!r} is named twice", "inputs", number)
            same = [one for one in (*self.inputs[:number], self.target) if one.lower() == column.lower()]
            if same and column not in same:
                raise SpecProblem(f"{column!r} and {same[0]!r} differ by case only; rename one", "inputs", number)
            if column == self.target:
                raise SpecProblem(f"the target {column!r} cannot be an input", "inputs", number)
        if self.positive is not None and self.task != "binary":
            raise SpecProblem(f"only a binary task has a positive label; this one is {self.task}", "positive")
        self._check_dropped()
        self._check_deploy()
        self._check_metrics()
        self._check_fairness()
        self._check_estimator()
        if self.data.time is None and isinstance(self.train.holdout, timedelta):
            raise SpecProblem(
                "a duration needs data.time; give a share such as 0.2 or name the time column", "train", "holdout"
            )
        if self.data.time is None and self.train.window:
            raise SpecProblem("needs data.time; name the time column", "train", "window")
        return self

    def _check_dropped(self) -> None:
        dropped = {name for name, column in self.data.columns.items() if column.drop}
        named = (*self.inputs, self.target, *self.data.key, *filter(None, [self.data.time]))
        for name in dropped.intersection(named):
            message = f"column {name!r} is dropped, but the model uses it; take one of the two out"
            raise SpecProblem(message, "data", "schema", name, code="spec_schema_invalid")

    def _check_deploy(self) -> None:
        sticky = self.deploy.sticky
        if sticky and sticky not in self.inputs and not _HEADER.match(sticky):
            raise unknown("input or header:<name>", sticky, self.inputs, "spec_column_unknown", "deploy", "sticky")
        for number, column in enumerate(self.deploy.capture.redact):
            if column not in self.inputs:
                raise unknown(
                    "input", column, self.inputs, "spec_column_unknown", "deploy", "capture", "redact", number
                )

    def _check_metrics(self) -> None:
        named: list[tuple[str, tuple[str | int, ...]]] = [(self.evaluate.metric, ("evaluate", "metric"))]
        named += [(metric, ("evaluate", "metrics", number)) for number, metric in enumerate(self.evaluate.metrics)]
        named += [(gate.metric, ("gates", number, "metric")) for number, gate in enumerate(self.gates) if gate.metric]
        for metric, place in named:
            if metric not in METRICS[self.task]:
                raise unknown(f"{self.task} metric", metric, METRICS[self.task], "spec_metric_unknown", *place)

    def _check_fairness(self) -> None:
        for number, gate in enumerate(self.gates):
            if gate.type != "fairness":
                continue
            known = self.evaluate.sensitive
            if not known:
                raise SpecProblem("gate 'fairness' needs evaluate.sensitive; name the columns there", "gates", number)
            if gate.column is not None and gate.column not in known:
                raise unknown("sensitive column", gate.column, known, "spec_column_unknown", "gates", number, "column")
            if gate.measure != "metric" and self.task != "binary":
                message = f"{gate.measure} is for task 'binary'; use 'metric'"
                raise SpecProblem(message, "gates", number, "measure")

    def _check_estimator(self) -> None:
        if self.train.trainer["type"] != "sklearn":
            return
        place = ("train", "trainer", "estimator")
        named = str(self.train.trainer.get("estimator"))
        if named not in ESTIMATORS:
            raise unknown("estimator", named, ESTIMATORS, "spec_estimator_unknown", *place)
        if named not in (REGRESSORS if self.task == "regression" else CLASSIFIERS):
            raise SpecProblem(f"{named} does not do task '{self.task}'", *place)

    @property
    def folder(self) -> Path:
        """The model's folder; features.py is looked for here."""
        return self._folder

    @property
    def allow_code(self) -> bool:
        """Whether slots may name installed code; the installation's to say, never the file's."""
        return self._allow_code

    def at(self, folder: Path, *, allow_code: bool = False) -> ModelSpec:
        """The same spec, read from *folder*."""
        placed = self.model_copy()
        placed._folder = folder
        placed._allow_code = allow_code
        return placed

    @property
    def seed(self) -> int:
        """The seed of every random choice."""
        return self.train.seed

    def part(self, *names: str) -> dict[str, Any]:
        """The named parts as plain JSON values, for a stage's key."""
        return self.model_dump(mode="json", include=set(names))
