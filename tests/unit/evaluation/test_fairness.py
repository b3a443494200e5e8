"""Fairness: the figures are fairlearn's, and a model that treats groups unalike does not pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from fairlearn import metrics

from slipstream.errors import DataError
from slipstream.evaluation.fairness import Fairness, fairness, sentence
from slipstream.evaluation.record import Evaluation, load_evaluation
from slipstream.packaging.model_card import card
from slipstream.stages.evaluate import evaluate
from slipstream.stages.explain import explain
from slipstream.stages.gate import Gated, gate
from slipstream.stages.train import train
from slipstream.statistics.metrics import measure
from slipstream.store import Store
from slipstream.training.candidate import load_training

EVALUATE = {"metric": "log_loss", "sensitive": ["sex"], "min_slice": 4, "bootstrap": 20}

Judged = Callable[..., tuple[Gated, Evaluation]]


class TestByHand:
    """Twelve rows in three groups, of which one has too few rows."""

    truth = np.array([1, 1, 0, 0, 0, 1, 0, 1, 0, 0, 1, 0])
    answer = np.array([0.9, 0.4, 0.2, 0.1, 0.8, 0.9, 0.8, 0.7, 0.6, 0.1, 0.9, 0.9])
    sex = np.array(["a", "a", "a", "a", "a", "b", "b", "b", "b", "b", "c", "c"], dtype=object)

    def found(self, make_spec: Any, **gate_: Any) -> Fairness:
        gates = [{"type": "fairness", "bound": 0.1, **gate_}]
        spec = make_spec(evaluate=EVALUATE, gates=gates)
        (found,) = fairness(spec, pd.DataFrame({"sex": self.sex}), self.truth, self.answer)
        return found

    def test_the_figures_are_fairlearns_own(self, make_spec: Any) -> None:
        found = self.found(make_spec, metric="brier")
        judged = self.sex != "c"
        truth, said, sex = self.truth[judged], (self.answer > 0.5).astype(int)[judged], self.sex[judged]
        assert found.differences == {
            "demographic_parity": metrics.demographic_parity_difference(truth, said, sensitive_features=sex),
            "equal_opportunity": metrics.equal_opportunity_difference(truth, said, sensitive_features=sex),
            "equalized_odds": metrics.equalized_odds_difference(truth, said, sensitive_features=sex),
            "log_loss": pytest.approx(abs(self.score("log_loss", "a") - self.score("log_loss", "b"))),
            "brier": pytest.approx(abs(self.score("brier", "a") - self.score("brier", "b"))),
        }
        # By hand: of a, 2 of 5 are answered yes, of b 4 of 5.
        assert found.differences["demographic_parity"] == pytest.approx(0.4)
        assert found.differences["equal_opportunity"] == 0.5
        # The true positive rates are 1/2 and 1, the false positive rates 1/3 and 2/3.
        assert found.differences["equalized_odds"] == 0.5

    def score(self, metric: str, group: str) -> float:
        rows = self.sex == group
        return measure(metric, self.truth[rows], self.answer[rows])

    def test_groups_and_those_that_are_too_small(self, make_spec: Any) -> None:
        found = self.found(make_spec)
        assert [(group.value, group.rows) for group in found.groups] == [("a", 5), ("b", 5)]
        assert found.few == (("c", 2),)
        first, second = (group.figures for group in found.groups)
        assert (first["selection_rate"], second["selection_rate"]) == (pytest.approx(0.4), pytest.approx(0.8))
        assert (first["true_positive_rate"], second["true_positive_rate"]) == (0.5, 1.0)
        assert first["log_loss"] == pytest.approx(self.score("log_loss", "a"))
        assert sentence(found, "demographic_parity") == (
            "sex: demographic parity differs by 0.4 between the groups (a 0.4, b 0.8)."
        )

    def test_missing_values_are_a_group(self, make_spec: Any) -> None:
        spec = make_spec(evaluate=EVALUATE)
        sex = pd.DataFrame({"sex": [None] * 6 + ["a"] * 6})
        (found,) = fairness(spec, sex, self.truth, self.answer)
        assert [group.value for group in found.groups] == ["(missing)", "a"]


@pytest.fixture
def judged(store: Store, make_spec: Any, make_rows: Any, committed: Any) -> Judged:
    """``judged(gates, bias=0.0)``: the verdicts on a model whose target depends on *sex* by so much."""

    def judge(*gates: dict[str, Any], bias: float = 0.0, **model: Any) -> tuple[Gated, Evaluation]:
        random = np.random.default_rng(0)
        female = random.random(2000) < 0.5
        rows = make_rows(2000)
        distance = np.nan_to_num(rows["distance"].to_numpy())
        late = distance + bias * np.where(female, 1, -1) + random.normal(size=2000) > 0
        table = make_rows(2000, late=late, sex=np.where(female, "f", "m"), is_f=female * 1.0, delay=distance)
        model = {"inputs": ["distance", "hour", "carrier", "is_f"], "evaluate": EVALUATE | {"min_slice": 50}} | model
        spec = make_spec(gates=list(gates), **model)
        evaluated = evaluate(spec, store, train(spec, store, committed(spec, table).id).candidate)
        result = {"candidate": evaluated.candidate, "evaluation": evaluated.run, "bundle": "0" * 64}
        event = store.ledger.append(
            "version.registered", spec.name, {"stage": "package", "run": "package-0", "result": result}
        )
        gated = gate(spec, store, store.ledger.state().model(spec.name).number_of(event))
        return gated, load_evaluation(spec, store, evaluated.run)[1]

    return judge


PARITY = {"type": "fairness", "measure": "demographic_parity", "bound": 0.1}


class TestGate:
    def test_a_biased_model_is_refused_and_a_fair_one_passes(self, judged: Judged) -> None:
        fair, _ = judged(PARITY)
        assert fair.passed
        biased, found = judged(PARITY, bias=1.5)
        assert not biased.passed
        (verdict,) = biased.verdicts
        assert verdict.value == found.fairness[0].differences["demographic_parity"]
        assert verdict.value > 0.5
        assert verdict.sentence.startswith("fairness: sex: demographic parity differs by 0.")
        assert verdict.sentence.endswith("; at most 0.1 is allowed.")

    @pytest.mark.parametrize("measure_", ["equal_opportunity", "equalized_odds", "metric"])
    def test_each_measure_can_refuse(self, measure_: str, judged: Judged) -> None:
        rule = {"type": "fairness", "measure": measure_, "bound": 0.0001}
        gated, _ = judged(rule, bias=1.5)
        assert not gated.passed
        assert judged(rule | {"bound": 1.0}, bias=1.5)[0].passed

    def test_the_worst_column_counts_unless_one_is_named(self, judged: Judged) -> None:
        both = {"evaluate": EVALUATE | {"sensitive": ["carrier", "sex"], "min_slice": 50}}
        worst, found = judged(PARITY, bias=1.5, **both)
        assert "fairness: sex: " in worst.verdicts[0].sentence
        assert [part.column for part in found.fairness] == ["carrier", "sex"]
        named, _ = judged(PARITY | {"column": "carrier", "bound": 0.2}, bias=1.5, **both)
        assert named.passed
        assert "fairness: carrier: " in named.verdicts[0].sentence

    def test_what_cannot_be_judged_does_not_pass(self, judged: Judged) -> None:
        gated, _ = judged(PARITY, evaluate=EVALUATE | {"min_slice": 5000})
        assert not gated.passed
        assert "fewer than two groups can be judged" in gated.verdicts[0].sentence

    def test_a_regression_is_judged_by_its_metric(self, judged: Judged) -> None:
        gated, found = judged(
            {"type": "fairness", "bound": 0.5},
            task="regression",
            target="delay",
            inputs=["hour", "is_f"],
            train={"trainer": {"type": "sklearn", "estimator": "sklearn.linear_model.Ridge"}},
            evaluate={"metric": "mae", "sensitive": ["sex"], "min_slice": 50, "bootstrap": 20},
        )
        assert gated.passed
        assert found.fairness[0].differences.keys() == {"mae"}
        assert "fairness: sex: mae differs by " in gated.verdicts[0].sentence


def test_a_column_of_many_values_is_refused(judged: Judged) -> None:
    with pytest.raises(DataError, match=r"sensitive column 'id' has 400 values .* at most 50") as caught:
        judged(evaluate=EVALUATE | {"sensitive": ["id"]})
    assert caught.value.code == "data_too_many_groups"


def test_it_is_told_on_the_page_and_in_the_card(store: Store, make_spec: Any, make_rows: Any, committed: Any) -> None:
    evil = "<script>f</script>"
    spec = make_spec(evaluate=EVALUATE | {"min_slice": 30})
    table = make_rows(600, sex=pa.array([evil, "m", "m"] * 200))
    trained = train(spec, store, committed(spec, table).id)
    evaluated = evaluate(spec, store, trained.candidate)
    page = store.objects.get(evaluated.report).decode()
    assert "Fairness by sex" in page
    assert "&lt;script&gt;f" in page
    assert "<script" not in page
    found = load_evaluation(spec, store, evaluated.run)[1]
    training = load_training(spec, store, trained.candidate)[1]
    said = card(spec, trained, training, found, explain(spec, store, trained.candidate))
    assert any(line.startswith("Groups by sex: demographic parity differs by ") for line in said["limits"])


def test_champion_and_candidate_stand_side_by_side(
    store: Store, make_spec: Any, make_rows: Any, committed: Any
) -> None:
    spec = make_spec(evaluate=EVALUATE | {"min_slice": 20, "slices": ["carrier"]})
    trained = train(spec, store, committed(spec, make_rows(600, sex=["f", "m"] * 300)).id)
    result = {"candidate": trained.candidate, "dataset": trained.dataset, "bundle": "0" * 64, "evaluation": ""}
    store.ledger.append("version.registered", spec.name, {"stage": "package", "run": "package-0", "result": result})
    store.ledger.append("deployment.finished", spec.name, {"version": 1})
    found = load_evaluation(spec, store, evaluate(spec, store, trained.candidate).run)[1]
    assert found.comparison is not None
    assert found.comparison.fairness == found.fairness
    assert all(part.pair.gain.value == 0 for part in found.comparison.slices)
    assert {part.value for part in found.comparison.slices} == {"A", "B", "C"}
