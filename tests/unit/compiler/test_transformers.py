"""Every transformer that becomes layers answers as scikit-learn, on held-out rows and on odd ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.special import ndtri
from sklearn import (
    decomposition,
    discriminant_analysis,
    ensemble,
    feature_selection,
    kernel_approximation,
    linear_model,
    preprocessing,
    random_projection,
)
from sklearn.compose import ColumnTransformer
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline

from slipstream.compiler.compile import compile_pipeline
from slipstream.compiler.layers.normal import quantile
from slipstream.compiler.program import PLAN, NotCompiled
from tests.unit.compiler.test_compile import NUMBERS, WORDS, dense, fitted, one_hot, proved

TRANSFORMERS: dict[str, Any] = {
    "PCA": decomposition.PCA(4),
    "PCA whitened": decomposition.PCA(3, whiten=True),
    "incremental PCA": decomposition.IncrementalPCA(3),
    "truncated": decomposition.TruncatedSVD(3, random_state=0),
    "independent": decomposition.FastICA(3, random_state=0, max_iter=1000, tol=0.01),
    "factors": decomposition.FactorAnalysis(2, random_state=0),
    "discriminant": discriminant_analysis.LinearDiscriminantAnalysis(),
    "random projection": random_projection.GaussianRandomProjection(3, random_state=0),
    "sparse projection": random_projection.SparseRandomProjection(3, random_state=0),
    "waves": kernel_approximation.RBFSampler(gamma=0.1, n_components=20, random_state=0),
    "nystroem": kernel_approximation.Nystroem(gamma=0.1, n_components=10, random_state=0),
    "polynomials": preprocessing.PolynomialFeatures(2),
    "interactions": preprocessing.PolynomialFeatures(3, interaction_only=True, include_bias=False),
    "quantiles": preprocessing.QuantileTransformer(n_quantiles=40),
    "normal quantiles": preprocessing.QuantileTransformer(n_quantiles=200, output_distribution="normal"),
    "power": preprocessing.PowerTransformer(),
    "power only": preprocessing.PowerTransformer(standardize=False),
    "splines": preprocessing.SplineTransformer(),
    "splines of quantiles": preprocessing.SplineTransformer(4, degree=2, knots="quantile", include_bias=False),
    "splines in lines": preprocessing.SplineTransformer(extrapolation="linear"),
    "bins": preprocessing.KBinsDiscretizer(4, encode="ordinal", quantile_method="linear"),
    "bins marked": preprocessing.KBinsDiscretizer(5, strategy="uniform"),
    "marks": preprocessing.Binarizer(threshold=0.2),
    **{f"norm {norm}": preprocessing.Normalizer(norm) for norm in ("l1", "l2", "max")},
    "cube root": preprocessing.FunctionTransformer(np.cbrt),
    "best": feature_selection.SelectKBest(k=3),
    "components and best": FeatureUnion(
        [("components", decomposition.PCA(2)), ("best", feature_selection.SelectKBest(k=2))],
        transformer_weights={"components": 0.5},
    ),
    "chain": make_pipeline(
        decomposition.PCA(4), preprocessing.StandardScaler(), preprocessing.PolynomialFeatures(2),
        feature_selection.VarianceThreshold(),
    ),
}  # fmt: skip


def beside_words(step: Any) -> ColumnTransformer:
    numbers = Pipeline([("fill", SimpleImputer()), ("scale", preprocessing.StandardScaler()), ("step", step)])
    return ColumnTransformer([("w", one_hot(), WORDS), ("n", numbers, NUMBERS)])


@pytest.mark.parametrize("name", TRANSFORMERS)
@pytest.mark.filterwarnings("ignore")
def test_transformers(name: str) -> None:
    step = TRANSFORMERS[name]
    compiled = proved(beside_words(step), linear_model.LogisticRegression(max_iter=3000), "binary")
    assert (b'"format":2' in compiled.files[PLAN]) == (name != "best")


@pytest.mark.parametrize("name", ["quantiles", "bins", "splines", "power"])
@pytest.mark.filterwarnings("ignore")
def test_transformers_before_trees(name: str) -> None:
    proved(beside_words(TRANSFORMERS[name]), ensemble.RandomForestRegressor(5, random_state=0), "regression")


def test_trees_behind_a_logarithm_pass_missing_values_on() -> None:
    root = preprocessing.FunctionTransformer(np.cbrt)
    prepare = ColumnTransformer([("root", root, ["a", "c"]), ("n", "passthrough", ["b"])])
    proved(prepare, ensemble.HistGradientBoostingClassifier(max_iter=5))


def test_of_words_too() -> None:
    words = Pipeline([("marks", one_hot()), ("fewer", decomposition.TruncatedSVD(4, random_state=0))])
    prepare = ColumnTransformer([("n", SimpleImputer(), NUMBERS), ("w", words, WORDS)])
    proved(prepare, linear_model.LogisticRegression(max_iter=3000), "multiclass")


def test_positive_numbers_by_box_and_cox() -> None:
    above = preprocessing.FunctionTransformer(np.exp)
    chain = [("fill", SimpleImputer()), ("scale", preprocessing.MinMaxScaler(clip=True)), ("above", above),
             ("power", preprocessing.PowerTransformer("box-cox"))]  # fmt: skip
    proved(ColumnTransformer([("n", Pipeline(chain), NUMBERS)]), linear_model.Ridge(), "regression")


def test_the_normal_quantile_is_that_of_scipy() -> None:
    shares = np.concatenate((np.logspace(-9, -0.31, 2000), 1 - np.logspace(-9, -0.31, 2000), [0.5]))
    np.testing.assert_allclose(quantile(shares), ndtri(shares), rtol=1e-13, atol=1e-15)


REFUSED: dict[str, tuple[Any, str]] = {
    "neighbours": (KNNImputer(), "KNNImputer is no transformer"),
    "a function": (preprocessing.FunctionTransformer(lambda values: values * 2), "function of its own"),
    "arguments": (preprocessing.FunctionTransformer(np.log1p, kw_args={"where": True}), "function of its own"),
    "periodic": (preprocessing.SplineTransformer(extrapolation="periodic"), "extrapolation 'periodic'"),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.filterwarnings("ignore")
def test_what_is_refused_says_why(name: str) -> None:
    step, reason = REFUSED[name]
    chain = Pipeline([("d", dense()), ("step", preprocessing.FunctionTransformer(np.abs)), ("last", step)])
    made, schema, _ = fitted(chain, linear_model.LogisticRegression(max_iter=3000), "binary")
    with pytest.raises(NotCompiled, match=reason):
        compile_pipeline(made, schema)
