"""Gates: each can block a version, and says why in one sentence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from slipstream.errors import Conflict, NotFound
from slipstream.evaluation.record import Evaluated, load_evaluation
from slipstream.stages.evaluate import evaluate
from slipstream.stages.gate import gate
from slipstream.stages.train import train
from slipstream.store import Store

LINEAR = {"type": "sklearn", "estimator": "sklearn.linear_model.LogisticRegression"}
TREE = {"type": "sklearn", "estimator": "sklearn.tree.DecisionTreeClassifier", "parameters": {"max_depth": 1}}
EVALUATE = {"metric": "roc_auc", "metrics": ["log_loss"], "slices": ["carrier"], "min_slice": 30, "bootstrap": 20}
PACKAGED = {"bundle": "0" * 64, "explanation": "", "latency_ms": 3.25, "size_bytes": 1_500_000}

Register = Callable[..., int]


@pytest.fixture
def register(store: Store) -> Register:
    """``register(spec, evaluated, **figures)``: the evaluated candidate as a version, as packaging registers it."""

    def make(spec: Any, evaluated: Evaluated, **figures: Any) -> int:
        result = PACKAGED | {"candidate": evaluated.candidate, "evaluation": evaluated.run, "dataset": ""} | figures
        event = store.ledger.append(
            "version.registered", spec.name, {"stage": "package", "run": "package-0", "result": result}
        )
        return store.ledger.state().model(spec.name).number_of(event)

    return make


@pytest.fixture
def deploy(store: Store) -> Callable[..., None]:
    return lambda spec, version: store.ledger.append("deployment.finished", spec.name, {"version": version})


@pytest.fixture
def judged(
    store: Store, make_spec: Any, make_rows: Any, committed: Any, register: Register, deploy: Any
) -> Callable[..., Any]:
    """``judged(gates)``: the verdicts on a linear model; *champion* serves before it if a trainer is given."""

    def judge(
        *gates: dict[str, Any], champion: Any = None, trainer: Any = LINEAR, evaluate_: Any = None, **figures: Any
    ) -> Any:
        asked = {"gates": list(gates), "evaluate": evaluate_ or EVALUATE}
        spec = make_spec(train={"trainer": trainer}, **asked)
        dataset = committed(spec, make_rows(800)).id
        if champion:
            first = make_spec(train={"trainer": champion}, **asked)
            deploy(first, register(first, evaluate(first, store, train(first, store, dataset).candidate)))
        spec = make_spec(train={"trainer": trainer}, **asked)
        evaluated = evaluate(spec, store, train(spec, store, dataset).candidate)
        gated = gate(spec, store, register(spec, evaluated, **figures))
        return gated, load_evaluation(spec, store, evaluated.run)[1]

    return judge


def test_without_gates_every_version_passes(judged: Any) -> None:
    gated, _ = judged()
    assert gated.passed
    assert gated.verdicts[0].sentence == "none: the model file has no gates, so every version passes."


@pytest.mark.parametrize(
    ("rule", "passed", "text"),
    [
        ({"bound": 0.7}, True, "held-out rows; at least 0.7 is asked for."),
        ({"bound": 0.99}, False, "held-out rows; at least 0.99 is asked for."),
        ({"metric": "log_loss", "bound": 0.65}, True, "at most 0.65 is asked for."),
        ({"metric": "log_loss", "bound": 0.1}, False, "at most 0.1 is asked for."),
    ],
)
def test_metric(rule: Any, passed: bool, text: str, judged: Any) -> None:
    gated, evaluation = judged({"type": "metric", **rule})
    (verdict,) = gated.verdicts
    metric = rule.get("metric", "roc_auc")
    assert (gated.passed, verdict.passed, verdict.limit) == (passed, passed, rule["bound"])
    assert verdict.value == evaluation.scores[metric].value
    assert verdict.sentence.startswith(f"metric: {metric} is {verdict.value:.4g} (")
    assert verdict.sentence.endswith(text)


class TestChampion:
    def test_none_yet(self, judged: Any) -> None:
        gated, _ = judged({"type": "champion"})
        assert gated.passed
        assert gated.verdicts[0].sentence == "champion: there is none yet, so there is nothing to be worse than."

    @pytest.mark.parametrize(("margin", "passed"), [(0.01, False), (0.5, True)])
    def test_a_worse_one_is_refused_beyond_the_margin(self, margin: float, passed: bool, judged: Any) -> None:
        gated, evaluation = judged({"type": "champion", "margin": margin}, champion=LINEAR, trainer=TREE)
        (verdict,) = gated.verdicts
        pair = evaluation.comparison.figures["roc_auc"]
        assert gated.passed is passed
        assert verdict.value == pair.champion - pair.candidate
        assert verdict.sentence == (
            f"champion: roc_auc {pair.candidate:.4g} is {verdict.value:.4g} worse than champion small/1 "
            f"on the same 160 rows; at most {margin} worse is allowed."
        )

    def test_a_better_one_passes(self, judged: Any) -> None:
        gated, _ = judged({"type": "champion"}, {"type": "champion", "metric": "log_loss"}, champion=TREE)
        assert gated.passed
        assert all(
            " better than champion small/1 on the same 160 rows;" in verdict.sentence for verdict in gated.verdicts
        )
        assert all(verdict.value < 0 for verdict in gated.verdicts)

    def test_an_equal_one_passes(self, judged: Any) -> None:
        gated, _ = judged({"type": "champion"}, champion=LINEAR)
        assert gated.passed
        assert " is as good as champion small/1 " in gated.verdicts[0].sentence


class TestSlice:
    @pytest.mark.parametrize(("bound", "passed"), [(0.3, True), (0.8, False)])
    def test_the_worst_slice_decides(self, bound: float, passed: bool, judged: Any) -> None:
        gated, evaluation = judged({"type": "slice", "bound": bound})
        (verdict,) = gated.verdicts
        worst = min(part.figures["roc_auc"].value for part in evaluation.slices if part.figures)
        assert (gated.passed, verdict.value) == (passed, worst)
        assert "where carrier is C (" in verdict.sentence
        assert verdict.sentence.endswith(f"of 3 slices; at least {bound} is asked for.")

    def test_of_losses_the_largest_is_the_worst(self, judged: Any) -> None:
        gated, evaluation = judged({"type": "slice", "metric": "log_loss", "bound": 0.5})
        worst = max(part.figures["log_loss"].value for part in evaluation.slices if part.figures)
        assert (gated.passed, gated.verdicts[0].value) == (False, worst)

    def test_what_cannot_be_judged_does_not_pass(self, judged: Any) -> None:
        gated, _ = judged({"type": "slice", "bound": 0.1}, evaluate_=EVALUATE | {"min_slice": 500})
        assert not gated.passed
        assert gated.verdicts[0].sentence == "slice: no slice has 500 rows, so roc_auc cannot be judged."


@pytest.mark.parametrize(
    ("rule", "figures", "passed", "sentence"),
    [
        ({"type": "latency", "bound": 5}, {}, True, "latency: one row takes 3.25 ms; at most 5 ms is allowed."),
        ({"type": "latency", "bound": 3}, {}, False, "latency: one row takes 3.25 ms; at most 3 ms is allowed."),
        ({"type": "latency", "bound": 3.25}, {}, True, "latency: one row takes 3.25 ms; at most 3.25 ms is allowed."),
        ({"type": "latency", "bound": 3}, {"latency_ms": None}, False, "latency: it was not measured; package again."),
        ({"type": "size", "bound": 2}, {}, True, "size: the bundle has 1.5 MB; at most 2 MB is allowed."),
        ({"type": "size", "bound": 1.5}, {}, True, "size: the bundle has 1.5 MB; at most 1.5 MB is allowed."),
        ({"type": "size", "bound": 1}, {}, False, "size: the bundle has 1.5 MB; at most 1 MB is allowed."),
    ],
)
def test_latency_and_size(rule: Any, figures: Any, passed: bool, sentence: str, judged: Any) -> None:
    gated, _ = judged(rule, **figures)
    assert gated.passed is passed
    assert gated.verdicts[0].sentence == sentence


def test_all_gates_speak_in_order_and_one_is_enough_to_block(judged: Any) -> None:
    gated, _ = judged({"type": "metric", "bound": 0.6}, {"type": "size", "bound": 1}, {"type": "champion"})
    assert [(verdict.gate, verdict.passed) for verdict in gated.verdicts] == [
        ("metric", True),
        ("size", False),
        ("champion", True),
    ]
    assert not gated.passed


def test_reruns_are_reused_and_stale_comparisons_refused(
    store: Store, make_spec: Any, make_rows: Any, committed: Any, register: Register, deploy: Any
) -> None:
    spec = make_spec(gates=[{"type": "champion"}], evaluate=EVALUATE)
    candidate = train(spec, store, committed(spec, make_rows()).id).candidate
    early = evaluate(spec, store, candidate)
    first, second = register(spec, early), register(spec, early)
    assert gate(spec, store, first).run.startswith("gate-")
    assert gate(spec, store, first).reused
    deploy(spec, first)
    # Its own deployment does not make the verdict stale; another's does.
    assert gate(spec, store, first).reused
    with pytest.raises(Conflict, match="champion is 1, you compared with none; evaluate again") as caught:
        gate(spec, store, second)
    assert caught.value.code == "promotion_stale"
    third = register(spec, evaluate(spec, store, candidate))
    assert gate(spec, store, third).passed
    deploy(spec, second)
    with pytest.raises(Conflict, match="champion is 2, you compared with 1; evaluate again"):
        gate(spec, store, third)


def test_an_unknown_version(store: Store, make_spec: Any) -> None:
    with pytest.raises(NotFound, match=r"small has no version 7\. Known: none") as caught:
        gate(make_spec(), store, 7)
    assert caught.value.code == "version_not_found"
