"""Decide: holds the newest measurement, the data and the clock against the retraining policy; asks, or says why not.

One decision is one event. The same situation is decided once: a rerun finds the decision, and a task that was killed
after it had asked finds its request, so that whoever starts the training is told again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from slipstream.errors import Conflict, NotFound
from slipstream.retraining.facts import Situation
from slipstream.retraining.policy import Facts, PolicyDecision, decide_on, lapsed
from slipstream.runs import Result, Stage, once, run_key
from slipstream.spec.model import ModelSpec
from slipstream.store import Store
from slipstream.store.payloads import RetrainDecided
from slipstream.store.state import ModelState, State

ASKS = Stage("decide", version=1, event="retrain.requested")
SKIPS = Stage("decide", version=1, event="retrain.skipped")
READS = ("retrain",)
ATTEMPTS = 20


@dataclass(frozen=True)
class Decided(Result):
    """A decision on retraining.

    Attributes:
        action: ``retrain`` or ``skip``.
        trigger: What asks: ``drift``, ``quality``, ``rows`` or ``cron``; "" when nothing does.
        why: ``asked``, or what stands against it in a word (:class:`~slipstream.retraining.policy.PolicyDecision`).
        reason: One sentence.
        evidence: Ids and figures behind it.
        actor: Who decided.
    """

    action: str
    trigger: str
    why: str
    reason: str
    evidence: dict[str, Any]
    actor: str = ""


def decide(spec: ModelSpec, store: Store, *, actor: str = "", now: datetime | None = None) -> Decided:
    """Ask for a retraining if the policy says so, else keep why not.

    Args:
        spec: The model.
        store: The store.
        actor: Who asked for the decision.
        now: What the clock shows; default: the time now.

    Raises:
        NotFound: ``champion_missing``: there is none, and the policy asks for no first training; or it is retired.
        Conflict: others kept changing the situation.
    """
    for _ in range(ATTEMPTS):
        try:
            return _decide(spec, store, actor, now or datetime.now(UTC))
        except Conflict as error:
            if error.code != "decision_stale":
                raise
    raise Conflict(f"{spec.name}: the situation changed {ATTEMPTS} times while it was judged; run again.")


def _decide(spec: ModelSpec, store: Store, actor: str, now: datetime) -> Decided:
    seen = Situation(store.ledger.read(model=spec.name))
    if seen.model.retired is not None:
        message = f"{spec.name} is retired: nothing is decided; deploy a version with --again to bring it back."
        raise NotFound(message, code="champion_missing")
    facts = seen.facts(spec, now)
    key = _situation(spec, facts)
    decided = _request_before(spec, seen.model, facts, key)
    if decided is not None:
        return decided
    decision = decide_on(spec.retrain, facts)
    if facts.champion is None and decision.why == "quiet":
        message = f"{spec.name} has no champion yet, and retrain asks for no first training: {decision.reason}"
        raise NotFound(message, code="champion_missing")
    last_request = facts.requests[-1].seq if facts.requests else 0
    inputs = {"situation": key, "asked": last_request, "trigger": decision.trigger, "why": decision.why}
    return once(
        ASKS if decision.action == "retrain" else SKIPS,
        spec,
        store,
        run_key(ASKS, spec.part(*READS), inputs),
        lambda run: Decided(**asdict(decision), actor=actor),
        result=Decided,
        actor=actor,
        check=_unchanged(spec, seen.model),
        record=lambda decided, _: _payload(decision, facts) | {"situation": key},
    )


def _situation(spec: ModelSpec, facts: Facts) -> str:
    """Digest of all that decides, but for the clock and the requests."""
    inputs = {
        "champion": facts.champion,
        "measured": facts.measured[-1].run if facts.measured else "",
        "windows": len(facts.measured),
        "windowed": facts.windowed,
        "dataset": facts.dataset,
        "trained": facts.trained.mark.seq if facts.trained else 0,
        "due": facts.cron_due.isoformat() if facts.cron_due else "",
    }
    return run_key(ASKS, spec.part(*READS), inputs)


def _request_before(spec: ModelSpec, model: ModelState, facts: Facts, situation: str) -> Decided | None:
    """The request that is open, if it was made in this very situation."""
    event = model.retrain
    before = event.content if event is not None else None
    if event is None or not isinstance(before, RetrainDecided):
        return None
    if before.situation != situation or lapsed(spec.retrain, facts):
        return None
    return replace(event.result_as(Decided), reused=True)


def _unchanged(spec: ModelSpec, seen: ModelState) -> Callable[[State], None]:
    """Refuses the commit when something happened meanwhile that the decision looked at."""
    then = _standing(seen)

    def check(state: State) -> None:
        if _standing(state.model(spec.name)) != then:
            message = f"{spec.name}: something happened while the decision was made; decide again."
            raise Conflict(message, code="decision_stale")

    return check


def _standing(model: ModelState) -> tuple[Any, ...]:
    newest = (model.retrain, model.latest.get("train"), model.latest.get("monitor"), model.latest.get("decide"))
    seqs = tuple(event.seq if event else 0 for event in newest)
    return (*seqs, model.dataset, len(model.versions), model.champion, model.deployment)


def _payload(decision: PolicyDecision, facts: Facts) -> dict[str, Any]:
    return {
        "reason": decision.reason,
        "trigger": decision.trigger,
        "version": facts.champion,
        "evidence": decision.evidence,
        "at": facts.now.isoformat(timespec="milliseconds"),
    }
