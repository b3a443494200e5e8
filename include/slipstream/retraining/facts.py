"""What a model's events say that the retraining policy looks at, as of any event."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from slipstream.retraining.cron import last_due
from slipstream.retraining.policy import Facts, Mark, Measurement, TrainedBefore
from slipstream.spec.model import ModelSpec
from slipstream.store.payloads import ApprovalDecided, ApprovalRequested, DriftMeasured, RetrainDecided, TrainFinished
from slipstream.store.state import Event, ModelState, State, fold

DECISIONS = {"retrain.requested", "retrain.skipped"}


class Situation:
    """One model's events, taken in one after the other."""

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self._state = State()
        self._name = ""
        self._measured: list[tuple[int | None, Measurement]] = []
        self._requests: list[Mark] = []
        self._decided: list[Mark] = []
        self._questions: dict[int, Mark] = {}
        self._assumed: TrainedBefore | None = None
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
            self.decide(_mark(event), retrain=event.kind == "retrain.requested")
        elif event.kind == "approval.requested":
            self._questions[event.content_as(ApprovalRequested).version] = _mark(event)
        elif event.kind == "approval.decided":
            self._questions.pop(event.content_as(ApprovalDecided).version, None)

    def measure(self, event: Event, measurement: Measurement) -> None:
        """Take a ``drift.measured`` event in, with what is made of it."""
        self._fold(event)
        self._measured.append((event.content.version, measurement))

    def decide(self, mark: Mark, *, retrain: bool) -> None:
        """Take in that a decision was made, and whether a retraining was asked for."""
        self._decided.append(mark)
        if retrain:
            self._requests.append(mark)

    def assume_trained(self, mark: Mark) -> None:
        """Count a training on the newest data as done at *mark*, though there is none."""
        self._assumed = TrainedBefore(mark, "of the dry run", self.model.dataset or "", None)

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
            measured=tuple(measured for version, measured in self._measured if version == model.champion),
            windowed=spec.monitor.window is not None,
            dataset=model.dataset or "",
            rows=max(rows_of(model, model.dataset) - rows_of(model, trained.dataset if trained else None), 0),
            trained=trained,
            requests=tuple(self._requests),
            decided=tuple(self._decided),
            open=_mark(model.retrain) if model.retrain else None,
            rollout=model.deployment,
        )
        return replace(facts, cron_due=_due(spec, model, facts), waiting=self._waiting(facts, spec.approval.timeout))

    def _trained(self) -> TrainedBefore | None:
        """The newest training, a real one or one that is assumed."""
        both = [training for training in (_trained(self.model), self._assumed) if training]
        return max(both, key=lambda training: training.mark.seq, default=None)

    def _waiting(self, facts: Facts, timeout: timedelta) -> int | None:
        """The newest version above the champion that a person was asked about and can still answer for."""
        open_ = (
            version
            for version, mark in self._questions.items()
            if version > (facts.champion or 0) and facts.since(mark) < timeout
        )
        return max(open_, default=None)


def measurement(event: Event) -> Measurement:
    """What a ``drift.measured`` event found."""
    drift = event.content_as(DriftMeasured)
    result = drift.result
    evidence = {"details": result.details, "report": result.report, "columns": list(result.drifted_columns)}
    return Measurement(
        seq=event.seq,
        run=drift.run,
        verdict=drift.verdict,
        judged=bool(result.details),
        drifted=result.drifted,
        lost=result.quality_lost,
        first=result.first or "",
        last=result.last or "",
        evidence={name: value for name, value in evidence.items() if value},
    )


def rows_of(model: ModelState, dataset: str | None) -> int:
    """Rows of that dataset version; 0 for none."""
    return model.committed(dataset).rows if dataset is not None and dataset in model.datasets else 0


def _trained(model: ModelState) -> TrainedBefore | None:
    event = model.latest.get("train")
    if event is None:
        return None
    trained = event.content_as(TrainFinished).result
    versions = (number for number in model.versions if model.packaged(number).candidate == trained.candidate)
    return TrainedBefore(_mark(event), trained.candidate, trained.dataset, max(versions, default=None))


def _due(spec: ModelSpec, model: ModelState, facts: Facts) -> datetime | None:
    """The newest time of the cron expression, if it lies after the newest training, or else after the first data."""
    if spec.retrain.cron is None or not model.datasets:
        return None
    begin = facts.trained.mark if facts.trained else _mark(next(iter(model.datasets.values())))
    moment = last_due(spec.retrain.cron, facts.now)
    return moment if moment > facts.now - facts.since(begin) else None


def _mark(event: Event) -> Mark:
    """When an event was; a decision says what its own clock showed."""
    content = event.content
    at = content.at if isinstance(content, RetrainDecided) else ""
    return Mark(event.seq, datetime.fromisoformat(at or event.time))
