"""Gate: holds a version against every gate of the model file. What cannot be judged does not pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from slipstream.errors import NotFound, Outdated
from slipstream.evaluation.comparison import Comparison
from slipstream.evaluation.fairness import Fairness
from slipstream.evaluation.fairness import sentence as fairness_sentence
from slipstream.evaluation.record import Evaluation, load_evaluation
from slipstream.evaluation.slices import Slice
from slipstream.number_formats import figure
from slipstream.runs import Result, Stage, once, run_key
from slipstream.spec.estimators import LOWER_IS_BETTER
from slipstream.spec.model import GateSpec, ModelSpec
from slipstream.stages.replay import STAGE as REPLAY
from slipstream.stages.replay import Replayed
from slipstream.statistics.metrics import holds
from slipstream.store import Store
from slipstream.store.figures import VersionFigures
from slipstream.store.payloads import ReplayFinished, VersionRegistered
from slipstream.store.state import Event, State

STAGE = Stage("gate", version=2)
READS = ("gates", "evaluate.metric")

_ROUNDING = 1e-12


@dataclass(frozen=True)
class GateVerdict:
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
    verdicts: tuple[GateVerdict, ...]


@dataclass(frozen=True)
class _Subject:
    """What gates look at."""

    spec: ModelSpec
    evaluation: Evaluation
    packaged: VersionFigures
    replayed: Replayed | None


def gate(spec: ModelSpec, store: Store, version: int, *, actor: str = "") -> Gated:
    """Hold *version* against the gates, on what its evaluation, its packaging and its newest replay found.

    Raises:
        NotFound: ``version_not_found``.
        Outdated: ``promotion_stale`` when another champion serves by now than the evaluation compared with.
    """
    registered = _registered(spec, store, version)
    packaged = registered.content_as(VersionRegistered).result
    _, evaluation = load_evaluation(spec, store, packaged.evaluation)
    fresh = partial(_check_fresh, spec, version, evaluation.comparison)
    fresh(store.ledger.state())
    replayed = _newest_replay(store, spec, version, evaluation.comparison)
    evidence = {"bundle": packaged.bundle, "evaluation": packaged.evaluation}
    evidence |= {"replay": replayed.run} if replayed else {}
    key = run_key(STAGE, spec.part(*READS), {"version": version, **evidence})
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
        record=lambda gated, state: {"version": version, "reason": reason(gated), "evidence": evidence},
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
    runs = store.ledger.state().model(spec.name).on(REPLAY.name, version)
    fitting = [event for event in runs if event.content_as(ReplayFinished).result.champion == champion]
    newest = (fitting or runs)[-1:]
    return newest[0].result_as(Replayed) if newest else None


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
        raise Outdated(message)


def _judge(subject: _Subject, version: int) -> Gated:
    verdicts = tuple(_JUDGES[rule.type](rule, subject) for rule in subject.spec.gates)
    if not verdicts:
        verdicts = (GateVerdict("none", True, "none: the model file has no gates, so every version passes."),)
    return Gated(version, all(verdict.passed for verdict in verdicts), verdicts)


def _metric(rule: GateSpec, subject: _Subject) -> GateVerdict:
    metric, bound = _metric_and_bound(rule, subject)
    score = subject.evaluation.scores.get(metric)
    rows = f"{subject.evaluation.rows:,} held-out rows"
    if score is None or score.value is None:
        return GateVerdict(
            "metric", False, f"metric: {metric} is not known on the {rows}; evaluate again.", None, bound
        )
    span = f" ({figure(score.low)} to {figure(score.high)})" if score.low is not None else ""
    sentence = f"metric: {metric} is {figure(score.value)}{span} on {rows}; {_limit(metric, bound)}."
    return GateVerdict("metric", holds(metric, score.value, bound), sentence, score.value, bound)


def _champion(rule: GateSpec, subject: _Subject) -> GateVerdict:
    against, metric = subject.evaluation.comparison, _metric_and_bound(rule, subject)[0]
    if against is None:
        sentence = "champion: there is none yet, so there is nothing to be worse than."
        return GateVerdict("champion", True, sentence, None, rule.margin)
    name = f"champion {subject.spec.name}/{against.version}"
    if against.refused:
        sentence = f"champion: not comparable with {name}: {against.refused.rstrip('.')}."
        return GateVerdict("champion", False, sentence, None, rule.margin)
    pair = against.figures.get(metric)
    rows = f"on the same {against.rows:,} rows{_overlap(against)}"
    if pair is None or pair.candidate is None or pair.gain.value is None:
        return GateVerdict(
            "champion", False, f"champion: {metric} is not known {rows}; evaluate again.", None, rule.margin
        )
    worse = -pair.gain.value
    how = f"{figure(abs(worse))} {'worse' if worse > 0 else 'better'} than" if abs(worse) > _ROUNDING else "as good as"
    allowed = f"at most {figure(rule.margin)} worse is allowed"
    sentence = f"champion: {metric} {figure(pair.candidate)} is {how} {name} {rows}; {allowed}."
    return GateVerdict("champion", worse <= rule.margin + _ROUNDING, sentence, worse, rule.margin)


def _slice(rule: GateSpec, subject: _Subject) -> GateVerdict:
    metric, bound = _metric_and_bound(rule, subject)
    judged = [(value, part) for part in subject.evaluation.slices if (value := _value(part, metric)) is not None]
    if not judged:
        why = f"no slice has {subject.spec.evaluate.min_slice:,} rows"
        return GateVerdict("slice", False, f"slice: {why}, so {metric} cannot be judged.", None, bound)
    value, part = (max if metric in LOWER_IS_BETTER else min)(judged, key=lambda pair: pair[0])
    sentence = (
        f"slice: {metric} is worst, {figure(value)}, where {part.column} is {part.value} ({part.rows:,} rows), "
        f"of {len(judged):,} slices; {_limit(metric, bound)}."
    )
    return GateVerdict("slice", holds(metric, value, bound), sentence, value, bound)


def _latency(rule: GateSpec, subject: _Subject) -> GateVerdict:
    return _ceiling("latency", "one row takes", subject.packaged.latency_ms, "ms", rule.bound or 0.0)


def _size(rule: GateSpec, subject: _Subject) -> GateVerdict:
    held = subject.packaged.size_bytes
    return _ceiling("size", "the bundle has", held / 1e6 if held is not None else None, "MB", rule.bound or 0.0)


def _fairness(rule: GateSpec, subject: _Subject) -> GateVerdict:
    bound = rule.bound or 0.0
    measure = _metric_and_bound(rule, subject)[0] if rule.measure == "metric" else rule.measure
    judged = [part for part in subject.evaluation.fairness if rule.column in {None, part.column}]
    unknown = [part for part in judged if measure not in part.differences]
    if unknown or not judged:
        why = fairness_sentence(unknown[0], measure) if unknown else "no sensitive column was judged; evaluate again."
        return GateVerdict("fairness", False, f"fairness: {why}", None, bound)
    worst = max(judged, key=lambda part: part.differences[measure])
    value = worst.differences[measure]
    sentence = f"fairness: {fairness_sentence(worst, measure).rstrip('.')}{_left_out(worst)}"
    return GateVerdict("fairness", value <= bound, f"{sentence}; at most {figure(bound)} is allowed.", value, bound)


def _left_out(part: Fairness) -> str:
    """The groups that were not judged, by name."""
    if not part.few:
        return ""
    groups = ", ".join(f"{value} ({rows:,})" for value, rows in part.few[:5])
    return f"; with too few rows to judge: {groups}{' and others' if len(part.few) > 5 else ''}"


def _replay(rule: GateSpec, subject: _Subject) -> GateVerdict:
    replayed, against = subject.replayed, subject.evaluation.comparison
    if replayed is None:
        return GateVerdict(
            "replay", False, "replay: it was not replayed; run the replay stage first.", None, rule.bound
        )
    if against is not None and replayed.champion not in {against.version, replayed.version}:
        other = f"version {replayed.champion}" if replayed.champion else "none"
        sentence = f"replay: it was replayed when the champion was {other}; replay again."
        return GateVerdict("replay", False, sentence, replayed.disagreed, rule.bound)
    if not replayed.rows:
        return GateVerdict(
            "replay", True, f"replay: {replayed.sentence[0].lower()}{replayed.sentence[1:]}", None, rule.bound
        )
    if replayed.failed or replayed.disagreed is None:
        return GateVerdict("replay", False, f"replay: {replayed.sentence}", replayed.disagreed, rule.bound)
    bound = rule.bound or 0.0
    sentence = f"replay: {replayed.sentence.rstrip('.')}; at most {bound:.2%} is allowed."
    return GateVerdict("replay", replayed.disagreed <= bound, sentence, replayed.disagreed, bound)


_JUDGES: dict[str, Callable[[GateSpec, _Subject], GateVerdict]] = {
    "metric": _metric,
    "champion": _champion,
    "slice": _slice,
    "fairness": _fairness,
    "replay": _replay,
    "latency": _latency,
    "size": _size,
}


def _ceiling(name: str, what: str, value: float | None, unit: str, bound: float) -> GateVerdict:
    if value is None:
        return GateVerdict(name, False, f"{name}: it was not measured; package again.", None, bound)
    sentence = f"{name}: {what} {figure(value)} {unit}; at most {figure(bound)} {unit} is allowed."
    return GateVerdict(name, value <= bound, sentence, value, bound)


def _metric_and_bound(rule: GateSpec, subject: _Subject) -> tuple[str, float]:
    return rule.metric or subject.spec.evaluate.metric, rule.bound or 0.0


def _value(part: Slice, metric: str) -> float | None:
    figure = part.figures.get(metric)
    return figure.value if figure else None


def _limit(metric: str, bound: float) -> str:
    return f"{'at most' if metric in LOWER_IS_BETTER else 'at least'} {figure(bound)} is asked for"


def _overlap(against: Comparison) -> str:
    if not against.seen:
        return ""
    if against.excluded:
        return f" ({against.seen:,} more, which it had trained on, were left out)"
    return f" (it had trained on {against.seen:,} of them, which flatters it)"
