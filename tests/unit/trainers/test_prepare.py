"""`prepare`: columns go through steps by name, inside the pipeline, and what is wrong with a step is told by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.utils.validation import check_is_fitted

from slipstream.bundle import skops_file
from slipstream.compiler.compile import compile_pipeline
from slipstream.compiler.engine import CompiledEngine
from slipstream.compiler.program import NotCompiled
from slipstream.errors import SpecError
from slipstream.model_schema import Field, Schema
from slipstream.spec.model import ModelSpec
from slipstream.spec.prepare import STEPS
from slipstream.trainers.sklearn import SklearnTrainer

Build = Callable[..., ModelSpec]
LOGISTIC = "sklearn.linear_model.LogisticRegression"
INPUTS = ["age", "fare", "city", "remark", "since"]


def frame(rows: int = 200) -> pd.DataFrame:
    """Two numbers, a word, a text and a date; numbers and words have missing values."""
    random = np.random.default_rng(3)
    age, fare = random.normal(40, 10, rows), random.exponential(30, rows)
    table = pd.DataFrame(
        {
            "age": np.where(random.random(rows) < 0.1, np.nan, age),
            "fare": fare,
            "city": pd.Series(random.choice(["Ulm", "Rom", "Oslo", None], rows), dtype=object),
            "remark": pd.Series(random.choice(["late and cold", "on time", "very late", None], rows), dtype=object),
            "since": [
                f"202{number % 5}-0{1 + number % 9}-{11 + number % 7}T1{number % 8}:3{number % 6}:00"
                for number in range(rows)
            ],
        }
    )
    return table.assign(late=(fare + random.normal(0, 10, rows) > 30).astype(np.int64))


def trained(make_spec: Build, steps: list[dict[str, Any]], inputs: list[str] = INPUTS, **changes: Any) -> Any:
    trainer = {"type": "sklearn", "estimator": LOGISTIC, "parameters": {"max_iter": 2000}, "prepare": steps, **changes}
    spec = make_spec(inputs=inputs, train={"trainer": trainer})
    arguments = {key: value for key, value in trainer.items() if key != "type"}
    return SklearnTrainer(**arguments).fit(spec, frame(), 7)


ALL = [
    {"step": "impute", "columns": "numbers", "strategy": "mean", "add_indicator": True},
    {"step": "impute", "columns": ["city"]},
    {"step": "scale", "columns": ["fare"]},
    {"step": "target", "columns": ["city"]},
    {"step": "tf_idf", "columns": "remark", "ngram_range": [1, 2]},
    {"step": "date_parts", "columns": "dates"},
    {"step": "select_k_best", "k": 8},
]


def test_columns_go_through_the_steps_that_name_them(make_spec: Build) -> None:
    pipeline = trained(make_spec, ALL)
    branches = {tuple(names): [name for name, _ in part.steps] for _, part, names in pipeline[0].transformers_}
    assert branches == {
        ("fare",): ["impute_0", "scale_2"],
        ("age",): ["impute_0"],
        ("city",): ["impute_1", "target_3"],
        ("remark",): ["tf_idf_4"],
        ("since",): ["date_parts_5"],
    }
    assert [name for name, _ in pipeline.steps] == ["prepare", "select_k_best_6", "model"]
    assert pipeline[-1].coef_.shape == (1, 8)


def test_what_no_step_names_is_prepared_as_ever(make_spec: Build) -> None:
    pipeline = trained(make_spec, [{"step": "scale", "columns": ["fare"]}])
    assert [(name, columns) for name, _, columns in pipeline[0].transformers_] == [
        ("steps_0", ["fare"]),
        ("numbers", ["age"]),
        ("words", ["city", "remark"]),
        ("dates", ["since"]),
    ]


def test_rows_are_answered_whatever_is_missing(make_spec: Build) -> None:
    pipeline = trained(make_spec, ALL)
    odd = frame(3).assign(age=np.nan, city=[None, "never", "Ulm"], remark=[None, "", "unheard of"]).drop(columns="late")
    answers = pipeline.predict_proba(odd)
    assert np.isfinite(answers).all()
    again = skops_file.load(skops_file.dump(pipeline))
    assert np.array_equal(again.predict_proba(odd), answers)
    assert skops_file.dump(trained(make_spec, ALL)) == skops_file.dump(pipeline)


@pytest.mark.parametrize("step", [name for name in STEPS if name not in ("tf_idf", "hashing", "date_parts")])
def test_every_step_on_numbers(make_spec: Build, step: str) -> None:
    chosen = [{"step": "impute", "columns": "numbers"}, {"step": step, "columns": ["age", "fare"]}]
    if step == "select_k_best":
        chosen[1]["k"] = 1
    pipeline = trained(make_spec, chosen, ["age", "fare"])
    check_is_fitted(pipeline)
    skops_file.load(skops_file.dump(pipeline))


@pytest.mark.parametrize("step", ["tf_idf", "hashing", "one_hot", "ordinal", "target", "impute"])
def test_every_step_on_words(make_spec: Build, step: str) -> None:
    chosen: list[dict[str, Any]] = [{"step": step, "columns": ["city", "remark"]}]
    chosen += [{"step": "one_hot", "columns": ["city", "remark"]}] if step == "impute" else []
    pipeline = trained(make_spec, chosen, ["city", "remark"])
    skops_file.load(skops_file.dump(pipeline))


def test_steps_learn_from_training_rows_alone(make_spec: Build) -> None:
    """The mean that `target` learns for a city is that of the frame it was fitted on, by scikit-learn's own folds."""
    pipeline = trained(make_spec, [{"step": "target", "columns": ["city"]}], ["city"])
    encoder = pipeline[0].transformers_[0][1][0]
    assert encoder.target_mean_ == pytest.approx(frame().late.mean())


def test_every_step_compiles_but_hashing(make_spec: Build) -> None:
    """The endpoint needs no scikit-learn for what `prepare` says."""
    inputs = {name: "number" if name in ("age", "fare") else "string" for name in INPUTS}
    schema = Schema("binary", "late", tuple(Field(n, k, nullable=True) for n, k in inputs.items()), (False, True), True)
    for steps in (ALL, *([{"step": name, "columns": ["city", "remark"]}] for name in ("one_hot", "ordinal", "target"))):
        pipeline = trained(make_spec, steps)
        odd = frame(40).assign(city=["never", None, "Ulm", "Rom"] * 10, remark=[None, "", "so late", "on time"] * 10)
        asked_for = {name: [None if pd.isna(value) else value for value in odd[name]] for name in INPUTS}
        answers = CompiledEngine(compile_pipeline(pipeline, schema).files).run(asked_for)
        np.testing.assert_allclose(answers, pipeline.predict_proba(odd[INPUTS]), atol=1e-9)
    with pytest.raises(NotCompiled, match="HashingVectorizer is no vectorizer that is compiled"):
        compile_pipeline(trained(make_spec, [{"step": "hashing", "columns": ["remark"]}]), schema)


WRONG_FILES: dict[str, tuple[list[Any], str]] = {
    "unknown step": ([{"step": "scales", "columns": ["age"]}], "no step is called 'scales'; did you mean 'scale'?"),
    "unknown input": ([{"step": "scale", "columns": ["aeg"]}], "no input is called 'aeg'; did you mean 'age'?"),
    "unknown argument": ([{"step": "impute", "columns": ["age"], "strategi": "mean"}], "did you mean 'strategy'?"),
    "wrong argument": ([{"step": "spline", "columns": ["age"], "n_knots": 1}], "a whole number of at least 2, got 1"),
    "no step": (["impute"], "expected a step such as {step: impute, columns: [age]}, got 'impute'"),
    "no columns": ([{"step": "scale", "columns": 7}], "expected inputs such as [age, fare], or one of numbers, words"),
}


@pytest.mark.parametrize("case", WRONG_FILES)
def test_a_wrong_step_is_told_when_the_file_is_read(make_spec: Build, case: str) -> None:
    steps, text = WRONG_FILES[case]
    with pytest.raises(SpecError) as caught:
        make_spec(inputs=INPUTS, train={"trainer": {"type": "sklearn", "estimator": LOGISTIC, "prepare": steps}})
    assert text in str(caught.value)


WRONG_WAYS: dict[str, tuple[list[dict[str, Any]], str]] = {
    "words to scale": (
        [{"step": "scale", "columns": ["city"]}],
        "prepare[0] (scale): takes numbers, but city holds wor",
    ),
    "numbers as text": ([{"step": "tf_idf", "columns": ["age"]}], "takes texts, but age holds numbers; take it out"),
    "no dates": ([{"step": "date_parts", "columns": ["city"]}], "takes dates, but city holds words"),
    "apart": (
        [{"step": "scale", "columns": ["age"]}, {"step": "pca", "columns": ["age", "fare"]}],
        "prepare[1] (pca): its columns went through other steps before (age and fare); give them the same steps",
    ),
    "half of a step": (
        [{"step": "pca", "columns": ["age", "fare"]}, {"step": "scale", "columns": ["age"]}],
        "age, fare went through a step together; name fare too",
    ),
    "too late": (
        [{"step": "pca"}, {"step": "scale", "columns": ["age"]}],
        "names columns behind a step over all that is prepared; move it up",
    ),
}


@pytest.mark.parametrize("case", WRONG_WAYS)
def test_a_step_that_does_not_fit_the_data_is_told(make_spec: Build, case: str) -> None:
    steps, text = WRONG_WAYS[case]
    with pytest.raises(SpecError) as caught:
        trained(make_spec, steps)
    assert text in str(caught.value)
