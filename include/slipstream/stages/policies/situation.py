"""What a model's events say that the retraining policy looks at, as of any event."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from slipstream.spec import ModelSpec
from slipstream.stages.policies.due import last_due
from slipstream.stages.policies.policy import Facts, Mark, Measurement, Trained
from slipstream.store.state import Event, ModelState, State, fold

DECISIONS = {"retrain.requested", "retrain.skipped"}


class Situation:
    """One model's events, taken in one after the other."""

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self._state = State()
        self._name = ""
        self._measured: list[tuple[int, Measurement]] = []
        self._asked: list[Mark] = []
        self._decided: list[Mark] = []
        self._questions: dict[int, Mark] = {}
        self._assumed: Trained | None = None
        for event in events:
            self.take(event)

    @property
    def model(self) -> ModelState:
        """The fold of the events so far."""
        return self._state.model(self._name)

    def take(self, event: Event) -> None:
        """Take one more event in."""
        if event.kind == "drift.measured":
            self.measure(event, measurement(event))
            return
        self._fold(event)
        if event.kind in DECISIONS:
            self.decide(_mark(event), asked=event.kind == "retrain.requested")
        elif event.kind == "approval.requested":
            self._questions[event.data["version"]] = _mark(event)
        elif event.kind == "approval.decided":
            self._questions.pop(event.data["version"], None)

    def measure(self, event: Event, found: Measurement) -> None:
        """Take a ``drift.measured`` event in, with what is made of it."""
        self._fold(event)
        self._measured.append((event.data["version"], found))

    def decide(self, mark: Mark, *, asked: bool) -> None:
        """Take in that a decision was made, and whether a retraining was asked for."""
        self._decided.append(mark)
        if asked:
            self._asked.append(mark)

    def assume_trained(self, mark: Mark) -> None:
        """Count a training on the newest data as done at *mark*, though there is none."""
        self._assumed = Trained(mark, "of the dry run", self.model.dataset or "", None)

    def _fold(self, event: Event) -> None:
        self._name = event.model
        fold(self._state, event)

    def facts(self, spec: ModelSpec, now: datetime) -> Facts:
        """The facts at *now*.

        Raises:
            SpecError: ``retrain.cron`` is no cron expression.
        """
        model, trained = self.model, self._trained()
        facts = Facts(
            now=now.astimezone(UTC),
            champion=model.champion,
            measured=tuple(found for version, found in self._measured if version == model.champion),
            windowed=spec.monitor.window is not None,
            dataset=model.dataset or "",
            rows=max(rows_of(model, model.dataset) - rows_of(model, trained.dataset if trained else None), 0),
            trained=trained,
            asked=tuple(self._asked),
            decided=tuple(self._decided),
            open=_mark(model.retrain) if model.retrain else None,
            rollout=model.deployment,
        )
        return replace(facts, due=_due(spec, model, facts), waiting=self._waiting(facts, spec.approval.timeout))

    def _trained(self) -> Trained | None:
        """The newest training, a real one or one that is assumed."""
        both = [found for found in (_trained(self.model), self._assumed) if found]
        return max(both, key=lambda found: found.mark.seq, default=None)

    def _waiting(self, facts: Facts, timeout: timedelta) -> int | None:
        """The newest version above the champion that a person was asked about and can still answer for."""
        open_ = (
            version
            for version, asked in self._questions.items()
            if version > (facts.champion or 0) and facts.since(asked) < timeout
        )
        return max(open_, default=None)


def measurement(event: Event) -> Measurement:
    """What a ``drift.measured`` event found."""
    result = event.data["result"]
    found = {"details": result.get("details"), "report": result.get("report"), "columns": result.get("drifted_columns")}
    return Measurement(
        seq=event.seq,
        run=event.data["run"],
        verdict=event.data["verdict"],
        judged=bool(result.get("details")),
        drifted=bool(result.get("drifted")),
        lost=bool(result.get("quality_lost")),
        first=result.get("first") or "",
        last=result.get("last") or "",
        found={name: value for name, value in found.items() if value},
    )


def rows_of(model: ModelState, dataset: str | None) -> int:
    """Rows of that dataset version; 0 for none."""
    event = model.datasets.get(dataset or "")
    return int(event.data["rows"]) if event else 0


def _trained(model: ModelState) -> Trained | None:
    event = model.latest.get("train")
    if event is None:
        return None
    candidate = event.data["result"]["candidate"]
    made = (n for n, registered in model.versions.items() if registered.data["result"].get("candidate") == candidate)
    return Trained(_mark(event), candidate, event.data["result"]["dataset"], max(made, default=None))


def _due(spec: ModelSpec, model: ModelState, facts: Facts) -> datetime | None:
    """The newest time of the cron expression, if it lies after the newest training, or else after the first data."""
    if spec.retrain.cron is None or not model.datasets:
        return None
    begin = facts.trained.mark if facts.trained else _mark(next(iter(model.datasets.values())))
    due = last_due(spec.retrain.cron, facts.now)
    return due if due > facts.now - facts.since(begin) else None


def _mark(event: Event) -> Mark:
    """When an event was; a decision says what its own clock showed."""
    return Mark(event.seq, datetime.fromisoformat(event.data.get("at") or event.time))
