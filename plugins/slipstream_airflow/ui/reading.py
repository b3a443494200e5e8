"""What the pages show, read from the ledger: nothing here is kept anywhere else."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from slipstream.commands.history import DecisionEntry, HistoryEntry, decisions, history
from slipstream.commands.recorded_spec import recorded_spec
from slipstream.errors import SpecError
from slipstream.rollout.production_periods import ProductionPeriod, production_periods
from slipstream.settings import Settings
from slipstream.spec import loader
from slipstream.spec.model import ModelSpec
from slipstream.store import Store
from slipstream.store.figures import (
    EvaluateFigures,
    GateFigures,
    JoinFigures,
    MonitorFigures,
    StageFigures,
    ValidateFigures,
    VersionFigures,
)
from slipstream.store.state import Event, ModelState

F = TypeVar("F", bound=StageFigures)

FOREIGN = ("evidently",)
"""Reports in HTML that others render from data."""
_NEWEST, _DECISIONS = 60, 12


@dataclass(frozen=True)
class Report:
    """An HTML report that an event names.

    Attributes:
        digest: Of its bytes.
        name: What it is, e.g. "train" or "evidently".
        model: Whose it is.
        foreign: Whether others rendered it, so that it may hold script.
        time: When it was made.
    """

    digest: str
    name: str
    model: str
    foreign: bool
    time: str


@dataclass(frozen=True)
class Check:
    """The newest outcome of a stage: a word, whether it is good (None: neither), one sentence, and its report."""

    word: str
    good: bool | None
    text: str = ""
    report: str = ""
    time: str = ""


@dataclass(frozen=True)
class VersionView:
    """One version with what was found about it, and the reason of its training."""

    number: int
    role: str
    scores: Mapping[str, float]
    gain: float | None
    gates: str
    dataset: str
    time: str
    reports: tuple[tuple[str, str], ...]
    reason: str = ""


@dataclass(frozen=True)
class Story:
    """What a model's own page tells beside the list: versions, decisions and events newest first, terms too."""

    versions: tuple[VersionView, ...] = ()
    decisions: tuple[DecisionEntry, ...] = ()
    terms: tuple[ProductionPeriod, ...] = ()
    events: tuple[HistoryEntry, ...] = ()


@dataclass(frozen=True)
class Model:
    """One model as the list and its own page show it.

    ``error`` is what is wrong with its model file; where that is wrong or gone, ``spec`` is that of the last run.
    """

    name: str
    spec: ModelSpec | None
    error: str
    state: ModelState
    data: Check
    drift: Check
    truth: Check
    metric: str = ""
    score: float | None = None
    story: Story = Story()
    removed: bool = False


class StoreReader:
    """Reads models, versions and reports of one store; safe to share between threads."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self.settings = settings
        self.store = store
        self._lock = threading.Lock()
        self._reports: dict[str, Report] = {}
        self._seen = 0

    def knows(self, name: str) -> bool:
        """Whether there is a project of that name or the ledger has events of one."""
        return name in self._names()

    def models(self) -> list[Model]:
        """All models by name, without their versions and events."""
        return [self._model(name) for name in sorted(self._names())]

    def model(self, name: str) -> Model:
        """One model with its versions and its newest events, newest first."""
        return self._model(name, full=True)

    def report(self, digest: str) -> Report | None:
        """The report of that digest, or None if no event names it as one."""
        with self._lock:
            for event in self.store.ledger.read(after=self._seen):
                self._seen = event.seq
                for name, linked in event.content.result.reports().items():
                    stage = event.content.stage
                    title = stage if name == "report" else f"{stage} {name}"
                    self._reports[linked] = Report(linked, title, event.model, name in FOREIGN, event.time)
            return self._reports.get(digest)

    def _names(self) -> set[str]:
        projects = {file.parent.name for file in self.settings.models.glob(f"*/{loader.FILE}")}
        return projects | {name for name in self.store.ledger.state().models if name}

    def _model(self, name: str, *, full: bool = False) -> Model:
        state = self.store.ledger.state().model(name)
        spec, error, removed = self._spec(name)
        metric = spec.evaluate.metric if spec else ""
        return Model(
            name,
            spec,
            error,
            state,
            _data_check(state),
            _drift_check(state),
            _truth_check(state),
            metric,
            _scores(state).get(metric),
            self._story(name, state, spec) if full else Story(),
            removed,
        )

    def _story(self, name: str, state: ModelState, spec: ModelSpec | None) -> Story:
        versions = tuple(_versions(state))
        if spec is None:
            return Story(versions)
        return Story(
            versions,
            tuple(decisions(spec, self.store, newest=_DECISIONS)),
            tuple(reversed(production_periods(spec, self.store))),
            tuple(history(spec, self.store, newest=_NEWEST)),
        )

    def _spec(self, name: str) -> tuple[ModelSpec | None, str, bool]:
        """The spec, what is wrong with the model file, and whether its folder was removed."""
        folder, allow_code = Path(self.settings.models) / name, self.settings.allow_code
        try:
            spec = loader.load_spec(folder, allow_code=allow_code, pools=self.settings.pools)
            return spec, "", False
        except SpecError as error:
            removed = error.code == "spec_not_found"
            trouble = "" if removed else str(error)
        try:
            return recorded_spec(self.store, name, folder, allow_code=allow_code), trouble, removed
        except SpecError as error:
            return None, trouble or str(error), removed


def _versions(state: ModelState) -> Iterator[VersionView]:
    """The versions of a model, newest first."""
    roles = {state.champion: "champion", state.previous: "before it", state.deployment: "rolling out"}
    for number, event in reversed(state.versions.items()):
        packaged = _figures(event, VersionFigures) or VersionFigures()
        trained, evaluated, explained = (
            state.runs.get(run) for run in (packaged.candidate, packaged.evaluation, packaged.explanation)
        )
        evaluation = _figures(evaluated, EvaluateFigures) or EvaluateFigures()
        judged = _figures(state.newest("gate", number), GateFigures)
        yield VersionView(
            number,
            roles.get(number, ""),
            _known(evaluation.scores),
            evaluation.gain,
            "not judged yet" if judged is None else " ".join(judged.refusals) or "passed all gates",
            packaged.dataset[:12],
            event.time,
            tuple(pair for run in (evaluated, explained, event) if run is not None for pair in _named(run)),
            (trained.content.reason or "") if trained is not None else "",
        )


def _scores(state: ModelState) -> Mapping[str, float]:
    """The scores of the champion at its evaluation; none without one."""
    packaged = _figures(state.versions.get(state.champion or 0), VersionFigures)
    evaluated = _figures(state.runs.get(packaged.evaluation) if packaged else None, EvaluateFigures)
    return _known(evaluated.scores) if evaluated else {}


def _known(scores: Mapping[str, float | None]) -> dict[str, float]:
    return {name: value for name, value in scores.items() if value is not None}


def _figures(event: Event | None, wanted: type[F]) -> F | None:
    """What the run of *event* left, if there is one and it is of that type."""
    result = event.content.result if event is not None else None
    return result if isinstance(result, wanted) else None


def _named(event: Event) -> list[tuple[str, str]]:
    """``(label, digest)`` of an event's reports, for links."""
    stage = event.content.stage or "report"
    return [(stage if name == "report" else name, digest) for name, digest in event.content.result.reports().items()]


def _data_check(state: ModelState) -> Check:
    event = state.latest.get("validate")
    if event is None:
        return Check("no data yet", None)
    result = _figures(event, ValidateFigures) or ValidateFigures()
    if not result.success:
        return Check("refused", False, result.message, result.report, event.time)
    aside = result.quarantined
    text = f"{result.good:,} rows good, {aside:,} quarantined"
    return Check("quarantined some" if aside else "good", True, text, result.report, event.time)


def _drift_check(state: ModelState) -> Check:
    event = state.latest.get("monitor")
    if event is None:
        return Check("not measured", None)
    result = _figures(event, MonitorFigures) or MonitorFigures()
    lost, drifted = result.quality_lost, result.drifted
    within = "drift within limits" if result.drifted_columns else "stable"
    word = "quality lost" if lost else "drift" if drifted else within
    text = f"Version {result.champion}: {result.verdict}"
    return Check(word, not (lost or drifted), text, result.report, event.time)


def _truth_check(state: ModelState) -> Check:
    event = state.latest.get("join")
    if event is None:
        return Check("no labels yet", None)
    result = _figures(event, JoinFigures) or JoinFigures()
    word = f"{result.metric} {result.value:.3f}" if result.value is not None else "not known yet"
    return Check(word, None, result.sentence, result.report, event.time)
