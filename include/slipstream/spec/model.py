"""What model.yaml may say. Parsed once, checked strictly, frozen: every other module is handed a :class:`ModelSpec`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PrivateAttr, field_validator

from slipstream.spec.data import ContractSpec, DataSpec, Expectation
from slipstream.spec.loop import ApprovalSpec, DeploySpec, MonitorSpec, RetrainSpec, ScheduleSpec
from slipstream.spec.score import ScoreSpec
from slipstream.spec.values import Backend, Column, Duration, Name, SpecPart, as_written, duration

__all__ = ["ContractSpec", "DataSpec", "Expectation", "GateSpec", "ModelSpec", "Task", "TrainSpec", "value_at"]

Task = Literal["binary", "multiclass", "regression"]


def _listed(value: object) -> object:
    """One name as a list of one."""
    return [value] if isinstance(value, str) else value


def _label(value: object) -> object:
    """What can be a label."""
    if value is not None and not isinstance(value, bool | int | str):
        raise ValueError(f"expected a label: true or false, a whole number or a text, got {as_written(value)}")
    return value


class TrainSpec(SpecPart):
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
    seed: int = Field(default=7, ge=0, lt=1 << 32)
    """Seeds every random choice."""

    @field_validator("holdout", mode="before")
    @classmethod
    def _share(cls, value: object) -> object:
        if isinstance(value, int | float) and not 0 < value < 1:
            hint = f"; did you mean {value / 100:g} or {value}d?" if isinstance(value, int) and 1 <= value < 100 else ""
            raise ValueError(f"a share of the rows lies between 0 and 1, got {as_written(value)}{hint}")
        return value if isinstance(value, float) else duration(value)


def value_at(value: Any, path: Sequence[str]) -> Any:
    """What stands at *path* in mappings within mappings; None where nothing does."""
    for word in path:
        value = value.get(word) if isinstance(value, Mapping) else None
    return value


class EvaluateSpec(SpecPart):
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
    """Resamples behind the interval of each difference between candidate and champion."""


class GateSpec(SpecPart):
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


class ModelSpec(SpecPart):
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
    positive: Annotated[bool | int | str | None, BeforeValidator(_label, json_schema_input_type=bool | int | str)] = (
        None
    )
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
    score: ScoreSpec | None = None
    """The model's own batch job; with it, even as `{}`, the model has the DAG `<model>__score`."""
    schedule: ScheduleSpec = ScheduleSpec()
    alerts: tuple[Backend, ...] = Field(default=(), strict=False)
    """Airflow notifiers told of failed tasks: `{type: webhook, connection: ...}`, `{type: smtp, to: ...}`."""
    trackers: tuple[Backend, ...] = Field(default=(), strict=False)
    """Who else is told of runs."""
    pool: str = "default_pool"
    """Airflow pool of the heavy tasks."""

    _folder: Path = PrivateAttr(default=Path())
    _allow_code: bool = PrivateAttr(default=False)

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

    def part(self, *places: str) -> dict[str, Any]:
        """What stands at *places*, such as ``task`` or ``data.time``, as plain JSON values by the last word of each."""
        paths = [place.split(".") for place in places]
        plain = self.model_dump(mode="json", include={path[0] for path in paths})
        return {path[-1]: value_at(plain, path) for path in paths}
