"""Gate: holds a version against every gate of the model file. What cannot be judged does not pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec

from slipstream.errors import Conflict, NotFound
from slipstream.estimators import LOWER_IS_BETTER
from slipstream.scoring.metrics import holds
from slipstream.spec import GateSpec, ModelSpec
from slipstream.stages.comparison import Comparison
from slipstream.stages.contract import Result, Stage, once, run_key
from slipstream.stages.evaluate import Evaluation, load_evaluation
from slipstream.stages.fairness import Fairness
from slipstream.stages.fairness import sentence as fairness_sentence
from slipstream.stages.replay import STAGE as REPLAY
from slipstream.stages.replay import Replayed
from slipstream.stages.slices import Slice
from slipstream.store import Store
from slipstream.store.state import Event, State

STAGE = Stage("gate", version=2)

_ROUNDING = 1e-12


@dataclass(frozen=True)
class Verdict:
    """What one gate says.

    Attributes:
        gate: Its type.
        passed: Whether the version may pass it.
        sentence: Why, in one sentence.
        value: What was judged, in the gate's unit; None when there was nothing to judge.
        limit: The worst value that passes.
    """

    gate: str
    passed: bool
    sentence: str
    value: float | None = None
    limit: float | None = None


@dataclass(frozen=True)
class Gated(Result):
    """Whether a version may serve.

    Attributes:
        version: Its number.
        passed: Whether all gates let it pass.
        verdicts: One of each gate, in the order of the model file.
    """

    version: int
    passed: bool
    verdicts: tuple[Verdict, ...]


@dataclass(frozen=True)
class _Subject:
    """What gates look at."""

    spec: ModelSpec
    evaluation: Evaluation
    packaged: dict[str, Any]
    replayed: Replayed | None


def gate(spec: ModelSpec, store: Store, version: int, *, actor: str = "") -> Gated:
    """Hold *version* against the gates, on what its evaluation, its packaging and its newest replay found.

    Raises:
        NotFound: ``version_not_found``.
        Conflict: ``promotion_stale`` when another champion serves by now than the evaluation compared with.
    """
    registered = _registered(spec, store, version)
    packaged = registered.data["result"]
    _, evaluation = load_evaluation(spec, store, packaged["evaluation"])
    fresh = partial(_check_fresh, spec, version, evaluation.comparison)
    fresh(store.ledger.state())
    replayed = _newest_replay(store, spec, version, evaluation.comparison)
    found = {"bundle": packaged["bundle"], "evaluation": packaged["evaluation"]}
    found |= {"replay": replayed.run} if replayed else {}
    key = run_key(STAGE, spec.part("gates") | {"metric": spec.evaluate.metric}, {"version": version, **found})
    subject = _Subject(spec, evaluation, packaged, replayed)
    return once(
        STAGE,
        spec,
        store,
        key,
        lambda run: _judge(subject, version),
        result=Gated,
        actor=actor,
        check=fresh,
        record=lambda made, state: {"version": version, "reason": reason(made), "evidence": found},
    )


def reason(gated: Gated) -> str:
    """The outcome in one sentence."""
    refused = [verdict.sentence for verdict in gated.verdicts if not verdict.passed]
    if refused:
        return f"Version {gated.version} was refused: {' '.join(refused)}"
    count = len(gated.verdicts)
    if gated.verdicts[0].gate == "none":
        return f"Version {gated.version} passed: the model file has no gates."
    return f"Version {gated.version} passed {'its only gate' if count == 1 else f'all {count} gates'}."


def _newest_replay(store: Store, spec: ModelSpec, version: int, comparison: Comparison | None) -> Replayed | None:
    """The newest replay of *version*, where a gate looks at it; before all others one against the champion of now.

    After a rollback that may be an earlier one: the same replay is not done twice.
    """
    if all(rule.type != "replay" for rule in spec.gates):
        return None
    champion = comparison.version if comparison else None
    runs = [event.data["result"] for event in store.ledger.read(model=spec.name) if _replays(event, version)]
    fitting = [result for result in runs if result["champion"] == champion]
    newest = (fitting or runs)[-1:]
    return msgspec.convert(newest[0], Replayed) if newest else None


def _replays(event: Event, version: int) -> bool:
    return event.data.get("stage") == REPLAY.name and event.data["result"]["version"] == version


def _registered(spec: ModelSpec, store: Store, version: int) -> Event:
    versions = store.ledger.state().model(spec.name).versions
    if version not in versions:
        known = ", ".join(map(str, list(versions)[-5:])) or "none"
        raise NotFound(f"{spec.name} has no version {version}. Known: {known}.", code="version_not_found")
    return versions[version]


def _check_fresh(spec: ModelSpec, version: int, comparison: Comparison | None, state: State) -> None:
    """Refuse when the comparison was with another champion; a version that serves already was let pass before."""
    champion = state.model(spec.name).champion
    compared = comparison.version if comparison else None
    if champion not in {compared, version}:
        now, then = champion or "none", compared or "none"
        message = f"{spec.name}: champion is {now}, you compared with {then}; evaluate again."
        raise Conflict(message, code="promotion_stale")


def _judge(subject: _Subject, version: int) -> Gated:
    verdicts = tuple(_JUDGES[rule.type](rule, subject) for rule in subject.spec.gates)
    if not verdicts:
        verdicts = (Verdict("none", True, "none: the model file has no gates, so every version passes."),)
    return Gated(version, all(verdict.passed for verdict in verdicts), verdicts)


def _metric(rule: GateSpec, subject: _Subject) -> Verdict:
    metric, bound = _asked(rule, subject)
    score = subject.evaluation.scores.get(metric)
    rows = f"{subject.evaluation.rows:,} held-out rows"
    if score is None or score.value is None:
        return Verdict("metric", False, f"metric: {metric} is not known on the {rows}; evaluate again.", None, bound)
    span = f" ({_n(score.low)} to {_n(score.high)})" if score.low is not None else ""
    sentence = f"metric: {metric} is {_n(score.value)}{span} on {rows}; {_limit(metric, bound)}."
    return Verdict("metric", holds(metric, score.value, bound), sentence, score.value, bound)


def _champion(rule: GateSpec, subject: _Subject) -> Verdict:
    against, metric = subject.evaluation.comparison, _asked(rule, subject)[0]
    if against is None:
        sentence = "champion: there is none yet, so there is nothing to be worse than."
        return Verdict("champion", True, sentence, None, rule.margin)
    name = f"champion {subject.spec.name}/{against.version}"
    if against.refused:
        sentence = f"champion: not comparable with {name}: {against.refused.rstrip('.')}."
        return Verdict("champion", False, sentence, None, rule.margin)
    pair = against.figures.get(metric)
    rows = f"on the same {against.rows:,} rows{_seen(against)}"
    if pair is None or pair.candidate is None or pair.gain.value is None:
        return Verdict("champion", False, f"champion: {metric} is not known {rows}; evaluate again.", None, rule.margin)
    worse = -pair.gain.value
    how = f"{_n(abs(worse))} {'worse' if worse > 0 else 'better'} than" if abs(worse) > _ROUNDING else "as good as"
    allowed = f"at most {_n(rule.margin)} worse is allowed"
    sentence = f"champion: {metric} {_n(pair.candidate)} is {how} {name} {rows}; {allowed}."
    return Verdict("champion", worse <= rule.margin + _ROUNDING, sentence, worse, rule.margin)


def _slice(rule: GateSpec, subject: _Subject) -> Verdict:
    metric, bound = _asked(rule, subject)
    judged = [(value, part) for part in subject.evaluation.slices if (value := _value(part, metric)) is not None]
    if not judged:
        why = f"no slice has {subject.spec.evaluate.min_slice:,} rows"
        return Verdict("slice", False, f"slice: {why}, so {metric} cannot be judged.", None, bound)
    value, part = (max if metric in LOWER_IS_BETTER else min)(judged, key=lambda found: found[0])
    sentence = (
        f"slice: {metric} is worst, {_n(value)}, where {part.column} is {part.value} ({part.rows:,} rows), "
        f"of {len(judged):,} slices; {_limit(metric, bound)}."
    )
    return Verdict("slice", holds(metric, value, bound), sentence, value, bound)


def _latency(rule: GateSpec, subject: _Subject) -> Verdict:
    return _ceiling("latency", "one row takes", subject.packaged.get("latency_ms"), "ms", rule.bound or 0.0)


def _size(rule: GateSpec, subject: _Subject) -> Verdict:
    held = subject.packaged.get("size_bytes")
    return _ceiling("size", "the bundle has", held / 1e6 if held is not None else None, "MB", rule.bound or 0.0)


def _fairness(rule: GateSpec, subject: _Subject) -> Verdict:
    bound = rule.bound or 0.0
    measure = _asked(rule, subject)[0] if rule.measure == "metric" else rule.measure
    found = [part for part in subject.evaluation.fairness if rule.column in {None, part.column}]
    unknown = [part for part in found if measure not in part.differences]
    if unknown or not found:
        why = fairness_sentence(unknown[0], measure) if unknown else "no sensitive column was judged; evaluate again."
        return Verdict("fairness", False, f"fairness: {why}", None, bound)
    worst = max(found, key=lambda part: part.differences[measure])
    value = worst.differences[measure]
    said = f"fairness: {fairness_sentence(worst, measure).rstrip('.')}{_left_out(worst)}"
    return Verdict("fairness", value <= bound, f"{said}; at most {_n(bound)} is allowed.", value, bound)


def _left_out(part: Fairness) -> str:
    """The groups that were not judged, by name."""
    if not part.few:
        return ""
    named = ", ".join(f"{value} ({rows:,})" for value, rows in part.few[:5])
    return f"; with too few rows to judge: {named}{' and others' if len(part.few) > 5 else ''}"


def _replay(rule: GateSpec, subject: _Subject) -> Verdict:
    found, against = subject.replayed, subject.evaluation.comparison
    if found is None:
        return Verdict("replay", False, "replay: it was not replayed; run the replay stage first.", None, rule.bound)
    if against is not None and found.champion not in {against.version, found.version}:
        other = f"version {found.champion}" if found.champion else "none"
        sentence = f"replay: it was replayed when the champion was {other}; replay again."
        return Verdict("replay", False, sentence, found.disagreed, rule.bound)
    if not found.rows:
        return Verdict("replay", True, f"replay: {found.sentence[0].lower()}{found.sentence[1:]}", None, rule.bound)
    if found.failed or found.disagreed is None:
        return Verdict("replay", False, f"replay: {found.sentence}", found.disagreed, rule.bound)
    bound = rule.bound or 0.0
    sentence = f"replay: {found.sentence.rstrip('.')}; at most {bound:.2%} is allowed."
    return Verdict("replay", found.disagreed <= bound, sentence, found.disagreed, bound)


_JUDGES: dict[str, Callable[[GateSpec, _Subject], Verdict]] = {
    "metric": _metric,
    "champion": _champion,
    "slice": _slice,
    "fairness": _fairness,
    "replay": _replay,
    "latency": _latency,
    "size": _size,
}


def _ceiling(name: str, what: str, value: float | None, unit: str, bound: float) -> Verdict:
    if value is None:
        return Verdict(name, False, f"{name}: it was not measured; package again.", None, bound)
    sentence = f"{name}: {what} {_n(value)} {unit}; at most {_n(bound)} {unit} is allowed."
    return Verdict(name, value <= bound, sentence, value, bound)


def _asked(rule: GateSpec, subject: _Subject) -> tuple[str, float]:
    return rule.metric or subject.spec.evaluate.metric, rule.bound or 0.0


def _value(part: Slice, metric: str) -> float | None:
    found = part.figures.get(metric)
    return found.value if found else None


def _limit(metric: str, bound: float) -> str:
    return f"{'at most' if metric in LOWER_IS_BETTER else 'at least'} {_n(bound)} is asked for"


def _seen(against: Comparison) -> str:
    if not against.seen:
        return ""
    if against.excluded:
        return f" ({against.seen:,} more, which it had trained on, were left out)"
    return f" (it had trained on {against.seen:,} of them, which flatters it)"


def _n(value: float | None) -> str:
    """Four significant digits, and no exponent for large numbers."""
    if value is None:
        return "unknown"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
