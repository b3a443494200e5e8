"""Training: the same inputs give the same candidate, and what cannot be learnt from is named."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.dummy import DummyClassifier

from slipstream.bundle import skops_file
from slipstream.errors import DataError, SlipstreamError, SpecError
from slipstream.evaluation.candidate_answers import load_candidate
from slipstream.spec.estimators import CLASSIFIERS, ESTIMATORS
from slipstream.stages.train import train
from slipstream.store import Store
from slipstream.training.candidate import load_training
from slipstream.training.split import split
from tests.sweeps import one_of

SMALL = {
    "RandomForest": {"n_estimators": 5},
    "ExtraTrees": {"n_estimators": 5},
    "HistGradientBoosting": {"max_iter": 5},
}


class Prior:
    """A trainer that learns how often each label comes."""

    def fit(self, spec: Any, frame: Any, seed: int) -> Any:
        return DummyClassifier().fit(frame[list(spec.inputs)], frame[spec.target])


def _trainer(path: str, **parameters: Any) -> dict[str, Any]:
    return {"trainer": {"type": "sklearn", "estimator": path, "parameters": parameters}}


def _for(path: str) -> dict[str, Any]:
    """The keys of a model file for that estimator: a task that it does, and few trees."""
    name = path.rpartition(".")[2].removesuffix("Classifier").removesuffix("Regressor")
    task = (
        {"task": "binary"}
        if path in CLASSIFIERS
        else {"task": "regression", "target": "delay", "evaluate": {"metric": "rmse"}}
    )
    if name in {"PoissonRegressor", "GammaRegressor", "Poisson", "Gamma"}:
        task["target"] = "positive"
    return task | {"train": _trainer(path, **SMALL.get(name, {}))}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("path", one_of(6, ESTIMATORS))
def test_every_estimator_trains_answers_and_repeats(
    path: str, store: Store, make_spec: Any, make_rows: Any, committed: Any
) -> None:
    spec = make_spec(**_for(path))
    rows = make_rows(400, positive=np.random.default_rng(0).random(400) + 0.1)
    trained = train(spec, store, committed(spec, rows).id)
    candidate = load_candidate(spec, store, trained.candidate)
    held = split(spec, store, trained.dataset).frame("holdout")
    answers = candidate.answer(held)
    assert answers.shape == (trained.rows_holdout,)
    assert np.isfinite(answers).all()
    # A word never seen, a missing word and a missing number are answered too.
    odd = held.head(3).assign(carrier=["never", None, "A"], distance=[0.0, 1.0, np.nan])
    assert np.isfinite(candidate.answer(odd)).all()
    again = Store.open(store.url + "-again")
    other = train(spec, again, _copy(store, again, spec.name, trained.dataset))
    assert (other.run, other.model, other.details) == (trained.run, trained.model, trained.details)


def _copy(store: Store, other: Store, model: str, dataset: str) -> str:
    """The same dataset version in another store."""
    import shutil
    from pathlib import Path

    for part in ("objects", "tables"):
        shutil.copytree(Path(store.url.removeprefix("file://")) / part, Path(other.url.removeprefix("file://")) / part)
    event = store.ledger.state().model(model).datasets[dataset]
    other.ledger.append(event.kind, model, event.data, key=event.key)
    return dataset


def test_a_second_training_is_the_first(store: Store, make_spec: Any, make_rows: Any, committed: Any) -> None:
    spec = make_spec()
    dataset = committed(spec, make_rows()).id
    first = train(spec, store, dataset, actor="anna")
    second = train(spec, store, dataset)
    assert (first.reused, second.reused) == (False, True)
    assert first.run == first.candidate == second.run
    assert len(store.ledger.read(kind="run.finished")) == 1
    other = train(make_spec(train={**_trainer("sklearn.linear_model.LogisticRegression"), "seed": 8}), store, dataset)
    assert other.run != first.run


def test_the_log_says_what_is_fitted(
    store: Store, make_spec: Any, make_rows: Any, committed: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "slipstream")
    spec = make_spec()
    dataset = committed(spec, make_rows()).id
    rows = train(spec, store, dataset).rows_train
    own = make_spec(allow_code=True, train={"trainer": {"type": f"{__name__}:Prior"}})
    train(own, store, dataset)
    told = [line for line in caplog.messages if "fitting" in line]
    assert told == [
        f"small: fitting sklearn.linear_model.LogisticRegression on {rows} rows",
        f"small: fitting by the trainer {__name__}:Prior on {rows} rows",
    ]


def test_what_is_recorded(store: Store, make_spec: Any, make_rows: Any, committed: Any) -> None:
    spec = make_spec()
    late = pa.array([None, True, False, True, False] * 120)
    trained, training = load_training(
        spec, store, train(spec, store, committed(spec, make_rows(late=late)).id).candidate
    )
    assert (trained.rows_train, trained.rows_holdout, trained.rows_unlabelled) == (384, 96, 120)
    assert trained.cutoff == training.boundaries.cutoff
    assert training.inputs == (("distance", "DOUBLE"), ("hour", "BIGINT"), ("carrier", "VARCHAR"))
    assert (training.classes, training.positive) == ((False, True), True)
    assert training.seed == 7
    assert training.threads >= 1
    assert {"scikit-learn", "numpy", "skops"} <= set(training.libraries)


@pytest.mark.parametrize(
    ("values", "classes", "positive"),
    [
        ([True, False], (False, True), True),
        ([1, 0], (0, 1), 1),
        ([1.0, 0.0], (0, 1), 1),
        (["yes", "no"], ("no", "yes"), "yes"),
    ],
)
def test_the_positive_class(
    values: list[Any], classes: Any, positive: Any, store: Store, make_spec: Any, make_rows: Any, committed: Any
) -> None:
    spec = make_spec()
    trained = train(spec, store, committed(spec, make_rows(late=values * 300)).id)
    training = load_training(spec, store, trained.candidate)[1]
    assert training.classes == classes
    assert [type(label) for label in training.classes] == [type(label) for label in classes]
    assert training.positive == positive
    assert type(training.positive) is type(positive)


def test_preparation_fits_the_estimator(store: Store, make_spec: Any, make_rows: Any, committed: Any) -> None:
    parts = {}
    for path in ("sklearn.linear_model.LogisticRegression", "sklearn.ensemble.HistGradientBoostingClassifier"):
        spec = make_spec(**_for(path))
        trained = train(spec, store, committed(spec, make_rows()).id)
        pipeline = skops_file.load(store.objects.get(trained.model))
        parts[path] = {name: part for name, part, _ in pipeline.named_steps["prepare"].transformers_}
        assert pipeline.named_steps["model"].get_params()["random_state"] == 7
    linear, trees = parts.values()
    assert [type(step).__name__ for _, step in linear["numbers"].steps] == ["SimpleImputer", "StandardScaler"]
    assert type(linear["words"]).__name__ == "OneHotEncoder"
    assert type(trees["numbers"]).__name__ == "FunctionTransformer"
    assert type(trees["words"]).__name__ == "OrdinalEncoder"


@pytest.mark.parametrize("name", ["linear_model.LogisticRegression", "ensemble.HistGradientBoostingClassifier"])
def test_words_that_are_dates_become_their_parts(
    name: str, store: Store, make_spec: Any, make_rows: Any, committed: Any
) -> None:
    when = pa.array([None, *(f"2024-{1 + row % 12:02d}-03T{row % 24:02d}:15" for row in range(599))])
    almost = pa.array(["no date", *(f"2024-{1 + row % 12:02d}-03" for row in range(599))])
    spec = make_spec(inputs=["distance", "when", "almost"], train=_trainer(f"sklearn.{name}"))
    trained = train(spec, store, committed(spec, make_rows(when=when, almost=almost)).id)
    candidate = load_candidate(spec, store, trained.candidate)
    parts = {part: columns for part, _, columns in candidate.estimator.named_steps["prepare"].transformers_}
    assert parts["dates"] == ["when"]
    assert parts["words"] == ["almost"]
    odd = split(spec, store, trained.dataset).frame("holdout").head(3).assign(when=["2024-02-30", None, "soon"])
    assert np.isfinite(candidate.answer(odd)).all()


_OTHER_PROCESS = """
import sys
from pathlib import Path
from slipstream.spec.loader import load_spec
from slipstream.stages.train import train
from slipstream.store import Store
store = Store.open(sys.argv[1])
print(train(load_spec(Path(sys.argv[2])), store, sys.argv[3]).model)
"""


@pytest.mark.parametrize("name", one_of(2, ["HistGradientBoosting", "RandomForest"]))
def test_another_process_with_one_thread_makes_the_same_model(
    name: str, store: Store, make_spec: Any, make_rows: Any, committed: Any
) -> None:
    spec = make_spec(**_for(f"sklearn.ensemble.{name}Classifier"))
    trained = train(spec, store, committed(spec, make_rows()).id)
    again = Store.open(store.url + "-again")
    dataset = _copy(store, again, spec.name, trained.dataset)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "LOKY_MAX_CPU_COUNT": "1", "PYTHONHASHSEED": "1"}
    command = [sys.executable, "-c", _OTHER_PROCESS, again.url, str(spec.folder), dataset]
    made = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert made.stdout.strip() == trained.model


class TestBadInput:
    @pytest.mark.parametrize(
        ("spec", "columns", "code", "text"),
        [
            (
                {},
                {"late": [True] * 600},
                "data_target_unusable",
                "target 'late' has 1 class (True) in the training rows",
            ),
            ({}, {"late": ["a", "b", "c"] * 200}, "data_target_unusable", "holds 3 values (a, b, c); 'binary' needs"),
            (
                {},
                {"late": [0.5, 1.0] * 300},
                "data_target_unusable",
                "a classification needs booleans, whole numbers or words",
            ),
            ({"task": "regression", "target": "carrier"}, {}, "data_target_unusable", "a regression needs numbers"),
            ({"task": "regression"}, {}, "data_target_unusable", "a regression needs numbers"),
            (
                {"task": "regression", "target": "delay"},
                {"delay": [float("-inf")] * 600},
                "data_not_finite",
                "'delay' is infinite",
            ),
            (
                {},
                {"distance": pa.nulls(600, pa.float64())},
                "data_column_degenerate",
                "column 'distance' all null (480 training",
            ),
            ({"min": 481}, {}, "data_too_few_rows", "480 training rows, train.min_rows asks for 481"),
        ],
    )
    def test_data(
        self,
        spec: Any,
        columns: Any,
        code: str,
        text: str,
        store: Store,
        make_spec: Any,
        make_rows: Any,
        committed: Any,
    ) -> None:
        least = {"min_rows": spec.pop("min")} if "min" in spec else {}
        if spec.get("task") == "regression":
            inputs = {"inputs": ["distance", "hour"], "evaluate": {"metric": "rmse"}}
            spec |= inputs | {"train": _trainer("sklearn.linear_model.Ridge")}
        made = make_spec(**{"train": _trainer("sklearn.linear_model.LogisticRegression") | least} | spec)
        dataset = committed(made, make_rows(**columns))
        with pytest.raises(DataError) as caught:
            train(made, store, dataset.id)
        assert caught.value.code == code
        assert text in str(caught.value)
        assert not store.ledger.read(kind="run.finished")

    @pytest.mark.parametrize(
        ("parameters", "code", "text"),
        [
            ({"max_itr": 5}, "spec_parameter_unknown", "takes no 'max_itr'; did you mean 'max_iter'?"),
            ({"zzz": 5}, "spec_parameter_unknown", "it takes loss, learning_rate"),
            ({"random_state": 5}, "spec_parameter_unknown", "set train.seed instead."),
            ({"max_iter": "many"}, "spec_parameter_invalid", "expected a whole number of at least 1, got 'many'"),
            ({"monotonic_cst": {"nowhere": 1}}, "spec_parameter_invalid", "no input is called 'nowhere'"),
            ({"categorical_features": "from_nothing"}, "spec_parameter_invalid", "expected a list"),
        ],
    )
    def test_parameters(self, parameters: Any, code: str, text: str, make_spec: Any) -> None:
        with pytest.raises(SpecError) as caught:
            make_spec(train=_trainer("sklearn.ensemble.HistGradientBoostingClassifier", **parameters))
        assert caught.value.code == code
        assert text in str(caught.value)

    def test_an_unknown_candidate(self, store: Store, make_spec: Any) -> None:
        with pytest.raises(SlipstreamError, match=r"no finished run 'train-0'\. Newest: none") as caught:
            load_training(make_spec(), store, "train-0")
        assert caught.value.code == "run_not_found"
