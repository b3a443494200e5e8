"""Approve: a decision on a version, and the question that asks a person for it."""

from __future__ import annotations

from slipstream.rollout.approval import REQUESTED, ApprovalAnswer, ApprovalQuestion, Approved, check_registered, decided
from slipstream.spec.model import ModelSpec
from slipstream.store import Store


def request(spec: ModelSpec, store: Store, version: int, question: ApprovalQuestion, *, actor: str = "") -> None:
    """Keep that a person is asked about *version*; once for each question."""
    check_registered(spec, store, version)
    payload = {"version": version, "requester": question.requester, "reason": question.reason}
    store.ledger.append(REQUESTED, spec.name, payload, key=question.id, actor=actor)


def approve(spec: ModelSpec, store: Store, version: int, answer: ApprovalAnswer | None = None) -> Approved:
    """Keep the decision on *version*: the *answer*, or the model file's yes where that says ``auto``.

    Raises:
        StageError: ``version_not_found``; ``approval_missing`` if a person must decide and there is no answer, or if
            four eyes are asked for and it was never kept who asked; ``approval_four_eyes``, after the no is kept, if
            who said yes also asked for the training.
    """
    return decided(spec, store, version, answer)
