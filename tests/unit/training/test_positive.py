"""Which of two labels is the positive one: said or plain, and then it decides figures, probabilities and replies."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import average_precision_score, precision_score, recall_score

from slipstream.bundle.bundle import open_bundle
from slipstream.errors import SpecError
from slipstream.evaluation.candidate_answers import load_candidate, truth_of
from slipstream.serving.message import Request
from slipstream.serving.models.answer import answer
from slipstream.serving.version.capture_policy import Policy
from slipstream.serving.version.load import load_served
from slipstream.serving.version.loaded import LoadedVersion
from slipstream.serving.version.native import Native
from slipstream.spec.model import ModelSpec
from slipstream.spec.strict_yaml import parse
from slipstream.stages.evaluate import evaluate
from slipstream.stages.explain import explain
from slipstream.stages.package import package
from slipstream.stages.train import train
from slipstream.store import Store
from slipstream.training.candidate import load_training
from slipstream.training.split import split

MakeSpec = Callable[..., ModelSpec]
DATA = {"source": {"type": "files", "path": "*.csv"}}


def rows(labels: tuple[Any, Any], count: int = 2000) -> pa.Table:
    """Few rows have the second label: where x + y is large."""
    random = np.random.default_rng(1)
    x, y = random.normal(size=count), random.normal(size=count)
    return pa.table({"x": x, "y": y, "label": [labels[int(rare)] for rare in x + y > 2.2]})


def spec_of(make_spec: MakeSpec, **keys: Any) -> ModelSpec:
    said = {"metric": "recall", "metrics": ["precision", "average_precision"], "bootstrap": 20}
    return make_spec(target="label", inputs=["x", "y"], data=DATA, evaluate=said, **keys)


def test_two_words_are_refused_until_one_is_named(store: Store, make_spec: MakeSpec, committed: Any) -> None:
    spec = spec_of(make_spec)
    with pytest.raises(SpecError, match=r"'fraud' and 'legit'.*write positive: legit or positive: fraud") as refused:
        train(spec, store, committed(spec, rows(("legit", "fraud"))).id)
    assert refused.value.code == "positive_missing"


@pytest.mark.parametrize("labels", [("01", "02"), ("null", "ok"), ("a: b", "# c"), ("1e3", "x y"), ("-1", "~")])
def test_the_line_that_the_refusal_says_can_be_written(
    labels: tuple[str, str], store: Store, make_spec: MakeSpec, committed: Any
) -> None:
    spec = spec_of(make_spec)
    dataset = committed(spec, rows(labels)).id
    with pytest.raises(SpecError) as refused:
        train(spec, store, dataset)
    _, _, advice = str(refused.value).rpartition("; write ")
    lines = advice.removesuffix(".").split(" or ")
    assert {parse(line, "m").value["positive"] for line in lines} == set(labels)


def test_a_positive_label_that_is_none_is_refused(store: Store, make_spec: MakeSpec, committed: Any) -> None:
    spec = spec_of(make_spec, positive="frau")
    with pytest.raises(SpecError, match="it has 'fraud' and 'legit'") as refused:
        train(spec, store, committed(spec, rows(("legit", "fraud"))).id)
    assert refused.value.code == "positive_unknown"


def test_only_a_binary_task_has_one(make_spec: MakeSpec) -> None:
    with pytest.raises(SpecError, match="only a binary task"):
        make_spec(task="multiclass", positive="x", evaluate={"metric": "accuracy"})


LABELS: dict[str, tuple[tuple[Any, Any], Any, Any]] = {
    "the first word": (("legit", "fraud"), "fraud", "fraud"),
    "the last word": (("fraud", "legit"), "legit", "legit"),
    "yes and no": (("No", "Yes"), None, "Yes"),
    "true and false": ((False, True), None, True),
    "the other of two truths": ((True, False), False, False),
    "0 and 1": ((0, 1), None, 1),
    "1 and 2": ((2, 1), 1, 1),
    "-1 and 1": ((-1, 1), 1, 1),
    "10 and 20": ((10, 20), 20, 20),
    "codes": (("02", "01"), "01", "01"),
}


@pytest.mark.parametrize("case", LABELS)
@pytest.mark.parametrize("estimator", ["linear_model.LogisticRegression", "ensemble.HistGradientBoostingClassifier"])
def test_it_decides_figures_probabilities_and_replies(
    estimator: str, case: str, store: Store, make_spec: MakeSpec, committed: Any, tmp_path: Path
) -> None:
    labels, said, positive = LABELS[case]
    trainer = {"trainer": {"type": "sklearn", "estimator": f"sklearn.{estimator}"}}
    spec = spec_of(make_spec, train=trainer, **({} if said is None else {"positive": said}))
    trained = train(spec, store, committed(spec, rows(labels)).id)
    _, training = load_training(spec, store, trained.candidate)
    assert (training.positive, set(training.classes)) == (positive, set(labels))

    held = split(spec, store, trained.dataset).frame("holdout")
    chance = load_candidate(spec, store, trained.candidate).answer(held)
    truth, _ = truth_of(training, held["label"])
    assert truth.tolist() == [int(label == positive) for label in held["label"]]
    judged = evaluate(spec, store, trained.candidate)
    assert judged.scores["average_precision"] == pytest.approx(average_precision_score(truth, chance))
    assert judged.scores["recall"] == pytest.approx(recall_score(truth, chance > 0.5))
    assert judged.scores["precision"] == pytest.approx(precision_score(truth, chance > 0.5, zero_division=0))

    explained = explain(spec, store, trained.candidate)
    made = package(
        spec, store, trained.candidate, judged.run, explained.run, keys=tmp_path / "keys", bentos=tmp_path / "bentos"
    )
    bundle = open_bundle(store, made.bundle)
    assert bundle.json("card.json")["positive"] == positive
    served = load_served(bundle, made.version, 1000, Policy())
    reply = asked(served, [{"x": 4.0, "y": 4.0}, {"x": -4.0, "y": -4.0}])
    assert reply["positive"] == positive
    assert reply["predictions"] == [labels[1], labels[0]]
    assert all((chance > 0.9) == (label == positive) for chance, label in zip(*both(reply), strict=True))


def both(reply: dict[str, Any]) -> tuple[list[float], list[Any]]:
    return reply["probabilities"], reply["predictions"]


def asked(served: LoadedVersion, rows: list[dict[str, float]]) -> dict[str, Any]:
    from slipstream.serving.models.traffic_split import TrafficSplit

    async def nothing() -> dict[str, Any]:
        return {}

    answered = answer(TrafficSplit(served), Native(), Request({}, {}, nothing, ""), json.dumps({"rows": rows}).encode())
    found: dict[str, Any] = json.loads(answered.body)
    return found
