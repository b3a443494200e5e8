"""When the loop behind training would act: each trigger of the policy with today's state, approval and rollout."""

from __future__ import annotations

from datetime import datetime, timedelta

from slipstream.number_formats import percent
from slipstream.retraining.cron import next_due
from slipstream.retraining.facts import Situation
from slipstream.retraining.policy import Facts, cooling, decide_on, in_a_row, spoken
from slipstream.spec.loop import Signal
from slipstream.spec.model import ModelSpec
from slipstream.spec.values import written
from slipstream.store import Store

_OFF = "off"


def outlook(spec: ModelSpec, store: Store, now: datetime) -> tuple[tuple[str, str], ...]:
    """Word -> sentence: the triggers ``drift``, ``quality``, ``rows`` and ``cron``, then what stands around them."""
    facts = Situation(store.ledger.read(model=spec.name)).facts(spec, now)
    decision = decide_on(spec.retrain, facts)
    would = "would ask: " if decision.action == "retrain" else ""
    return (
        ("drift", _drift(spec, facts)),
        ("quality", _quality(spec, facts)),
        ("rows", f"{facts.rows:,} of {spec.retrain.rows:,} new rows" if spec.retrain.rows else _OFF),
        ("cron", _cron(spec, facts)),
        ("cooldown", _cooldown(spec, facts)),
        ("now", would + decision.reason),
        ("approval", _approval(spec)),
        ("rollout", _rollout(spec)),
    )


def _drift(spec: ModelSpec, facts: Facts) -> str:
    if not spec.retrain.drift:
        return _OFF
    drift = spec.monitor.drift
    sentences: dict[Signal, str] = {
        "inputs": f"{percent(drift.share)} of {len(drift.columns or spec.inputs)} inputs drift",
        "prediction": "the answers drift",
        "target": "the target drifts",
        "missing": f"an input misses {percent(drift.missing)} more values",
        "unknown": f"{percent(drift.unknown)} of an input's words are unknown",
        "explanations": f"{percent(drift.explanations)} of the contributions move",
    }
    when = " or ".join(sentences[word] for word in drift.signals)
    lasted = in_a_row(facts, lambda measured: measured.drifted)
    return f"when {when}{_lasting(spec, lasted)}; {_newest(facts)}"


def _quality(spec: ModelSpec, facts: Facts) -> str:
    if not spec.retrain.quality or spec.monitor.quality is None:
        return _OFF if not spec.retrain.quality else "never: monitor.quality is not set"
    allowed = spec.monitor.quality.max_loss
    lasted = in_a_row(facts, lambda measured: measured.lost)
    return f"when {spec.evaluate.metric} is more than {allowed:g} worse than at training{_lasting(spec, lasted)}"


def _lasting(spec: ModelSpec, lasted: int) -> str:
    if spec.retrain.windows == 1:
        return ""
    return f", in {spec.retrain.windows} windows in a row (so far {lasted})"


def _newest(facts: Facts) -> str:
    if not facts.measured:
        return "nothing was measured yet"
    return f"now {facts.measured[-1].verdict.rstrip('.')}"


def _cron(spec: ModelSpec, facts: Facts) -> str:
    if spec.retrain.cron is None:
        return _OFF
    passed = f"; {facts.cron_due:%Y-%m-%d %H:%M} UTC has passed since the newest training" if facts.cron_due else ""
    return f"{spec.retrain.cron}: next {next_due(spec.retrain.cron, facts.now):%Y-%m-%d %H:%M} UTC{passed}"


def _cooldown(spec: ModelSpec, facts: Facts) -> str:
    if spec.retrain.cooldown is None:
        return _OFF
    left = cooling(spec.retrain, facts)
    state = f"free in {spoken(left)}" if left > timedelta() else "free"
    return f"{written(spec.retrain.cooldown)} between two requests: {state}"


def _approval(spec: ModelSpec) -> str:
    if spec.approval.mode == "auto":
        return "passing the gates is enough"
    eyes = ", not the one who asked for the training" if spec.approval.four_eyes else ""
    return f"a person decides within {written(spec.approval.timeout)}{eyes}; no answer is a no"


def _rollout(spec: ModelSpec) -> str:
    if spec.deploy.target["type"] == "local":
        return "at once: the target is local"
    rollout = spec.deploy.rollout
    steps = " -> ".join(f"{percent(share)} of the keys" for share in rollout.steps)
    alarms = {name: limit for name, limit in rollout.alarms.model_dump().items() if limit is not None}
    watched = ", ".join(f"{name} {limit:g}" for name, limit in alarms.items())
    return f"{steps or 'no canary'} -> everything, {written(rollout.bake)} each; taken back on {watched}"
