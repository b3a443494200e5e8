"""The compiled scorer: every transformer and model that it knows answers as scikit-learn, and the rest is refused."""

from __future__ import annotations

import hashlib
import math
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn import ensemble, linear_model, tree
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import KernelPCA
from sklearn.feature_selection import SelectKBest
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.neighbors import RadiusNeighborsClassifier
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    RobustScaler,
    StandardScaler,
    TargetEncoder,
)

from slipstream.bundle import skops_file
from slipstream.bundle.sklearn_engine import SklearnEngine
from slipstream.compiler.compile import Compiled, compile_pipeline
from slipstream.compiler.dates import date_parts
from slipstream.compiler.engine import CompiledEngine
from slipstream.compiler.program import PLAN, TREES, NotCompiled
from slipstream.compiler.trees import sklearn as trees
from slipstream.errors import BundleError
from slipstream.model_schema import Field, Schema
from slipstream.packaging.parity.comparison import check
from slipstream.trainers.date_parts import DateParts
from tests.sweeps import one_of

NUMBERS, WORDS = ["a", "b", "c", "k"], ["w", "v"]


def frame(rows: int = 400, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    made = pd.DataFrame(
        {
            "a": rng.normal(size=rows) * 10,
            "b": rng.integers(0, 12, rows).astype(float),
            "c": rng.exponential(size=rows).round(1),
            "k": rng.integers(0, 70, rows).astype(float),
            "w": rng.choice(list("stuvxyz"), rows),
            "v": rng.choice([f"place {number}" for number in range(40)], rows),
            "day": [f"2024-{1 + number % 12:02d}-{1 + number % 28:02d}T{number % 24:02d}:30" for number in range(rows)],
        }
    )
    for name in made:
        gone = rng.random(rows) < 0.08
        made[name] = made[name].where(~gone, np.nan if name in NUMBERS else None)
    return made


def truth(inputs: pd.DataFrame, task: str) -> Any:
    rng = np.random.default_rng(1)
    signal = inputs.a.fillna(0) / 5 + inputs.w.isin(["s", "y"]) * 2 + np.sin(inputs.k.fillna(0))
    signal = (signal + rng.normal(size=len(inputs)) / 2).to_numpy()
    kinds = {
        "binary": signal > 0,
        "multiclass": np.array(["low", "mid", "top"])[np.digitize(signal, [-1, 1])],
        "regression": signal * 10,
        "positive": np.exp(signal / 2),
    }
    return kinds[task]


def ordinal() -> OrdinalEncoder:
    return OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=np.nan, encoded_missing_value=np.nan, min_frequency=3
    )


def one_hot(**options: Any) -> OneHotEncoder:
    return OneHotEncoder(**{"handle_unknown": "infrequent_if_exist", "sparse_output": False} | options)


def raw() -> ColumnTransformer:
    return ColumnTransformer([("n", "passthrough", NUMBERS), ("w", ordinal(), WORDS)])


def dense() -> ColumnTransformer:
    numbers = Pipeline([("fill", SimpleImputer(add_indicator=True)), ("scale", StandardScaler())])
    return ColumnTransformer([("n", numbers, NUMBERS), ("w", one_hot(max_categories=9), WORDS)])


def schema_of(pipeline: Any, inputs: pd.DataFrame, task: str) -> Schema:
    fields = tuple(
        Field(
            name,
            "number" if name in NUMBERS else "string",
            nullable=True,
            low=float(inputs[name].min()) if name in NUMBERS else None,
            high=float(inputs[name].max()) if name in NUMBERS else None,
        )
        for name in inputs
    )
    classes = tuple(pipeline.classes_.tolist()) if hasattr(pipeline, "classes_") else ()
    return Schema("regression" if task == "positive" else task, "y", fields, classes)


def columns_of(inputs: pd.DataFrame) -> dict[str, list[Any]]:
    return {name: [None if pd.isna(value) else value for value in inputs[name]] for name in inputs}


def fitted(prepare: Any, model: Any, task: str, rows: int = 400) -> tuple[Any, Schema, pd.DataFrame]:
    inputs = frame(rows)
    pipeline = Pipeline([("prepare", prepare), ("model", model)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipeline.fit(inputs, truth(inputs, task))
    return pipeline, schema_of(pipeline, inputs, task), inputs


def proved(prepare: Any, model: Any, task: str = "binary", rows: int = 400) -> Compiled:
    """Compile, and compare on unseen rows and odd ones, together and one by one."""
    pipeline, schema, _ = fitted(prepare, model, task, rows)
    compiled = compile_pipeline(pipeline, schema)
    assert compile_pipeline(pipeline, schema).files == compiled.files
    engine, held = CompiledEngine(compiled.files), columns_of(frame(200, seed=5))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = check(engine, SklearnEngine(schema, pipeline), schema, [held], compiled.edges)
        # The odd rows among them: null, unseen, at thresholds.
        assert found.rows > 230
        same = SklearnEngine(schema, pipeline).run(held)
        np.testing.assert_allclose(engine.run(held), same, rtol=engine.tolerance, atol=engine.tolerance)
        assert found.reason is None
        assert found.worst < 1e-6
    together = engine.run(held)
    for row in range(0, 200, 7):
        alone = engine.run({name: [values[row]] for name, values in held.items()})
        np.testing.assert_allclose(alone[0], together[row], rtol=1e-12, atol=1e-12)
    return compiled


SCALERS = {
    "standard": StandardScaler(),
    "standard without mean": StandardScaler(with_mean=False),
    "standard without deviation": StandardScaler(with_std=False),
    "robust": RobustScaler(),
    "robust without centre": RobustScaler(with_centering=False),
    "min-max": MinMaxScaler(feature_range=(-2, 3)),
    "min-max clipped": MinMaxScaler(clip=True),
    "max-abs": MaxAbsScaler(),
    "mean": SimpleImputer(),
    "median with indicator": SimpleImputer(strategy="median", add_indicator=True),
    "constant": SimpleImputer(strategy="constant", fill_value=-7.5),
    "indicator": MissingIndicator(error_on_new=False),
    "function": FunctionTransformer(),
    "union": FeatureUnion([("one", StandardScaler()), ("two", MissingIndicator(error_on_new=False))]),
    "chain": Pipeline([("one", MinMaxScaler()), ("two", SimpleImputer()), ("three", "passthrough")]),
    "numbers as categories": one_hot(),
    "numbers filled, then categories": Pipeline([("fill", SimpleImputer()), ("words", one_hot(drop="first"))]),
}


@pytest.mark.parametrize("name", one_of(3, SCALERS))
def test_numbers(name: str) -> None:
    prepare = ColumnTransformer([("n", SCALERS[name], NUMBERS)])
    proved(prepare, ensemble.HistGradientBoostingClassifier(max_iter=5))


ENCODERS = {
    "ordinal": ordinal(),
    "ordinal with a number for unknown": OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2
    ),
    "one-hot ignoring": one_hot(handle_unknown="ignore"),
    "one-hot infrequent": one_hot(min_frequency=0.05),
    "one-hot without the first": one_hot(drop="first", handle_unknown="ignore"),
    "target": TargetEncoder(random_state=0),
    "filled": Pipeline([("fill", SimpleImputer(missing_values=None, strategy="most_frequent")), ("code", one_hot())]),
    "scaled": Pipeline(
        [
            ("code", OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)),
            ("fill", SimpleImputer()),
            ("scale", MinMaxScaler()),
        ]
    ),
    "indicator": MissingIndicator(missing_values=None, error_on_new=False),
}


@pytest.mark.parametrize("name", ENCODERS)
def test_words(name: str) -> None:
    prepare = ColumnTransformer([("w", ENCODERS[name], WORDS), ("n", "passthrough", ["a"])])
    proved(prepare, ensemble.HistGradientBoostingClassifier(max_iter=5))


def test_a_target_encoder_of_several_classes() -> None:
    prepare = ColumnTransformer([("w", TargetEncoder(random_state=0), WORDS), ("n", SimpleImputer(), NUMBERS)])
    proved(prepare, linear_model.LogisticRegression(max_iter=2000), "multiclass")


def test_dates() -> None:
    prepare = ColumnTransformer([("d", DateParts(), ["day"]), ("n", "passthrough", ["a"])])
    compiled = proved(prepare, ensemble.HistGradientBoostingRegressor(max_iter=10), "regression")
    assert b'"dates":[{"name":"day"' in compiled.files[PLAN]


@pytest.mark.parametrize(
    ("word", "parts"),
    [
        ("2024-02-29", (2024, 2, 29, 3, 0, 0)),
        ("2024-02-29T23:59:58.123Z", (2024, 2, 29, 3, 23, 59)),
        ("2024-02-29 07:05+01:00", (2024, 2, 29, 3, 7, 5)),
        ("2023-02-29", None),
        ("2024-02-29T24:00", None),
        ("29.2.2024", None),
        ("2024-02-29 ", None),
        ("٢٠٢٤-02-29", None),
        ("", None),
        (None, None),
        (20240229, None),
    ],
)
def test_what_is_read_as_a_date(word: Any, parts: Any) -> None:
    if parts is None:
        assert all(map(math.isnan, date_parts(word)))
    else:
        assert date_parts(word) == parts


def test_date_parts_are_kept_by_skops() -> None:
    step = DateParts().fit(frame()[["day"]])
    again = skops_file.load(skops_file.dump(step))
    np.testing.assert_array_equal(again.transform(frame()[["day"]]), step.transform(frame()[["day"]]))
    assert list(again.get_feature_names_out())[:2] == ["day_year", "day_month"]


def test_columns_are_selected_dropped_and_reordered() -> None:
    prepare = ColumnTransformer([("x", "drop", ["a"]), ("w", ordinal(), ["v"])], remainder="drop")
    prepare.set_params(transformers=[*prepare.transformers, ("n", SimpleImputer(), ["k", "b"])])
    chain = Pipeline([("columns", prepare), ("fill", SimpleImputer()), ("best", SelectKBest(k=2))])
    proved(chain, tree.DecisionTreeClassifier(max_depth=4, random_state=0))


def test_weights_of_a_column_transformer() -> None:
    parts = [("n", SimpleImputer(), NUMBERS), ("w", one_hot(), WORDS)]
    prepare = ColumnTransformer(parts, transformer_weights={"w": 0.25})
    proved(prepare, linear_model.Ridge(), "regression")


SMALL = {"n_estimators": 8, "random_state": 0}
LIGHT = {"n_estimators": 8, "verbose": -1, "n_jobs": 1}


def models() -> Iterator[tuple[str, str, Callable[[], Any], Any]]:
    for task in ("binary", "multiclass", "regression"):
        kind = "Regressor" if task == "regression" else "Classifier"
        for library, name, options in (
            (tree, "DecisionTree", {"random_state": 0, "max_depth": 6}),
            (tree, "ExtraTree", {"random_state": 0}),
            (ensemble, "RandomForest", SMALL),
            (ensemble, "HistGradientBoosting", {"max_iter": 8}),
            (lightgbm, "LGBM", LIGHT),
            (xgboost, "XGB", {"n_estimators": 8, "n_jobs": 1, "base_score": 0.3}),
        ):
            model = getattr(library, name + kind)(**options)
            target = truth(frame(), task)
            if name == "XGB" and task == "multiclass":
                continue  # takes numbers for classes: below
            assert len(target) == 400
            yield f"{name} {task}", task, raw, model
        yield f"ExtraTrees {task}", task, raw, getattr(ensemble, "ExtraTrees" + kind)(**SMALL)
        yield f"GradientBoosting {task}", task, dense, getattr(ensemble, "GradientBoosting" + kind)(**SMALL)
    gradient = ensemble.GradientBoostingClassifier
    yield "GradientBoosting exponential", "binary", dense, gradient(loss="exponential", **SMALL)
    yield "GradientBoosting from zero", "binary", dense, gradient(init="zero", **SMALL)
    yield "GradientBoosting huber", "regression", dense, ensemble.GradientBoostingRegressor(loss="huber", **SMALL)
    for loss in ("absolute_error", "poisson", "gamma"):
        yield f"Hist {loss}", "positive", raw, ensemble.HistGradientBoostingRegressor(loss=loss, max_iter=8)
    quantile = ensemble.HistGradientBoostingRegressor(loss="quantile", quantile=0.3, max_iter=8)
    yield "Hist quantile", "regression", raw, quantile
    yield (
        "Hist categories",
        "binary",
        raw,
        ensemble.HistGradientBoostingClassifier(max_iter=20, categorical_features=[3, 4, 5]),
    )
    yield "Hist single leaves", "binary", raw, ensemble.HistGradientBoostingClassifier(max_iter=2, min_samples_leaf=400)
    yield (
        "LGBM forest",
        "binary",
        raw,
        lightgbm.LGBMClassifier(boosting_type="rf", bagging_freq=1, bagging_fraction=0.5, **LIGHT),
    )
    yield "LGBM poisson", "positive", raw, lightgbm.LGBMRegressor(objective="poisson", **LIGHT)
    yield "XGB gamma", "positive", raw, xgboost.XGBRegressor(objective="reg:gamma", n_estimators=8, n_jobs=1)
    yield "Logistic", "binary", dense, linear_model.LogisticRegression(max_iter=2000)
    yield "Logistic of three", "multiclass", dense, linear_model.LogisticRegression(max_iter=2000)
    for name in ("LinearRegression", "Ridge", "Lasso", "ElasticNet", "HuberRegressor"):
        yield name, "regression", dense, getattr(linear_model, name)()
    for name in ("PoissonRegressor", "GammaRegressor"):
        yield name, "positive", dense, getattr(linear_model, name)()


MODELS = {name: rest for name, *rest in models()}


@pytest.mark.parametrize("name", one_of(4, MODELS))
def test_models(name: str) -> None:
    task, prepare, model = MODELS[name]
    compiled = proved(prepare(), model, task)
    linear = type(model).__module__.startswith("sklearn.linear_model")
    assert set(compiled.files) == ({PLAN} if linear else {PLAN, TREES})
    assert (b"membership_values" in compiled.files.get(TREES, b"")) == (name == "Hist categories")


def test_categories_of_lightgbm() -> None:
    inputs = frame()
    options = {"min_child_samples": 2, "min_data_per_group": 3, "cat_smooth": 1, "max_cat_to_onehot": 1}
    pipeline = Pipeline([("prepare", raw()), ("model", lightgbm.LGBMClassifier(**options, **LIGHT))])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipeline.fit(inputs, truth(inputs, "binary"), model__categorical_feature=[3, 4])
    schema = schema_of(pipeline, inputs, "binary")
    compiled = compile_pipeline(pipeline, schema)
    assert b"membership_values" in compiled.files[TREES]
    held = columns_of(frame(300, seed=5))
    held["k"][:6] = [3.7, -1.0, -0.5, 1000.0, 69.0, None]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = check(CompiledEngine(compiled.files), SklearnEngine(schema, pipeline), schema, [held], compiled.edges)
    assert found.passed, found


def test_lightgbm_takes_the_smallest_numbers_for_zero_and_1e300_for_no_bound() -> None:
    values = np.array([-1.0, 0.0, 1.0, np.nan] * 100)
    pipeline = Pipeline([("prepare", ColumnTransformer([("n", "passthrough", ["a"])])),
                         ("model", lightgbm.LGBMRegressor(min_child_samples=5, **LIGHT))])  # fmt: skip
    pipeline.fit(pd.DataFrame({"a": values}), np.nan_to_num(values, nan=7.0))
    schema = Schema("regression", "y", (Field("a", "number", True),))
    engine = CompiledEngine(compile_pipeline(pipeline, schema).files)
    tiny = float(np.float32(1e-35))
    odd = [sign * value for value in (0.0, tiny, tiny / 2, tiny * 2, 1e300, 1.1e300) for sign in (1, -1)]
    np.testing.assert_allclose(
        engine.run({"a": odd}), SklearnEngine(schema, pipeline).run({"a": odd}), rtol=1e-12, atol=1e-12
    )


def test_categories_of_xgboost_come_from_an_encoder() -> None:
    inputs = frame()
    options = {"n_estimators": 5, "n_jobs": 1, "enable_categorical": True, "max_cat_to_onehot": 1}
    model = xgboost.XGBClassifier(feature_types=["q", "c"], **options)
    for words, refused in ((["w"], ""), (["b"], "come from no encoder")):
        encoder = ordinal() if words == ["w"] else "passthrough"
        prepare = ColumnTransformer([("n", "passthrough", ["a"]), ("c", encoder, words)])
        pipeline = Pipeline([("prepare", prepare), ("model", model)]).fit(inputs, truth(inputs, "binary"))
        schema = schema_of(pipeline, inputs, "binary")
        if refused:
            with pytest.raises(NotCompiled, match=refused):
                compile_pipeline(pipeline, schema)
            continue
        compiled = compile_pipeline(pipeline, schema)
        assert b"membership_values" in compiled.files[TREES]
        held = [columns_of(frame(200, seed=5))]
        engine = CompiledEngine(compiled.files)
        assert check(engine, SklearnEngine(schema, pipeline), schema, held, compiled.edges).passed


def test_xgboost_of_several_classes_and_stopped_early() -> None:
    inputs = frame()
    target = np.digitize(inputs.a.fillna(0), [-5, 5])
    prepare = raw().fit(inputs)
    model = xgboost.XGBClassifier(n_estimators=30, n_jobs=1, early_stopping_rounds=2)
    held = frame(200, seed=9)
    labels = np.digitize(held.a.fillna(0), [-5, 5])
    model.fit(prepare.transform(inputs), target, eval_set=[(prepare.transform(held), labels)], verbose=False)
    assert model.best_iteration < 29
    pipeline = Pipeline([("prepare", prepare), ("model", model)])
    schema = schema_of(model, inputs, "multiclass")
    compiled = compile_pipeline(pipeline, schema)
    engine = CompiledEngine(compiled.files)
    assert check(engine, SklearnEngine(schema, pipeline), schema, [columns_of(held)], compiled.edges).passed


def test_a_null_is_the_same_in_one_row_and_in_many() -> None:
    pipeline, schema, _ = fitted(
        ColumnTransformer([("k", one_hot(), ["k"])]), linear_model.LogisticRegression(), "binary"
    )
    engine = CompiledEngine(compile_pipeline(pipeline, schema).files)
    nulls = {name: [None] * 40 for name in schema.names}
    as_arrays = {name: np.full(40, np.nan) if name in NUMBERS else [None] * 40 for name in schema.names}
    alone = engine.run({name: [None] for name in schema.names})
    for columns in (nulls, as_arrays):
        np.testing.assert_allclose(engine.run(columns), np.repeat(alone, 40, axis=0), atol=1e-12)


def test_whole_numbers_and_booleans_are_numbers() -> None:
    inputs = pd.DataFrame({"flag": [0.0, 1.0, np.nan] * 40, "count": np.arange(120.0)})
    pipeline = Pipeline([("prepare", ColumnTransformer([("one", one_hot(), ["flag"])], remainder="passthrough")),
                         ("model", ensemble.HistGradientBoostingRegressor(max_iter=5))])  # fmt: skip
    pipeline.fit(inputs, inputs["count"])
    schema = Schema("regression", "y", (Field("flag", "boolean", True), Field("count", "integer", False)))
    engine = CompiledEngine(compile_pipeline(pipeline, schema).files)
    columns = {"flag": [True, False, None], "count": [3, 2**53 + 1, 60]}
    np.testing.assert_allclose(engine.run(columns), SklearnEngine(schema, pipeline).run(columns), rtol=1e-12)


OLD_LINE = (
    b'{"dates":[],"format":1,"head":{"base":[2.0],"divide":1.0,"gain":1.0,"link":"none","single":false,'
    b'"tolerance":1e-09,"weights":[[0.5,0.25,-1.0]]},"numbers":[{"name":"a"}],"steps":[{"at":[0],"by":[1.5],'
    b'"kind":"sub","to":[0.0]},{"at":[0],"by":[2.0],"kind":"div","to":[0.0]}],"tables":[{"keys":["x","y"],'
    b'"missing":[0.0,0.0],"name":"w","rows":[[1.0,0.0],[0.0,1.0]],"unknown":[0.0,0.0]}]}'
)
OLD_TREE = {PLAN: "1111ec9352d9c2d6", TREES: "3f3161e501141a84"}


def _double(values: Any) -> Any:
    return values * 2


REFUSED: dict[str, tuple[Any, Any, str]] = {
    "neighbours": (dense, RadiusNeighborsClassifier(radius=50), "RadiusNeighborsClassifier is no model"),
    "a first answer of its own": (
        dense,
        ensemble.GradientBoostingClassifier(init=linear_model.LogisticRegression(max_iter=2000), n_estimators=2),
        "another estimator",
    ),
    "components": (
        lambda: Pipeline([("d", dense()), ("p", KernelPCA(3))]),
        tree.DecisionTreeClassifier(),
        "KernelPCA is no",
    ),
    "a function": (
        lambda: Pipeline([("d", dense()), ("f", FunctionTransformer(_double))]),
        tree.DecisionTreeClassifier(),
        "a function of its own",
    ),
    "unknown words refused": (
        lambda: ColumnTransformer([("w", OrdinalEncoder(), WORDS)]),
        tree.DecisionTreeClassifier(),
        "refuses values",
    ),
    "scaled, then encoded": (
        lambda: ColumnTransformer([("n", Pipeline([("s", MaxAbsScaler()), ("o", one_hot())]), ["b"])]),
        tree.DecisionTreeClassifier(),
        "before it is encoded",
    ),
    "a number for missing": (
        lambda: ColumnTransformer([("f", make_pipeline(SimpleImputer(), SimpleImputer(missing_values=-1.0)), ["b"])]),
        tree.DecisionTreeClassifier(),
        "takes -1.0 for missing, not NaN",
    ),
    "dart": (raw, xgboost.XGBClassifier(booster="dart", n_estimators=3, n_jobs=1), "booster dart"),
    "hinge": (raw, xgboost.XGBClassifier(objective="binary:hinge", n_estimators=3, n_jobs=1), "binary:hinge"),
    "zero for missing": (raw, lightgbm.LGBMClassifier(zero_as_missing=True, **LIGHT), "zero_as_missing"),
    "sparse for xgboost": (
        lambda: ColumnTransformer([("v", OneHotEncoder(handle_unknown="ignore"), ["v"])]),
        xgboost.XGBClassifier(n_estimators=3, n_jobs=1),
        "sparse",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_says_why(name: str) -> None:
    prepare, model, reason = REFUSED[name]
    pipeline, schema, _ = fitted(prepare(), model, "binary")
    with pytest.raises(NotCompiled, match=reason):
        compile_pipeline(pipeline, schema)


def test_too_many_nodes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trees, "MAX_NODES", 100)
    for model in (ensemble.RandomForestClassifier(**SMALL), ensemble.HistGradientBoostingClassifier()):
        pipeline, schema, _ = fitted(raw(), model, "binary")
        with pytest.raises(NotCompiled, match="at most 100 are compiled"):
            compile_pipeline(pipeline, schema)


def test_what_compiled_before_has_the_same_bytes() -> None:
    """Ids of equal runs stay equal: a linear model and a tree, written down by hand, give what release 0.1 gave."""
    inputs = pd.DataFrame({"a": [0.0, 1.0, 2.0, 3.0], "w": ["x", "y", "x", "y"]})
    schema = Schema("regression", "t", (Field("a", "number", True), Field("w", "string", True)))
    prepare = ColumnTransformer([("n", StandardScaler(), ["a"]), ("w", one_hot(handle_unknown="ignore"), ["w"])])
    line = make_pipeline(prepare, linear_model.Ridge()).fit(inputs, [0.0, 0.0, 1.0, 1.0])
    line[-1].coef_, line[-1].intercept_ = np.array([0.5, 0.25, -1.0]), 2.0
    line[0].named_transformers_["n"].mean_[:], line[0].named_transformers_["n"].scale_[:] = 1.5, 2.0
    assert compile_pipeline(line, schema).files == {PLAN: OLD_LINE}
    split = make_pipeline(prepare, tree.DecisionTreeRegressor()).fit(inputs, [0.0, 0.0, 1.0, 1.0])
    split[0].named_transformers_["n"].scale_[:] = 2.0
    files = compile_pipeline(split, schema).files
    digests = {name: hashlib.sha256(data).hexdigest()[:16] for name, data in files.items()}
    assert digests == OLD_TREE


def test_damaged_files_are_a_named_error() -> None:
    pipeline, schema, _ = fitted(raw(), tree.DecisionTreeClassifier(), "binary")
    files = dict(compile_pipeline(pipeline, schema).files)
    plan = files[PLAN]
    for changed in (
        {PLAN: b"{}"},
        {PLAN: plan.replace(b'"format":1', b'"format":2')},
        {PLAN: plan.replace(b'"format":1', b'"format":3')},
        {TREES: b"no model"},
        {TREES: files[TREES][:100]},
    ):
        with pytest.raises(BundleError) as caught:
            CompiledEngine(files | changed)
        assert caught.value.code == "scorer_invalid"
    with pytest.raises(BundleError, match="missing"):
        CompiledEngine({PLAN: plan})


ALONE = """
import json, pathlib, sys
from slipstream.bundle.bundle import read_bundle
from slipstream.bundle.scorer import load_scorer
scorer = load_scorer(read_bundle(pathlib.Path(sys.argv[1])))
assert scorer.engine_name == "compiled"
assert scorer.check_golden() > 0
heavy = ("sklearn", "pandas", "scipy", "skops", "pyarrow", "onnx", "deltalake", "duckdb", "boto3", "joblib")
print(json.dumps([name for name in heavy if name in sys.modules]))
"""


@pytest.mark.parametrize("estimator", ["ensemble.HistGradientBoostingClassifier", "ensemble.AdaBoostClassifier"])
def test_a_compiled_bundle_needs_no_heavy_library(
    estimator: str, store: Any, make_spec: Any, release: Any, tmp_path: Path
) -> None:
    from slipstream.bundle.bundle import open_bundle

    trainer = {"type": "sklearn", "estimator": f"sklearn.{estimator}"}
    open_bundle(store, release(make_spec(train={"trainer": trainer})).bundle).write(tmp_path / "folder")
    command = [sys.executable, "-c", ALONE, str(tmp_path / "folder")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stderr[-2000:]


def numeric() -> st.SearchStrategy[Any]:
    scalers = st.sampled_from([StandardScaler(), RobustScaler(), MinMaxScaler(clip=True), MaxAbsScaler()])
    imputers = st.builds(
        SimpleImputer, strategy=st.sampled_from(["mean", "median", "most_frequent"]), add_indicator=st.booleans()
    )
    fill_scale = st.builds(lambda one, two: Pipeline([("i", one), ("s", two)]), imputers, scalers)
    scale_fill = st.builds(lambda one, two: Pipeline([("s", one), ("i", two)]), scalers, imputers)
    return st.one_of(imputers, fill_scale, scale_fill)


def wordy() -> st.SearchStrategy[Any]:
    hot = st.builds(
        one_hot,
        handle_unknown=st.sampled_from(["ignore", "infrequent_if_exist"]),
        min_frequency=st.sampled_from([None, 2, 5]),
    )
    codes = st.just(OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2))
    return st.one_of(hot, codes, st.just(TargetEncoder(random_state=0)))


MODEL = st.sampled_from(
    [
        ("binary", ensemble.HistGradientBoostingClassifier(max_iter=4, min_samples_leaf=3)),
        ("multiclass", ensemble.RandomForestClassifier(n_estimators=4, random_state=0)),
        ("regression", ensemble.GradientBoostingRegressor(n_estimators=4)),
        ("binary", linear_model.LogisticRegression(max_iter=5000)),
        ("regression", linear_model.Ridge()),
        ("binary", lightgbm.LGBMClassifier(min_child_samples=3, **LIGHT)),
    ]
)


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    numbers=numeric(),
    words=wordy(),
    model=MODEL,
    seed=st.integers(0, 10**6),
    split=st.integers(0, 4),
    rows=st.integers(60, 150),
)  # fmt: skip
def test_any_pipeline_answers_as_itself(numbers: Any, words: Any, model: Any, seed: int, split: int, rows: int) -> None:
    task, estimator = model
    parts = [("n", numbers, NUMBERS[split:]), ("w", words, WORDS), ("fill", SimpleImputer(), NUMBERS[:split])]
    prepare = ColumnTransformer([part for part in parts if part[2]])
    inputs = frame(rows, seed)
    pipeline = Pipeline([("prepare", prepare), ("model", estimator)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipeline.fit(inputs, truth(inputs, task))
        schema = schema_of(pipeline, inputs, task)
        compiled = compile_pipeline(pipeline, schema)
        engine, held = CompiledEngine(compiled.files), columns_of(frame(80, seed + 1))
        found = check(engine, SklearnEngine(schema, pipeline), schema, [held], compiled.edges)
    assert found.passed, found
