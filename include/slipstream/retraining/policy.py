"""The retraining policy: one pure function from what is known to a decision, with its reason in one sentence.

It is used live, by `plan` and by the dry run. Order comes from the ledger's numbers; times only measure lengths, and a
clock that was set back neither blocks for ever nor opens the door (:meth:`Facts.since`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from slipstream.number_formats import counted
from slipstream.spec.loop import RetrainSpec

LAPSES = timedelta(days=1)
"""A request that no training has answered by then was lost on the way, and may be made again: a run of the train DAG
may take no longer until its training is done."""


@dataclass(frozen=True)
class Mark:
    """A moment: its place in the ledger, and what the clock showed."""

    seq: int
    time: datetime


@dataclass(frozen=True)
class Measurement:
    """One comparison of a window with the training reference.

    Attributes:
        seq: Number of its event.
        run: The run that measured.
        verdict: Its sentence.
        judged: Whether there were rows enough for a verdict.
        drifted: Whether it counts as drift.
        lost: Whether quality counts as lost.
        first: Event time of the oldest row, ISO 8601; "" if unknown.
        last: Event time of the newest row.
        evidence: What to look at: digests of the figures and of the report, the columns that drifted.
    """

    seq: int
    run: str
    verdict: str
    judged: bool
    drifted: bool
    lost: bool
    first: str = ""
    last: str = ""
    evidence: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TrainedBefore:
    """The newest training."""

    mark: Mark
    candidate: str
    dataset: str
    version: int | None


@dataclass(frozen=True)
class Facts:
    """All that the policy looks at.

    Attributes:
        now: What the clock shows, UTC.
        champion: The version that serves.
        measured: Its measurements, newest last.
        windowed: Whether ``monitor.window`` is set, so that windows may overlap.
        dataset: The newest dataset version; "" if there is none.
        rows: Rows committed since the newest training's dataset version.
        trained: The newest training.
        cron_due: The time of ``retrain.cron`` that passed since then, if one did.
        requests: All requests for retraining, newest last.
        decided: All decisions, requests among them, newest last.
        open: The request that no training has answered yet.
        rollout: The version that is being rolled out.
        waiting: A newer version that waits for approval.
    """

    now: datetime
    champion: int | None = None
    measured: tuple[Measurement, ...] = ()
    windowed: bool = False
    dataset: str = ""
    rows: int = 0
    trained: TrainedBefore | None = None
    cron_due: datetime | None = None
    requests: tuple[Mark, ...] = ()
    decided: tuple[Mark, ...] = ()
    open: Mark | None = None
    rollout: int | None = None
    waiting: int | None = None

    def since(self, mark: Mark) -> timedelta:
        """How long ago *mark* was. If it lies in the future the clock went back, and its time says nothing: it is
        counted from the first decision after it that this clock has seen."""
        if mark.time <= self.now:
            return self.now - mark.time
        seen = (decision.time for decision in self.decided if decision.seq > mark.seq and decision.time <= self.now)
        return self.now - next(seen, self.now)


@dataclass(frozen=True)
class Trigger:
    """Something that asks for a retraining, and how many windows it has lasted of those that it must."""

    trigger: str
    sentence: str
    lasted: int = 1
    needed: int = 1


@dataclass(frozen=True)
class PolicyDecision:
    """What the policy says.

    Attributes:
        action: ``retrain`` or ``skip``.
        trigger: What asks: ``drift``, ``quality``, ``rows`` or ``cron``; "" when nothing does.
        why: ``asked``, or what stands against it, in a word: ``quiet``, ``windows``, ``open``, ``rollout``,
            ``approval``, ``trained`` or ``cooldown``.
        reason: One sentence.
        evidence: Ids and figures behind it.
    """

    action: str
    trigger: str
    why: str
    reason: str
    evidence: dict[str, Any]


def decide_on(policy: RetrainSpec, facts: Facts) -> PolicyDecision:
    """Whether to ask for a retraining now."""
    triggers = active_triggers(policy, facts)
    ripe = next((trigger for trigger in triggers if trigger.lasted >= trigger.needed), None)
    trigger = ripe or next(iter(triggers), None)
    if trigger is None:
        return PolicyDecision("skip", "", "quiet", _quiet(policy, facts), _evidence(facts, None))
    if ripe is None:
        reason = f"{_open_ended(trigger.sentence)}, but only {trigger.lasted} of the {trigger.needed} windows that "
        return PolicyDecision(
            "skip", trigger.trigger, "windows", f"{reason}retrain.windows asks for.", _evidence(facts, trigger)
        )
    for why, stands in _AGAINST.items():
        obstacle = stands(policy, facts)
        if obstacle:
            return PolicyDecision("skip", ripe.trigger, why, obstacle, _evidence(facts, ripe))
    lasting = f", in {ripe.lasted} windows in a row." if ripe.needed > 1 else "."
    return PolicyDecision(
        "retrain", ripe.trigger, "asked", _open_ended(ripe.sentence) + lasting, _evidence(facts, ripe)
    )


def active_triggers(policy: RetrainSpec, facts: Facts) -> list[Trigger]:
    """What asks for a retraining, whether or not it has lasted long enough or anything stands against it."""
    triggers = []
    for trigger, wanted, holds in (
        ("drift", policy.drift, lambda measured: measured.drifted),
        ("quality", policy.quality, lambda measured: measured.lost),
    ):
        lasted = in_a_row(facts, holds) if wanted else 0
        if lasted:
            verdict = next(one.verdict for one in reversed(facts.measured) if one.judged)
            triggers.append(Trigger(trigger, verdict, lasted, policy.windows))
    if policy.rows is not None and facts.rows >= policy.rows:
        since = "since the newest training" if facts.trained else "and nothing was trained yet"
        sentence = f"{facts.rows:,} rows were committed {since}; retrain.rows asks for {policy.rows:,}."
        triggers.append(Trigger("rows", sentence))
    if facts.cron_due is not None:
        sentence = f"{facts.cron_due:%Y-%m-%d %H:%M} UTC has passed, a time of retrain.cron ({policy.cron})."
        triggers.append(Trigger("cron", sentence))
    return triggers


def in_a_row(facts: Facts, holds: Callable[[Measurement], bool]) -> int:
    """How many windows in a row, back from the newest, *holds* is true of; of windows that overlap one counts."""
    lasted, edge = 0, ""
    for one in reversed(facts.measured):
        overlaps = facts.windowed and edge and one.last >= edge
        if not one.judged or overlaps:
            continue
        if not holds(one):
            break
        lasted, edge = lasted + 1, one.first
    return lasted


def cooling(policy: RetrainSpec, facts: Facts) -> timedelta:
    """How long ``retrain.cooldown`` still lasts after the newest request; not above 0 when it is over."""
    if policy.cooldown is None or not facts.requests:
        return timedelta()
    return policy.cooldown - facts.since(facts.requests[-1])


def lapsed(policy: RetrainSpec, facts: Facts) -> bool:
    """Whether the open request has waited so long for a training that it counts as lost."""
    return facts.open is not None and facts.since(facts.open) >= max(LAPSES, policy.cooldown or LAPSES)


def spoken(span: timedelta) -> str:
    """A length of time in words, rounded: ``12 minutes``, ``1 hour``, ``3 days``."""
    seconds = max(span.total_seconds(), 0)
    unit, size = next(
        ((unit, size) for unit, size in (("day", 86_400), ("hour", 3_600), ("minute", 60)) if seconds >= size),
        ("second", 1),
    )
    count = round(seconds / size)
    return counted(count, unit)


def _stands_open(policy: RetrainSpec, facts: Facts) -> str:
    if facts.open is None or lapsed(policy, facts):
        return ""
    return f"Asked for already {spoken(facts.since(facts.open))} ago, and no training has answered yet."


def _stands_rollout(_: RetrainSpec, facts: Facts) -> str:
    return f"Version {facts.rollout} is being rolled out; what it changes is not known yet." if facts.rollout else ""


def _stands_approval(_: RetrainSpec, facts: Facts) -> str:
    return f"Version {facts.waiting} waits for approval; what it changes is not known yet." if facts.waiting else ""


def _stands_trained(_: RetrainSpec, facts: Facts) -> str:
    newest = facts.trained
    if newest is None or newest.dataset != facts.dataset:
        return ""
    name = f"Version {newest.version}" if newest.version else f"Candidate {newest.candidate}"
    return f"{name} was trained on the newest data already; another training would give the same."


def _stands_cooldown(policy: RetrainSpec, facts: Facts) -> str:
    left = cooling(policy, facts)
    if policy.cooldown is None or left <= timedelta():
        return ""
    return f"Asked for already {spoken(policy.cooldown - left)} ago; retrain.cooldown is {spoken(policy.cooldown)}."


_AGAINST: dict[str, Callable[[RetrainSpec, Facts], str]] = {
    "open": _stands_open,
    "rollout": _stands_rollout,
    "approval": _stands_approval,
    "trained": _stands_trained,
    "cooldown": _stands_cooldown,
}


def _quiet(policy: RetrainSpec, facts: Facts) -> str:
    parts = [_open_ended(facts.measured[-1].verdict)] if facts.measured else []
    if policy.rows is not None:
        parts.append(f"{facts.rows:,} of {policy.rows:,} new rows")
    return f"Nothing asks for a retraining: {'; '.join(parts) or 'nothing was measured yet'}."


def _open_ended(sentence: str) -> str:
    return sentence.rstrip(".")


def _evidence(facts: Facts, trigger: Trigger | None) -> dict[str, Any]:
    newest = facts.measured[-1] if facts.measured else None
    figures = {
        "measured": newest.run if newest else "",
        "dataset": facts.dataset,
        "trained": facts.trained.candidate if facts.trained else "",
        "rows": facts.rows,
        "windows": trigger.lasted if trigger and trigger.trigger in {"drift", "quality"} else 0,
        "due": facts.cron_due.isoformat() if facts.cron_due else "",
        "asked": facts.requests[-1].seq if facts.requests else 0,
    }
    return {**(newest.evidence if newest else {}), **{name: value for name, value in figures.items() if value}}
