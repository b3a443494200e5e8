"""Approve: a decision on a version, by a person or by the model file's policy, kept in the ledger for ever.

Who deploys reads the decision here, never the colour of a task: a task can be set to success by hand.
"""

from __future__ import annotations

from dataclasses import dataclass

from slipstream.errors import StageError
from slipstream.spec import ModelSpec
from slipstream.stages.contract import Result, Stage, once, run_key
from slipstream.store import Store

STAGE = Stage("approve", version=1, event="approval.decided")
AUTO = "policy:auto"
TIMEOUT = "policy:timeout"


@dataclass(frozen=True)
class Answer:
    """What a person answered.

    Attributes:
        approved: Yes or no.
        by: The person's name.
        comment: What they wrote.
        asked: Id of the question; the same answer to it is kept once, however often it is delivered.
    """

    approved: bool
    by: str
    comment: str
    asked: str


@dataclass(frozen=True)
class Approved(Result):
    """A decision.

    Attributes:
        version: The version that it is about.
        approved: Yes or no.
        by: The person, or the policy that stood in for one.
        comment: What the person wrote.
    """

    version: int
    approved: bool
    by: str
    comment: str


def request(spec: ModelSpec, store: Store, version: int, *, asked: str, actor: str = "") -> None:
    """Keep that a person is asked about *version*; once for each question *asked*."""
    _registered(spec, store, version)
    store.ledger.append("approval.requested", spec.name, {"version": version}, key=asked, actor=actor)


def approve(spec: ModelSpec, store: Store, version: int, answer: Answer | None = None) -> Approved:
    """Keep the decision on *version*: the *answer*, or the model file's yes where that says ``auto``.

    Raises:
        StageError: ``version_not_found``; ``approval_missing`` if a person must decide and there is no answer.
    """
    _registered(spec, store, version)
    if answer is None:
        if spec.approval.mode == "manual":
            message = f"{spec.name}/{version}: a person must decide (approval.mode is manual) and nobody has."
            raise StageError(message, code="approval_missing")
        answer = Answer(True, AUTO, "", "")
    decision = Approved(version, answer.approved, answer.by, answer.comment[:1000])
    inputs = {"version": version, "asked": answer.asked, "approved": answer.approved, "by": answer.by}
    return once(
        STAGE,
        spec,
        store,
        run_key(STAGE, spec.part("name", "approval"), inputs),
        lambda run: decision,
        result=Approved,
        actor=answer.by,
        record=lambda made, state: {"version": version, "approved": made.approved, "comment": made.comment},
    )


def require_approval(spec: ModelSpec, store: Store, version: int) -> None:
    """Return if the newest decision on *version* is a yes, or none is needed.

    Raises:
        StageError: ``approval_missing`` or ``approval_refused``.
    """
    if spec.approval.mode == "auto":
        return
    decisions = store.ledger.read(model=spec.name, kind=STAGE.event)
    newest = next((event for event in reversed(decisions) if event.data["version"] == version), None)
    if newest is None:
        message = f"{spec.name}/{version} waits for approval; decide in Airflow under Required Actions."
        raise StageError(message, code="approval_missing")
    if not newest.data["approved"]:
        raise StageError(f"{spec.name}/{version} was rejected by {newest.actor}.", code="approval_refused")


def _registered(spec: ModelSpec, store: Store, version: int) -> None:
    known = store.ledger.state().model(spec.name).versions
    if version not in known:
        message = f"{spec.name} has no version {version}; it has {', '.join(map(str, known)) or 'none'}."
        raise StageError(message, code="version_not_found")
