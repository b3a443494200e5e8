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

import difflib
import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, runtime_checkable

from slipstream.errors import BackendError, shown

if TYPE_CHECKING:
    from slipstream.spec.model import ModelSpec

T = TypeVar("T")


@dataclass(frozen=True)
class Delivery:
    """What a source brings: files of rows newer than the watermark, as they came.

    They are kept as they are, so that the data table can be derived anew; what their columns hold is decided later.

    Attributes:
        files: Path -> the name that errors and records use; empty when there is nothing new.
        watermark: Where the next delivery starts; handed back to the source as it is.
        form: What the files are: ``{"type": "parquet"}``, or ``{"type": "csv", "delimiter": ";"}`` (``""`` or none:
            what the header suggests), and perhaps ``"encoding": "cp1252"`` (UTF-8 without).
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


@dataclass(frozen=True)
class Slot(Generic[T]):
    """A place that exactly one of several back ends fills.

    Attributes:
        name: The word for it in model.yaml, in errors and in the entry-point group.
        contract: The protocol that each back end keeps.
        builtin: Word -> ``module:Class``, imported only when chosen.
        extras: Word -> the module that must be installed first; the extra has the same name as the word.
    """

    name: str
    contract: type[T]
    builtin: Mapping[str, str]
    extras: Mapping[str, str] = field(default_factory=dict)

    def build(self, config: Mapping[str, Any], *, allow_code: bool = False) -> T:
        """The back end that ``config["type"]`` names, made with the other keys as arguments.

        ``package.module:Class`` is taken only with *allow_code*, which is the installation's to give.

        Raises:
            BackendError: unknown word, wrong argument or missing extra.
        """
        backend, arguments = self._bound(config, allow_code)
        built: T = backend(**arguments)
        return built

    def _bound(self, config: Mapping[str, Any], allow_code: bool) -> tuple[Any, dict[str, Any]]:
        """The class and the arguments that it takes."""
        word = str(config.get("type", ""))
        arguments = {key: value for key, value in config.items() if key != "type"}
        backend = self._load(word, allow_code)
        try:
            inspect.signature(backend).bind(**arguments)
        except TypeError as error:
            takes = ", ".join(inspect.signature(backend).parameters) or "none"
            message = f"{self.name}: {word!r}: {error}. Its arguments: {takes}."
            raise BackendError(message, code="backend_argument") from error
        return backend, arguments

    def check(self, config: Mapping[str, Any], *, allow_code: bool = False) -> None:
        """Raise what :meth:`build` would, as far as the model file's own check cannot: it imports nothing.

        Raises:
            BackendError: missing extra, or an installed back end that takes other arguments.
        """
        word = str(config.get("type", ""))
        if word in self.builtin:
            self._check_extra(word)
        else:
            self._bound(config, allow_code)

    def known(self) -> list[str]:
        """All words that :meth:`build` takes here, built-in and installed."""
        return sorted({*self.builtin, *(point.name for point in entry_points(group=f"slipstream.{self.name}"))})

    def _check_extra(self, word: str) -> None:
        needs = self.extras.get(word)
        if needs and find_spec(needs) is None:
            hint = f"pip install --require-hashes -r requirements-{word}.txt"
            message = f"{self.name} {word!r} needs {needs!r}, which is not installed; {hint}."
            raise BackendError(message, code="missing_extra")

    def _load(self, word: str, allow_code: bool) -> Any:
        self._check_extra(word)
        path = self.builtin.get(word)
        if path is None:
            path = next((p.value for p in entry_points(group=f"slipstream.{self.name}", name=word)), None)
        if path is None and ":" in word:
            path = self._own_code(word, allow_code)
        if path is None:
            raise self._unknown(word)
        module, _, attribute = path.partition(":")
        try:
            return getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            raise BackendError(f"{self.name} {word!r}: {path} cannot be imported: {error}.") from error

    def _own_code(self, word: str, allow_code: bool) -> str:
        if allow_code:
            return word
        raise BackendError(
            f"{self.name}: {shown(word)} names code, which is not allowed here; set SLIPSTREAM_ALLOW_CODE=1 "
            f"if you trust every author of model files, or install it as an entry point of 'slipstream.{self.name}'.",
            code="backend_code_forbidden",
        )

    def _unknown(self, word: str) -> BackendError:
        known = self.known()
        near = difflib.get_close_matches(word, known, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        return BackendError(f"No {self.name} is called {shown(word)}. Known: {', '.join(known)}.{hint}")


SOURCE: Slot[Source] = Slot(
    "source",
    Source,
    {"files": "slipstream.sources.files:FilesSource", "python": "slipstream.sources.python:PythonSource"},
)
TRAINER: Slot[Trainer] = Slot("trainer", Trainer, {"sklearn": "slipstream.trainers.sklearn:SklearnTrainer"})
EXPLAINER: Slot[Explainer] = Slot(
    "explainer",
    Explainer,
    {
        "permutation": "slipstream.explainers.permutation:PermutationExplainer",
        "shap": "slipstream.explainers.shap:ShapExplainer",
    },
    {"shap": "shap"},
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
