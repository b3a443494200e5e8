"""Histories: who was in production when, and why, in the order of the ledger whatever the clocks said."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from slipstream.cli.main import app
from slipstream.commands.history import decisions, history
from slipstream.errors import StageError
from slipstream.rollout.production_periods import _last, _periods, as_of, production_periods
from slipstream.stages.gate import gate
from slipstream.store import Store
from slipstream.store.state import Event


def append(store: Store, kind: str, *, actor: str = "", **payload: Any) -> int:
    return store.ledger.append(kind, "small", payload, actor=actor).seq


def registered(store: Store, dataset: str) -> int:
    result = {"dataset": dataset, "bundle": dataset, "size_bytes": 1}
    return append(store, "version.registered", stage="package", run=f"package-{dataset}", result=result)


@pytest.fixture
def story(store: Store) -> dict[str, int]:
    """Two versions: the first serves, the second is tried as a canary, takes over, and is rolled back."""
    seqs = {"one": registered(store, "d" * 64)}
    append(store, "approval.decided", actor="ada", version=1, approved=True, reason="ada approved version 1.")
    append(store, "deployment.started", version=1, weight=1.0)
    seqs["first"] = append(store, "deployment.finished", version=1, reason="nothing was in production")
    seqs["two"] = registered(store, "e" * 64)
    append(store, "approval.decided", actor="policy:auto", version=2, approved=True, reason="auto says yes.")
    seqs["canary"] = append(store, "deployment.started", version=2, weight=0.1)
    seqs["shifted"] = append(store, "deployment.shifted", version=2, weight=0.5, reason="no alarm for 1m")
    seqs["second"] = append(store, "deployment.finished", version=2, previous=1, reason="Version 2 took over.")
    seqs["back"] = append(store, "deployment.finished", version=1, left=2, previous=2, reason="too many errors")
    return seqs


def test_terms_of_office(store: Store, story: dict[str, int], make_spec: Any) -> None:
    first, second, third = production_periods(make_spec(), store)
    assert (first.version, first.why, first.approved_by, first.replaced) == (
        1,
        "nothing was in production",
        "ada",
        None,
    )
    assert (first.first, first.last, first.dataset) == (story["first"], story["second"], "d" * 64)
    assert first.left == "it gave way to version 2: Version 2 took over."
    assert (second.version, second.approved_by, second.replaced) == (2, "policy:auto", 1)
    assert second.left == "it was rolled back to version 1: too many errors"
    assert second.until == third.since
    assert (third.version, third.why, third.approved_by, third.last) == (1, "too many errors", "ada", None)
    assert (third.until, third.left) == ("", "")


@pytest.mark.parametrize(
    ("when", "version", "candidate", "weight"),
    [
        ("one", None, None, 0.0),
        ("first", 1, None, 0.0),
        ("canary", 1, 2, 0.1),
        ("shifted", 1, 2, 0.5),
        ("second", 2, None, 0.0),
        ("back", 1, None, 0.0),
    ],
)
def test_as_of_a_number(
    when: str, version: int | None, candidate: int | None, weight: float, store: Store, story: Any, make_spec: Any
) -> None:
    found = as_of(make_spec(), store, str(story[when]))
    assert found.seq == story[when]
    assert (found.term and found.term.version, found.candidate, found.weight) == (version, candidate, weight)
    if found.term:
        assert (found.term.last, found.term.left) == (None, ""), "the future is not known then"


def test_as_of_a_moment_with_a_shadow(store: Store, story: dict[str, int], make_spec: Any) -> None:
    assert not as_of(make_spec(), store, str(story["canary"])).shadow
    assert not as_of(make_spec(), store, str(story["back"])).shadow, "nothing is being rolled out"
    begun = append(store, "deployment.started", version=2, weight=1.0, shadow=True)
    assert as_of(make_spec(), store, str(begun)).shadow


def test_as_of_a_time_is_the_last_event_by_then(store: Store, story: dict[str, int], make_spec: Any) -> None:
    spec, events = make_spec(), store.ledger.read()
    now = as_of(spec, store, "2999-01-01")
    assert (now.seq, now.term and now.term.first) == (story["back"], story["back"])
    assert as_of(spec, store, "1999-12-31T23:59:59").seq == 0
    assert as_of(spec, store, "1999-12-31T23:59:59").term is None
    at = events[story["shifted"] - 1].time
    by_then = max(event.seq for event in events if event.time <= at)
    assert as_of(spec, store, at).seq == by_then
    elsewhere = datetime.fromisoformat(at).astimezone(UTC) + timedelta(hours=2)
    assert as_of(spec, store, elsewhere.replace(tzinfo=None).isoformat() + "+02:00").seq == by_then


def test_a_clock_that_jumps_back_reorders_nothing() -> None:
    times = ["2026-01-01T10:00:00+00:00", "2026-01-01T12:00:00+00:00", "2026-01-01T09:00:00+00:00"]
    events = [
        Event(seq, str(seq), time, "", "small", "deployment.finished", "", json.dumps({"version": seq}), "", "")
        for seq, time in enumerate(times, start=1)
    ]
    assert [term.version for term in _periods(events)] == [1, 2, 3]
    assert _last(events, "2026-01-01T11:00") == 3, "the last by number, not by time"
    assert _last(events[:2], "2026-01-01T11:00") == 1


def test_events_of_other_models_are_no_part_of_it(store: Store, story: dict[str, int], make_spec: Any) -> None:
    other = store.ledger.append("deployment.finished", "other", {"version": 9})
    found = as_of(make_spec(), store, str(other.seq))
    assert found.term is not None
    assert (found.seq, found.term.version) == (other.seq, 1)
    assert len(production_periods(make_spec(), store)) == 3


@pytest.mark.parametrize(("moment", "text"), [("yesterday", "is neither a number"), ("99999", "so there is no number")])
def test_a_wrong_moment(moment: str, text: str, store: Store, story: Any, make_spec: Any) -> None:
    with pytest.raises(StageError, match=text) as caught:
        as_of(make_spec(), store, moment)
    assert caught.value.code == "moment_invalid"


def test_before_anything_happened(store: Store, make_spec: Any) -> None:
    assert production_periods(make_spec(), store) == []
    assert as_of(make_spec(), store, "2999-01-01").term is None
    assert decisions(make_spec(), store) == []


def test_events_of_an_earlier_release_lack_reasons(store: Store, make_spec: Any) -> None:
    registered(store, "d" * 64)
    append(store, "deployment.finished", version=1, previous=None)
    append(store, "deployment.finished", version=2, previous=1)
    first, second = production_periods(make_spec(), store)
    assert first.why == "it passed its gates and nothing was in production before"
    assert (second.why, second.dataset) == ("it passed its gates beside version 1", "")
    assert [entry.text for entry in history(make_spec(), store)][:2] == [
        "Version 2 serves in place of version 1.",
        "Version 1 serves.",
    ]


def test_each_event_is_a_sentence(store: Store, story: dict[str, int], make_spec: Any) -> None:
    append(store, "labels.joined", sentence="roc_auc is 0.9 on 63 % labelled.")
    append(store, "retrain.skipped", reason="nothing is due.")
    append(store, "approval.decided", actor="eve", version=2, approved=False, reason="eve said no.", comment="bad")
    texts = [entry.text for entry in history(make_spec(), store)]
    assert texts[:6] == [
        'eve said no. They wrote: "bad"',
        "No retraining: nothing is due.",
        "roc_auc is 0.9 on 63 % labelled.",
        "Version 1 serves again in place of version 2: too many errors.",
        "Version 2 took over.",
        "Version 2 is now rolled out to 50 % of the keys: no alarm for 1m.",
    ]


@pytest.mark.parametrize(
    ("gain", "said"),
    [
        (0.02, "The candidate is 0.02 better than champion 1: roc_auc 0.8."),
        (0.0, "The candidate is 0 better than champion 1: roc_auc 0.8."),
        (-0.02, "The candidate is 0.02 worse than champion 1: roc_auc 0.8."),
        (None, "The candidate was evaluated: roc_auc 0.8."),
    ],
)
def test_an_evaluation_says_which_is_better(gain: float | None, said: str, store: Store, make_spec: Any) -> None:
    found = {"metric": "roc_auc", "scores": {"roc_auc": 0.8}, "gain": gain, "champion": 1}
    append(store, "run.finished", stage="evaluate", run="evaluate-1", result=found)
    assert history(make_spec(), store)[0].text == said


def test_decisions_are_those_that_nobody_took(store: Store, story: dict[str, int], make_spec: Any) -> None:
    evidence = {"monitor": "monitor-1", "drifted": 2}
    append(store, "retrain.requested", reason="2 of 3 inputs drifted.", evidence=evidence)
    append(store, "retrain.skipped", reason="one is open already.", evidence={})
    append(store, "deployment.rolled_back", version=2, code="rolled_back", reason="2.0 % errors.", evidence={"n": 7})
    append(store, "drift.measured", verdict="quiet", version=1)
    found = decisions(make_spec(), store)
    assert [decision.kind for decision in found] == [
        "deployment.rolled_back",
        "retrain.skipped",
        "retrain.requested",
        "deployment.finished",
        "deployment.finished",
        "approval.decided",
        "deployment.finished",
    ]
    assert found[0].text == "Version 2 was rolled back: 2.0 % errors."
    assert found[2].evidence == evidence
    assert len(decisions(make_spec(), store, newest=2)) == 2


def test_a_gates_result_is_a_decision_with_its_evidence(store: Store, make_spec: Any, release: Any) -> None:
    spec = make_spec(gates=[{"type": "metric", "bound": 0.1}])
    packaged = release(spec)
    (passed,) = decisions(spec, store)
    assert passed.text == "Version 1 passed its only gate."
    assert passed.evidence == {"bundle": packaged.bundle, "evaluation": packaged.evaluation}
    strict = make_spec(gates=[{"type": "metric", "bound": 0.9999}, {"type": "size", "bound": 100}])
    gate(strict, store, 1)
    refused = decisions(spec, store)[0]
    assert refused.text.startswith("Version 1 was refused: metric: roc_auc is ")
    assert store.ledger.read()[-1].data["reason"] == refused.text


class TestCommandLine:
    @pytest.fixture
    def ask(self, store: Store, make_spec: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
        make_spec()
        monkeypatch.setenv("SLIPSTREAM_STORE", (tmp_path / "store").as_uri())
        monkeypatch.setenv("SLIPSTREAM_MODELS", str(tmp_path / "models"))

        return lambda *words: CliRunner().invoke(app, ["history", "small", *words])

    def test_who_served_when(self, ask: Any, story: dict[str, int]) -> None:
        found = json.loads(ask("--as-of", str(story["canary"]), "--json").output)
        assert (found["term"]["version"], found["term"]["approved_by"], found["candidate"]) == (1, "ada", 2)
        said = ask("--as-of", str(story["canary"])).output
        assert "nothing was in production" in said

    def test_all_champions(self, ask: Any, story: dict[str, int]) -> None:
        found = json.loads(ask("--champions", "--json").output)
        assert [term["version"] for term in found] == [1, 2, 1]
        assert "rolled" in ask("--champions").output

    def test_decisions(self, ask: Any, story: dict[str, int]) -> None:
        found = json.loads(ask("--decisions", "--json").output)
        assert found[0]["text"].endswith("too many errors.")
        assert ask("--decisions").exit_code == 0

    def test_all(self, ask: Any, story: dict[str, int]) -> None:
        assert len(json.loads(ask("--json").output)) == 10
        assert "Version 2 took over." in ask().output

    def test_one_view_at_a_time(self, ask: Any) -> None:
        refused = ask("--champions", "--decisions")
        assert refused.exit_code == 2
        assert "give one of --as-of, --champions and --decisions" in refused.output
