"""What the pages show, read from the ledger: nothing here is kept anywhere else."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipstream import model_file
from slipstream.errors import SpecError
from slipstream.settings import Settings
from slipstream.spec import ModelSpec
from slipstream.stages.history import Decision, Entry, decisions, history
from slipstream.stages.recorded import recorded_spec
from slipstream.stages.terms import Term, terms
from slipstream.store import Store
from slipstream.store.state import Event, ModelState

FOREIGN = ("evidently",)
"""Reports in HTML that others render from data."""
_REPORTS = ("report", "card", *FOREIGN)
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
class Version:
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

    versions: tuple[Version, ...] = ()
    decisions: tuple[Decision, ...] = ()
    terms: tuple[Term, ...] = ()
    events: tuple[Entry, ...] = ()


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


class Reading:
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
                for name, found in _reports_of(event):
                    stage = event.data.get("stage", "")
                    title = stage if name == "report" else f"{stage} {name}"
                    self._reports[found] = Report(found, title, event.model, name in FOREIGN, event.time)
            return self._reports.get(digest)

    def _names(self) -> set[str]:
        projects = {file.parent.name for file in self.settings.models.glob(f"*/{model_file.FILE}")}
        return projects | {name for name in self.store.ledger.state().models if name}

    def _model(self, name: str, *, full: bool = False) -> Model:
        state = self.store.ledger.state().model(name)
        spec, error, removed = self._spec(name)
        champion = self._evaluation(name, state.versions.get(state.champion or 0))
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
            champion.get("scores", {}).get(metric),
            self._story(name, state, spec) if full else Story(),
            removed,
        )

    def _story(self, name: str, state: ModelState, spec: ModelSpec | None) -> Story:
        versions = tuple(self._versions(name, state))
        if spec is None:
            return Story(versions)
        return Story(
            versions,
            tuple(decisions(spec, self.store, newest=_DECISIONS)),
            tuple(reversed(terms(spec, self.store))),
            tuple(history(spec, self.store, newest=_NEWEST)),
        )

    def _spec(self, name: str) -> tuple[ModelSpec | None, str, bool]:
        """The spec, what is wrong with the model file, and whether its folder was removed."""
        folder, allow_code = Path(self.settings.models) / name, self.settings.allow_code
        try:
            spec = model_file.load_spec(folder, allow_code=allow_code, pools=self.settings.pools)
            return spec, "", False
        except SpecError as error:
            removed = error.code == "spec_not_found"
            told = "" if removed else str(error)
        try:
            return recorded_spec(self.store, name, folder, allow_code=allow_code), told, removed
        except SpecError as error:
            return None, told or str(error), removed

    def _versions(self, name: str, state: ModelState) -> list[Version]:
        roles = {state.champion: "champion", state.previous: "before it", state.deployment: "rolling out"}
        events = self.store.ledger.read(model=name)
        runs = {event.data.get("run"): event for event in events if event.data.get("stage")}
        gates = {e.data["result"]["version"]: _gated(e) for e in events if e.data.get("stage") == "gate"}
        found = []
        for number, event in reversed(state.versions.items()):
            result = event.data["result"]
            trained, evaluated, explained = (runs.get(result.get(key)) for key in _RUNS)
            evaluation = evaluated.data["result"] if evaluated else {}
            reports = tuple(pair for run in (evaluated, explained, event) if run is not None for pair in _named(run))
            found.append(
                Version(
                    number,
                    roles.get(number, ""),
                    evaluation.get("scores", {}),
                    evaluation.get("gain"),
                    gates.get(number, "not judged yet"),
                    str(result.get("dataset", ""))[:12],
                    event.time,
                    reports,
                    str(trained.data.get("reason", "")) if trained else "",
                )
            )
        return found

    def _evaluation(self, name: str, version: Event | None) -> dict[str, Any]:
        run = self._run(name, "evaluate", version.data["result"].get("evaluation")) if version else None
        return dict(run.data["result"]) if run else {}

    def _run(self, name: str, stage: str, run: str | None) -> Event | None:
        events = self.store.ledger.read(model=name)
        return next((e for e in events if e.data.get("stage") == stage and e.data.get("run") == run), None)


_RUNS = ("candidate", "evaluation", "explanation")
"""What a version names of the runs that it came from."""


def _gated(event: Event) -> str:
    """What the gates said."""
    refused = [verdict["sentence"] for verdict in event.data["result"]["verdicts"] if not verdict["passed"]]
    return " ".join(refused) or "passed all gates"


def _reports_of(event: Event) -> list[tuple[str, str]]:
    result = event.data.get("result", {})
    return [(name, result[name]) for name in _REPORTS if isinstance(result.get(name), str) and result[name]]


def _named(event: Event) -> list[tuple[str, str]]:
    """``(label, digest)`` of an event's reports, for links."""
    stage = str(event.data.get("stage", "report"))
    return [(stage if name == "report" else name, digest) for name, digest in _reports_of(event)]


def _data_check(state: ModelState) -> Check:
    event = state.latest.get("validate")
    if event is None:
        return Check("no data yet", None)
    result = event.data["result"]
    if not result.get("success"):
        return Check("refused", False, str(result.get("message", "")), result.get("report", ""), event.time)
    aside = result.get("quarantined", 0)
    text = f"{result.get('good', 0):,} rows good, {aside:,} quarantined"
    return Check("quarantined some" if aside else "good", True, text, result.get("report", ""), event.time)


def _drift_check(state: ModelState) -> Check:
    event = state.latest.get("monitor")
    if event is None:
        return Check("not measured", None)
    result = event.data["result"]
    lost, drifted = bool(result.get("quality_lost")), bool(result.get("drifted"))
    within = "drift within limits" if result.get("drifted_columns") else "stable"
    word = "quality lost" if lost else "drift" if drifted else within
    text = f"Version {result.get('champion')}: {result.get('verdict', '')}"
    return Check(word, not (lost or drifted), text, result.get("report", ""), event.time)


def _truth_check(state: ModelState) -> Check:
    event = state.latest.get("join")
    if event is None:
        return Check("no labels yet", None)
    result = event.data["result"]
    value, metric = result.get("value"), result.get("metric", "")
    word = f"{metric} {value:.3f}" if value is not None else "not known yet"
    return Check(word, None, str(result.get("sentence", "")), str(result.get("report", "")), event.time)
