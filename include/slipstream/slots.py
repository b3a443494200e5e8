"""The one plug-in mechanism, and its tables: the whole extension surface of Slipstream on this page.

A back end is a frozen dataclass whose constructor only stores its arguments. In model.yaml the key ``type``
chooses it and the keys beside ``type`` are its arguments::

    trainer: {type: sklearn, estimator: sklearn.linear_model.LogisticRegression}

Model files are checked where none may be imported: ``docs/signatures.py`` keeps what each takes as data.

``type`` is a word of the tables below, else the name of an installed entry point of group
``slipstream.<slot>``, else, where the installation allows it, ``package.module:Class``.

What the protocols below promise, the suites of :mod:`slipstream.testing` prove of any back end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from slipstream.slot import Slot

if TYPE_CHECKING:
    from slipstream.spec.model import ModelSpec


@dataclass(frozen=True)
class Delivery:
    """What a source brings: files of rows newer than the watermark, as they came.

    They are kept as they are, so that the data table can be derived anew; what their columns hold is decided later.

    Attributes:
        files: Path -> the name that errors and records use; empty when there is nothing new.
        watermark: Where the next delivery starts; handed back to the source as it is.
        form: What the files are: ``{"type": "parquet"}``, ``{"type": "jsonl"}``, ``{"type": "xlsx", "sheet": "May"}``
            (none: the only one), or ``{"type": "csv", "delimiter": ";"}`` (``""`` or none: what the header suggests),
            and perhaps ``"encoding": "cp1252"`` (UTF-8 without).
        max_bytes: How many bytes a packed file may unpack to.
        still: To be called when the files have been read; raises SourceError if they changed meanwhile.
        digests: Path -> the sha256 of the file, of those whose is known.
    """

    files: Mapping[Path, str]
    watermark: str
    form: Mapping[str, str] = field(default_factory=lambda: {"type": "parquet"})
    max_bytes: int = 2 << 30
    still: Callable[[], object] = field(default=bool, repr=False, compare=False)
    digests: Mapping[Path, str] = field(default_factory=dict)


class Source(Protocol):
    """Where batches come from."""

    def fingerprint(self, spec: ModelSpec, watermark: str) -> str | None:
        """What is new after *watermark*, as a digest that needs no reading of rows.

        None when nothing is new; ``""`` when only reading tells, which then is done on every call.
        """
        ...

    def deliver(self, spec: ModelSpec, watermark: str, into: Path) -> Delivery:
        """What is newer than *watermark* (``""``: everything); files that have to be made are made in folder *into*."""
        ...


class Trainer(Protocol):
    """Fits a model."""

    def fit(self, spec: ModelSpec, frame: Any, seed: int) -> Any:
        """A fitted estimator with ``predict`` (and ``predict_proba`` for classification).

        *frame* is a pandas frame of the inputs and the target, in the order of the dataset version; of a binary task
        the target is 1 for the positive label and 0 for the other, and ``predict_proba`` answers in that order.
        """
        ...


@runtime_checkable
class Coded(Trainer, Protocol):
    """A trainer whose models may hold classes and functions of the model project's own files."""

    def code(self, spec: ModelSpec) -> Mapping[str, bytes]:
        """Those files: name -> source. They are part of the run's key and of the bundle, and a model that was fitted
        is loaded with these alone; raises SpecError if they cannot be read.
        """
        ...

    def check(self, spec: ModelSpec) -> None:
        """Prove that what they are to bring is there; may execute them; raises SpecError."""
        ...


@dataclass(frozen=True)
class Explanation:
    """What an explainer found, in plain values ready for JSON.

    Attributes:
        method: The method's name, with its source in the literature where it has one.
        rows: Number of rows explained.
        importance: Input name -> mean absolute effect, largest first.
        effects: Input name -> points ``(value of the input, effect on the answer)`` for dependence plots.
        cases: Some single rows: ``{"row": {...}, "prediction": p, "base": b, "effects": {input: effect}}``.
        scale: The unit of the effects, e.g. "log-odds" or "loss of roc_auc".
    """

    method: str
    rows: int
    importance: Mapping[str, float]
    effects: Mapping[str, Sequence[tuple[Any, float]]]
    cases: Sequence[Mapping[str, Any]]
    scale: str


class Explainer(Protocol):
    """Says which inputs moved the answers."""

    def explain(self, spec: ModelSpec, estimator: Any, frame: Any, seed: int) -> Explanation:
        """Explain *estimator* on *frame* (inputs and target, as for fitting); raises BackendError if it cannot."""
        ...


@dataclass(frozen=True)
class Rollout:
    """A version that is to be put into service.

    Attributes:
        model: The model.
        version: The version's number.
        bundle: Id of its bundle.
        store: URL of the store that holds the bundle.
        endpoint: URL of the installation's endpoint.
        seq: The ledger event that started this deployment; what a target reported before it is about another one.
        timeout: Seconds to wait at most.
        endpoint_key: The API key that the endpoint is asked with; "" for none.
        weight: The share of the keys that the version is to answer; 1: it answers everything.
        shadow: Whether it only listens.
        still: To be called now and then while waiting; raises if nobody wants it any more.
    """

    model: str
    version: int
    bundle: str
    store: str
    endpoint: str
    seq: int
    timeout: float
    endpoint_key: str = field(default="", repr=False)
    weight: float = 1.0
    shadow: bool = False
    still: Callable[[], object] = field(default=bool, repr=False)


class Target(Protocol):
    """Where a version is put into service."""

    def roll_out(self, rollout: Rollout) -> None:
        """Return when the version answers; raises DeployError with the reason if it does not."""
        ...


@runtime_checkable
class Watchable(Target, Protocol):
    """A target that tells what its versions answer, so that a rollout can be watched."""

    def look(self, rollout: Rollout) -> Mapping[str, Any] | None:
        """``instance``, a word for the process or processes that the figures are from, and ``traffic``: for each
        version that answers what it has since they started. None if it has no time just now; raises DeployError.
        """
        ...


class Tracker(Protocol):
    """Who else is told of runs."""

    def record(self, model: str, stage: str, run: str, figures: Mapping[str, Any]) -> None:
        """Tell of one finished run. A failure is reported by the caller and never fails the stage."""
        ...


SOURCE: Slot[Source] = Slot(
    "source",
    Source,
    {
        "files": "slipstream.sources.files:FilesSource",
        "sql": "slipstream.sources.sql.source:SqlSource",
        "delta": "slipstream.sources.delta:DeltaSource",
        "http": "slipstream.sources.http.source:HttpSource",
        "python": "slipstream.sources.python:PythonSource",
    },
)
TRAINER: Slot[Trainer] = Slot(
    "trainer",
    Trainer,
    {
        "sklearn": "slipstream.trainers.sklearn:SklearnTrainer",
        "python": "slipstream.trainers.python:PythonTrainer",
        "lightgbm": "slipstream.trainers.lightgbm:LightgbmTrainer",
        "xgboost": "slipstream.trainers.xgboost:XgboostTrainer",
        "catboost": "slipstream.trainers.catboost:CatboostTrainer",
    },
    {word: ("boosting", word) for word in ("lightgbm", "xgboost", "catboost")},
)
EXPLAINER: Slot[Explainer] = Slot(
    "explainer",
    Explainer,
    {
        "permutation": "slipstream.explainers.permutation:PermutationExplainer",
        "shap": "slipstream.explainers.shap:ShapExplainer",
    },
    {"shap": ("shap", "shap")},
)
TARGET: Slot[Target] = Slot(
    "target",
    Target,
    {"local": "slipstream.targets.local:LocalTarget", "endpoint": "slipstream.targets.endpoint:EndpointTarget"},
)
TRACKER: Slot[Tracker] = Slot(
    "tracker",
    Tracker,
    {"none": "slipstream.trackers.none:NoTracker", "jsonl": "slipstream.trackers.jsonl:JsonLinesTracker"},
)

SLOTS: tuple[Slot[Any], ...] = (SOURCE, TRAINER, EXPLAINER, TARGET, TRACKER)
