"""Approval: who decided, why it counts, and what a person is told before."""

from __future__ import annotations

from typing import Any

import pytest

from slipstream.commands.history import decisions, history
from slipstream.errors import StageError
from slipstream.rollout.approval import AUTO, FOUR_EYES, TIMEOUT, ApprovalAnswer, ApprovalQuestion, require_approval
from slipstream.rollout.approval_evidence import evidence
from slipstream.stages.approve import approve, request
from slipstream.stages.replay import replay
from slipstream.store import Store

MANUAL = {"approval": {"mode": "manual"}}
CAREFUL = {"approval": {"mode": "manual", "four_eyes": True}}


@pytest.fixture
def version(store: Store) -> int:
    store.ledger.append("version.registered", "small", {"stage": "package", "run": "package-1", "result": {}})
    return 1


def decided(store: Store) -> Any:
    return store.ledger.read(kind="approval.decided")[-1]


class TestDecisions:
    @pytest.mark.parametrize(
        ("answer", "reason"),
        [
            (ApprovalAnswer(True, "ada", "fine", "q 1"), "ada approved version 1."),
            (ApprovalAnswer(False, "ada", "no", "q 1"), "ada rejected version 1."),
            (ApprovalAnswer(False, TIMEOUT, "", "q 1"), "Nobody decided on version 1 within 2h, which counts as a no."),
        ],
    )
    def test_each_says_who_and_why(
        self, answer: ApprovalAnswer, reason: str, store: Store, version: int, make_spec: Any
    ) -> None:
        spec = make_spec(approval={"mode": "manual", "timeout": "2h"})
        made = approve(spec, store, version, answer)
        assert (made.approved, made.reason) == (answer.approved, reason)
        event = decided(store)
        assert event.actor == event.data["by"] == answer.by
        assert (event.data["reason"], event.data["comment"]) == (reason, answer.comment)
        if answer.approved:
            require_approval(spec, store, version)
            return
        with pytest.raises(StageError, match="small/1 may not serve: ") as caught:
            require_approval(spec, store, version)
        assert caught.value.code == "approval_refused"

    def test_the_policys_yes_is_kept_once(self, store: Store, version: int, make_spec: Any) -> None:
        spec = make_spec()
        require_approval(spec, store, version)
        require_approval(spec, store, version)
        (event,) = store.ledger.read(kind="approval.decided")
        assert (event.actor, event.data["approved"]) == (AUTO, True)
        assert event.data["reason"] == "Version 1 needs no person's approval: approval.mode is auto."
        (decision,) = decisions(spec, store)
        assert decision.text == event.data["reason"]

    def test_the_policys_yes_is_none_where_a_person_must_decide(
        self, store: Store, version: int, make_spec: Any
    ) -> None:
        approve(make_spec(), store, version)
        with pytest.raises(StageError) as caught:
            require_approval(make_spec(**MANUAL), store, version)
        assert caught.value.code == "approval_missing"


class TestFourEyes:
    def test_who_asked_for_it_cannot_approve_it(self, store: Store, version: int, make_spec: Any) -> None:
        spec = make_spec(**CAREFUL)
        request(spec, store, version, ApprovalQuestion("q", "Ada", "prices changed"), actor="Ada")
        for _ in range(2):  # the same answer, delivered again, counts as little
            with pytest.raises(StageError, match="small/1: requested and approved by the same person") as caught:
                approve(spec, store, version, ApprovalAnswer(True, "ada", "it is mine", "q 1"))
            assert caught.value.code == "approval_four_eyes"
        event = decided(store)
        assert (event.data["approved"], event.data["reason"], event.data["by"]) == (False, FOUR_EYES, "ada")
        assert len(store.ledger.read(kind="approval.decided")) == 1
        with pytest.raises(StageError, match=r"four eyes") as caught:
            require_approval(spec, store, version)
        assert caught.value.code == "approval_refused"
        texts = [entry.text for entry in history(spec, store)]
        assert texts[0].startswith("The approval of version 1 does not count: requested and approved by the same")
        assert texts[1] == "Approval of version 1 was asked for; Ada had asked for its training."
        # Somebody else's yes to the next question counts.
        request(spec, store, version, ApprovalQuestion("q2", "Ada"))
        assert approve(spec, store, version, ApprovalAnswer(True, "grace", "", "q2 1")).approved
        require_approval(spec, store, version)

    def test_who_asked_for_it_may_reject_it(self, store: Store, version: int, make_spec: Any) -> None:
        spec = make_spec(**CAREFUL)
        request(spec, store, version, ApprovalQuestion("q", "ada"))
        assert not approve(spec, store, version, ApprovalAnswer(False, "ada", "", "q 1")).approved

    def test_what_the_policy_asked_for_anyone_may_approve(self, store: Store, version: int, make_spec: Any) -> None:
        spec = make_spec(**CAREFUL)
        request(spec, store, version, ApprovalQuestion("q"))
        assert approve(spec, store, version, ApprovalAnswer(True, "ada", "", "q 1")).approved

    def test_an_answer_without_a_question_is_refused(self, store: Store, version: int, make_spec: Any) -> None:
        with pytest.raises(StageError, match="nobody was asked yet") as caught:
            approve(make_spec(**CAREFUL), store, version, ApprovalAnswer(True, "ada", "", "q 1"))
        assert caught.value.code == "approval_missing"
        assert not store.ledger.read(kind="approval.decided")

    def test_without_it_one_person_is_enough(self, store: Store, version: int, make_spec: Any) -> None:
        spec = make_spec(**MANUAL)
        request(spec, store, version, ApprovalQuestion("q", "ada"))
        assert approve(spec, store, version, ApprovalAnswer(True, "ada", "", "q 1")).approved


TREE = {"type": "sklearn", "estimator": "sklearn.tree.DecisionTreeClassifier", "parameters": {"max_depth": 1}}


def test_the_evidence_is_all_that_is_known(store: Store, make_spec: Any, release: Any) -> None:
    model = {
        "description": "Is it late?",
        "evaluate": {
            "metric": "roc_auc",
            "bootstrap": 20,
            "min_slice": 20,
            "slices": ["carrier"],
            "sensitive": ["carrier"],
        },
        "gates": [{"type": "metric", "bound": 0.3}, {"type": "champion", "margin": 0.0}],
        **MANUAL,
    }
    spec = make_spec(**model)
    release(spec)
    first = evidence(spec, store, 1)
    assert {part.title: part.lines for part in first.parts}["Why"] == ("Is it late?", "Asked for by no person.")
    assert any("There is no champion to compare with." in part.lines for part in first.parts)
    store.ledger.append("deployment.finished", spec.name, {"version": 1})
    store.ledger.append("drift.measured", spec.name, {"verdict": "2 of 3 inputs drifted.", "result": {"report": "ab"}})
    asked = {"reason": "2 of 3 inputs drifted.", "run": "monitor-1"}
    store.ledger.append("retrain.requested", spec.name, asked)
    spec = make_spec(**model, train={"trainer": TREE})
    two = release(spec, seed=1).version
    replay(spec, store, two)
    found = evidence(spec, store, two, requester="ada")
    parts = {part.title: part.lines for part in found.parts}
    assert list(parts) == [
        "Why",
        "Scores on 240 held-out rows",
        "Gates",
        "Slices that got worse",
        "Fairness",
        "Replay of captured traffic",
        "Newest drift",
    ]
    assert parts["Why"][1:] == ("Asked for because: 2 of 3 inputs drifted.", "Asked for by ada.")
    assert any(line.startswith("roc_auc on the same 240 rows: champion version 1 ") for line in parts[list(parts)[1]])
    assert parts["Gates"][0].startswith("passed: metric: ")
    assert parts["Gates"][1].startswith("REFUSED: champion: ")
    assert all(" rows): roc_auc went from " in line for line in parts["Slices that got worse"])
    assert 0 < len(parts["Slices that got worse"]) <= 3
    assert any("demographic parity" in line for line in parts["Fairness"])
    assert parts["Replay of captured traffic"][0].startswith("Nothing was replayed: ")
    assert parts["Newest drift"] == ("2 of 3 inputs drifted.",)
    assert set(found.reports) == {"evaluation", "explanation", "card", "drift"}
    # A form's reason says more than the policy's; a request that another training answered says nothing.
    assert "Asked for because: by hand" in evidence(spec, store, two, reason="by hand").parts[0].lines
    assert not any("because" in line for line in evidence(spec, store, 1).parts[0].lines)
