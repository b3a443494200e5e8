"""Decisions on versions, by a person or by the model file's policy, kept in the ledger for ever.

Who deploys reads the decision here, never the colour of a task: a task can be set to success by hand.
"""

from __future__ import annotations

from dataclasses import dataclass

from slipstream.errors import StageError
from slipstream.runs import Result, Stage, once, run_key
from slipstream.spec.model import ModelSpec
from slipstream.store import Store
from slipstream.store.payloads import ApprovalDecided, ApprovalRequested

STAGE = Stage("approve", version=2, event="approval.decided")
REQUESTED = "approval.requested"
AUTO = "policy:auto"
TIMEOUT = "policy:timeout"
POLICY = "policy:"
"""What the names of those begin with that stand in for a person."""
FOUR_EYES = "requested and approved by the same person (four eyes)"


@dataclass(frozen=True)
class ApprovalAnswer:
    """What a person answered.

    Attributes:
        approved: Yes or no.
        by: The person's name.
        comment: What they wrote.
        question: Id of the question; the same answer to it is kept once, however often it is delivered.
    """

    approved: bool
    by: str
    comment: str
    question: str


@dataclass(frozen=True)
class Approved(Result):
    """A decision.

    Attributes:
        version: The version that it is about.
        approved: Yes or no.
        by: The person, or the policy that stood in for one.
        comment: What the person wrote.
        reason: Why it counts as yes or no.
    """

    version: int
    approved: bool
    by: str
    comment: str
    reason: str = ""


@dataclass(frozen=True)
class ApprovalQuestion:
    """What a person is asked.

    Attributes:
        id: Its id; the same question is kept once.
        requester: The person who asked for the training; "" when the policy did.
        reason: Why the training was asked for.
    """

    id: str
    requester: str = ""
    reason: str = ""


def decided(spec: ModelSpec, store: Store, version: int, answer: ApprovalAnswer | None = None) -> Approved:
    """The decision on *version*, kept: the *answer*, or the model file's yes where that says ``auto``.

    Raises:
        StageError: ``version_not_found``; ``approval_missing`` if a person must decide and there is no answer, or if
            four eyes are asked for and it was never kept who asked; ``approval_four_eyes``, after the no is kept, if
            who said yes also asked for the training.
    """
    check_registered(spec, store, version)
    if answer is None:
        if spec.approval.mode == "manual":
            message = f"{spec.name}/{version}: a person must decide (approval.mode is manual) and nobody has."
            raise StageError(message, code="approval_missing")
        answer = ApprovalAnswer(True, AUTO, "", "")
    decision = _judged(spec, store, version, answer)
    inputs = {"version": version, "asked": answer.question, "approved": answer.approved, "by": answer.by}
    approved = once(
        STAGE,
        spec,
        store,
        run_key(STAGE, spec.part("name", "approval"), inputs),
        lambda run: decision,
        result=Approved,
        actor=answer.by,
        record=lambda approved, state: {**_decision_fields(approved), "evidence": {"asked": answer.question}},
    )
    if approved.reason == FOUR_EYES:
        message = f"{spec.name}/{version}: {FOUR_EYES}: {approved.by}; somebody else must decide."
        raise StageError(message, code="approval_four_eyes")
    return approved


def _judged(spec: ModelSpec, store: Store, version: int, answer: ApprovalAnswer) -> Approved:
    """What the *answer* counts as, and why."""
    approved, reason = answer.approved, _reason(spec, version, answer)
    if approved and spec.approval.four_eyes and not answer.by.startswith(POLICY):
        requester = _requester(spec, store, version)
        if requester and requester.casefold() == answer.by.casefold():
            approved, reason = False, FOUR_EYES
    return Approved(version, approved, answer.by, answer.comment[:1000], reason)


def _reason(spec: ModelSpec, version: int, answer: ApprovalAnswer) -> str:
    if answer.by == AUTO:
        return f"Version {version} needs no person's approval: approval.mode is auto."
    if answer.by == TIMEOUT:
        within = spec.part("approval")["approval"]["timeout"]
        return f"Nobody decided on version {version} within {within}, which counts as a no."
    return f"{answer.by} {'approved' if answer.approved else 'rejected'} version {version}."


def _requester(spec: ModelSpec, store: Store, version: int) -> str:
    """Who asked for the training of *version*, by the newest question about it."""
    newest = store.ledger.state().model(spec.name).newest(REQUESTED, version)
    if newest is None:
        message = f"{spec.name}/{version}: nobody was asked yet, so who may decide (approval.four_eyes) is not known."
        raise StageError(message, code="approval_missing")
    return newest.content_as(ApprovalRequested).requester


def require_approval(spec: ModelSpec, store: Store, version: int) -> None:
    """Return if the newest decision on *version* is a yes; where nobody need be asked, the policy's yes is kept.

    Raises:
        StageError: ``approval_missing`` or ``approval_refused``.
    """
    if spec.approval.mode == "auto":
        decided(spec, store, version)
        return
    # A yes that the policy gave while nobody had to be asked is none where somebody has to.
    decisions = store.ledger.state().model(spec.name).on(STAGE.event, version)
    newest = next((event for event in reversed(decisions) if event.actor != AUTO), None)
    if newest is None:
        message = f"{spec.name}/{version} waits for approval; decide in Airflow under Required Actions."
        raise StageError(message, code="approval_missing")
    decision = newest.content_as(ApprovalDecided)
    if not decision.approved:
        why = decision.reason or f"it was rejected by {newest.actor}."
        raise StageError(f"{spec.name}/{version} may not serve: {why}", code="approval_refused")


def _decision_fields(approved: Approved) -> dict[str, object]:
    """What the event says beside the result."""
    figures = approved.figures()
    return {name: figures[name] for name in ("version", "approved", "by", "comment", "reason")}


def check_registered(spec: ModelSpec, store: Store, version: int) -> None:
    """Refuse a version that the model has not.

    Raises:
        StageError: ``version_not_found``.
    """
    known = store.ledger.state().model(spec.name).versions
    if version not in known:
        message = f"{spec.name} has no version {version}; it has {', '.join(map(str, known)) or 'none'}."
        raise StageError(message, code="version_not_found")
