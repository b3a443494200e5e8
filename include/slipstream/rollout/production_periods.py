"""Terms of office: which version was in production when, why it came, who approved it and why it left.

Read from the ledger alone, in the order of its numbers: clocks may jump, a number is given once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from slipstream.errors import StageError, shown
from slipstream.spec.model import ModelSpec
from slipstream.store import Store
from slipstream.store.payloads import ApprovalDecided, DeploymentFinished, VersionRegistered
from slipstream.store.state import Event, State, fold

_FINISHED, _DECIDED, _RETIRED = "deployment.finished", "approval.decided", "model.retired"
_REGISTERED = "version.registered"


@dataclass(frozen=True)
class ProductionPeriod:
    """The time for which one version was in production without a break.

    Attributes:
        version: Its number.
        first: Number of the event that brought it.
        since: That event's time, UTC, ISO 8601.
        why: Why it came.
        approved_by: The person, or the policy, whose yes it had; "" where none was kept.
        dataset: The dataset version that it was trained on.
        replaced: The version that was in production before; None for the first.
        last: Number of the event that ended it; None while it serves.
        until: That event's time; "" while it serves.
        left: Why it left; "" while it serves.
    """

    version: int
    first: int
    since: str
    why: str
    approved_by: str
    dataset: str
    replaced: int | None
    last: int | None = None
    until: str = ""
    left: str = ""


@dataclass(frozen=True)
class Production:
    """What was in production at one moment.

    Attributes:
        seq: Number of the last event of the ledger that had happened by then.
        time: That event's time; "" when nothing had happened.
        term: The champion's term; None when nothing was in production. What ended it lies in the future then.
        candidate: The version that was being rolled out; None when none was.
        weight: The share of the keys that it answered.
        shadow: Whether it only listened.
    """

    seq: int
    time: str
    term: ProductionPeriod | None
    candidate: int | None
    weight: float
    shadow: bool


def production_periods(spec: ModelSpec, store: Store) -> list[ProductionPeriod]:
    """All terms of office of a model, oldest first."""
    model = store.ledger.state().model(spec.name)
    events = [event for kind in (_FINISHED, _DECIDED, _RETIRED, _REGISTERED) for event in model.on(kind)]
    return _periods(sorted(events, key=lambda event: event.seq))


def as_of(spec: ModelSpec, store: Store, moment: str) -> Production:
    """What was in production at a *moment*: a number of the ledger, or an ISO 8601 time (UTC unless it says otherwise).

    A time means the last event, in the ledger's order, that was committed at or before it.

    Raises:
        StageError: ``moment_invalid``.
    """
    events = store.ledger.read()
    last = _last(events, moment)
    past = [event for event in store.ledger.read(model=spec.name) if event.seq <= last]
    state = State()
    for event in past:
        fold(state, event)
    model = state.model(spec.name)
    served = _periods(past)
    return Production(
        seq=last,
        time=events[last - 1].time if last else "",
        term=served[-1] if served and served[-1].last is None else None,
        candidate=model.deployment,
        weight=model.weight if model.deployment else 0.0,
        shadow=model.shadow if model.deployment else False,
    )


def _last(events: list[Event], moment: str) -> int:
    """The number of the last event that had happened by that *moment*; 0 for none."""
    if moment.isascii() and moment.isdigit():
        if len(moment) < 18 and int(moment) <= len(events):
            return int(moment)
        message = f"The ledger has {len(events):,} events, so there is no number {shown(moment)}."
        raise StageError(message, code="moment_invalid")
    try:
        time = datetime.fromisoformat(moment)
    except ValueError as error:
        message = f"{shown(moment)} is neither a number of the ledger nor a time such as 2026-01-31T12:00."
        raise StageError(message, code="moment_invalid") from error
    until = time if time.tzinfo else time.replace(tzinfo=UTC)
    return next((event.seq for event in reversed(events) if datetime.fromisoformat(event.time) <= until), 0)


def _periods(events: list[Event]) -> list[ProductionPeriod]:
    """The terms that these *events* of one model make; those of other kinds than the four above change nothing."""
    periods: list[ProductionPeriod] = []
    approvals: dict[int, str] = {}
    versions: list[Event] = []
    for event in events:
        if event.kind == _REGISTERED:
            versions.append(event)
        elif event.kind == _DECIDED:
            _approve(approvals, event)
        serving = periods[-1].version if periods and periods[-1].last is None else None
        comes = event.kind == _FINISHED and event.content_as(DeploymentFinished).version != serving
        if serving is not None and (comes or event.kind == _RETIRED):
            periods[-1] = replace(periods[-1], last=event.seq, until=event.time, left=_left(event))
        if comes:
            periods.append(_begun(event, versions, serving, approvals))
    return periods


def _approve(approvals: dict[int, str], event: Event) -> None:
    """Take the newest decision: a version that was refused after all has nobody's yes."""
    decision = event.content_as(ApprovalDecided)
    if decision.approved:
        approvals[decision.version] = event.actor
    else:
        approvals.pop(decision.version, None)


def _begun(event: Event, versions: list[Event], before: int | None, approvals: dict[int, str]) -> ProductionPeriod:
    version = event.content_as(DeploymentFinished).version
    content = versions[version - 1].content if 0 < version <= len(versions) else None
    return ProductionPeriod(
        version=version,
        first=event.seq,
        since=event.time,
        why=_why(event, before),
        approved_by=approvals.get(version, ""),
        dataset=content.result.dataset if isinstance(content, VersionRegistered) else "",
        replaced=before,
    )


def _why(event: Event, before: int | None) -> str:
    """What the event says, or for an event of an earlier release what is known of any deployment."""
    first = "it passed its gates and nothing was in production before"
    return event.content.reason or (f"it passed its gates beside version {before}" if before else first)


def _left(event: Event) -> str:
    reason = f": {event.content.reason}" if event.content.reason else ""
    if event.kind == _RETIRED:
        return f"the model was retired{reason}"
    finished = event.content_as(DeploymentFinished)
    how = "it was rolled back to" if finished.left else "it gave way to"
    return f"{how} version {finished.version}{reason}"
