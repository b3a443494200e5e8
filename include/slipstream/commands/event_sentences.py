"""Each kind of event as one sentence in plain words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from slipstream.number_formats import counted, percent
from slipstream.rollout.approval import FOUR_EYES
from slipstream.store import payloads
from slipstream.store.state import Event

T = TypeVar("T")


class _Absent(Exception):
    """An event of another release lacks what its sentence says."""


def sentence(event: Event, number: int | None = None) -> str:
    """The event in one sentence; *number* is the version number that it registered, if it did."""
    content = event.content
    if isinstance(content, payloads.VersionRegistered):
        return _packaged(content, number) if number else event.kind
    words = _SENTENCES.get(event.kind) or _SENTENCES.get(type(content))
    try:
        return words(content) if words else event.kind
    except _Absent:
        # Its kind still says what happened.
        return event.kind


def _there(value: T | None) -> T:
    if value is None or value == "":
        raise _Absent
    return value


def _count(value: int | None, word: str) -> str:
    return counted(_there(value), word)


def _packaged(content: payloads.VersionRegistered, number: int) -> str:
    size = content.result.size_bytes
    return (
        f"Version {number} was packaged and signed ({size / 1e6:.1f} MB)." if size is not None else "version.registered"
    )


def _validation(content: payloads.ValidationFinished) -> str:
    result = content.result
    if not result.success:
        broken = f"broke the contract: {', '.join(result.failed)}" if result.failed else "was refused for its columns"
        return f"The batch of {_count(result.rows, 'row')} {broken}."
    aside = f", {result.quarantined:,} quarantined" if result.quarantined else ""
    return f"The batch of {_count(result.rows, 'row')} passed: {result.good:,} good{aside}."


def _gate(content: payloads.GateFinished) -> str:
    if content.reason:
        return content.reason
    result = content.result
    if not result.refusals:
        return f"Version {result.version} passed {_count(len(result.verdicts), 'gate')}."
    return f"Version {result.version} was refused: {' '.join(result.refusals)}"


def _approved(content: payloads.ApprovalDecided) -> str:
    reason = content.reason or f"Version {content.version} was {'approved' if content.approved else 'rejected'}."
    if reason == FOUR_EYES:
        reason = f"The approval of version {content.version} does not count: {reason}."
    return f'{reason} They wrote: "{content.comment}"' if content.comment else reason


def _requested(content: payloads.ApprovalRequested) -> str:
    who = f"; {content.requester} had asked for its training" if content.requester else ""
    return f"Approval of version {content.version} was asked for{who}."


def _evaluation(content: payloads.EvaluateFinished) -> str:
    result = content.result
    scores = {_there(result.metric): result.scores.get(result.metric), **result.scores}
    figures = ", ".join(f"{name} {value:.4g}" for name, value in scores.items() if value is not None)
    if result.gain is None:
        return f"The candidate was evaluated: {figures}."
    better = "better" if result.gain >= 0 else "worse"
    return f"The candidate is {abs(result.gain):.4g} {better} than champion {result.champion}: {figures}."


def _explained(content: payloads.ExplainFinished) -> str:
    names = ", ".join(name for name, _ in _there(content.result.importance)[:3])
    return f"The candidate was explained; most important: {names}."


def _labels(content: payloads.LabelsFinished) -> str:
    result = content.result
    unusable = f", {result.bad:,} unusable" if result.bad else ""
    return f"{_count(result.rows, 'label')} came, {result.new:,} new{unusable}."


def _deployed(content: payloads.DeploymentFinished) -> str:
    if content.reason and not content.left:
        return content.reason
    again = " again" if content.left else ""
    before = content.left or content.previous
    place = f" in place of version {before}" if before else ""
    return f"Version {content.version} serves{again}{place}{_because(content)}"


def _because(content: payloads.Payload) -> str:
    return f": {content.reason.rstrip('.')}." if content.reason else "."


def _share(content: payloads.DeploymentShifted) -> str:
    """What a version does meanwhile, said of ``is being rolled out`` or ``is now``."""
    if content.shadow:
        return " as a shadow: it answers too, to nobody"
    return f" to {percent(content.weight)} of the keys" if content.weight < 1 else ""


def _shifted(content: payloads.DeploymentShifted) -> str:
    return f"Version {content.version} is now rolled out{_share(content) or ' to everybody'}{_because(content)}"


def _rolled_back(content: payloads.DeploymentRolledBack) -> str:
    how = "was rolled back" if content.code == "rolled_back" else "did not reach the endpoint"
    return f"Version {content.version} {how}: {_there(content.reason)}"


def _imported(content: payloads.ImportFinished) -> str:
    evidence = content.evidence or {}
    return f"A candidate was imported from {evidence.get('file', 'a file')}{_because(content)}"


def _accepted(content: payloads.SchemaAccepted) -> str:
    words = {"added": "'{0}' is new", "removed": "'{0}' is gone", "renamed": "'{0}' is called '{1}'"}
    changes = [words.get(one.kind, "'{0}' is {1}").format(one.column, one.now) for one in content.changes]
    return f"Changed columns were accepted: {', '.join(changes)}{_because(content)}"


def _skipped(content: payloads.RetrainDecided) -> str:
    reason = _there(content.reason)
    return reason if content.result.why == "quiet" else f"No retraining: {reason}"


_SENTENCES: dict[str | type[payloads.Payload], Callable[[Any], str]] = {
    payloads.IngestFinished: lambda content: f"A batch of {_count(content.result.rows, 'row')} arrived.",
    payloads.TrainFinished: lambda content: (
        f"A candidate was trained on {_count(content.result.rows_train, 'row')}{_because(content)}"
    ),
    payloads.ImportFinished: _imported,
    payloads.EvaluateFinished: _evaluation,
    payloads.ExplainFinished: _explained,
    payloads.ReplayFinished: lambda content: _there(content.result.sentence),
    payloads.LabelsFinished: _labels,
    payloads.ScoreFinished: lambda content: _there(content.result.sentence),
    payloads.GateFinished: _gate,
    payloads.ValidationFinished: _validation,
    payloads.DatasetCommitted: lambda content: (
        f"Dataset version {content.dataset[:12]} was committed with {_count(content.rows, 'row')}."
    ),
    payloads.SchemaAccepted: _accepted,
    payloads.JoinedCommitted: lambda content: (
        f"Joined table {content.table} has {_count(content.rows, 'row')}, {content.added:,} of them new."
    ),
    payloads.KeyPublished: lambda content: f"Signing key {content.key[:12]} is trusted from now on.",
    payloads.ApprovalRequested: _requested,
    payloads.ApprovalDecided: _approved,
    payloads.DeploymentStarted: lambda content: f"Version {content.version} is being rolled out{_share(content)}.",
    payloads.DeploymentShifted: _shifted,
    payloads.DeploymentFinished: _deployed,
    payloads.DeploymentRolledBack: _rolled_back,
    payloads.ModelRetired: lambda content: f"The model was retired{_because(content)}",
    payloads.DriftMeasured: lambda content: content.verdict or "A window was compared with the training reference.",
    payloads.LabelsJoined: lambda content: _there(content.sentence or content.result.sentence),
    "retrain.requested": lambda content: f"Retraining was asked for: {_there(content.reason)}",
    "retrain.skipped": _skipped,
}
"""Kind, or what its events say -> the sentence."""
