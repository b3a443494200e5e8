"""Every kind of model that becomes layers answers as scikit-learn, on held-out rows and on odd ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn import (
    calibration,
    cross_decomposition,
    discriminant_analysis,
    dummy,
    ensemble,
    feature_selection,
    gaussian_process,
    kernel_ridge,
    linear_model,
    model_selection,
    multiclass,
    naive_bayes,
    neighbors,
    neural_network,
    pipeline,
    preprocessing,
    semi_supervised,
    svm,
    tree,
)
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.decomposition import PCA
from sklearn.gaussian_process import kernels
from sklearn.impute import SimpleImputer
from sklearn.metrics.pairwise import linear_kernel

from slipstream.compiler.compile import compile_pipeline
from slipstream.compiler.engine import CompiledEngine
from slipstream.compiler.program import PLAN, TREES, NotCompiled
from slipstream.errors import BundleError
from tests.unit.compiler.test_compile import NUMBERS, WORDS, dense, fitted, one_hot, proved

FORMAT_2 = b'"format":2'
TASKS = ("binary", "multiclass", "regression")

LINEAR: dict[str, tuple[str, Any]] = {
    name: ("regression", getattr(linear_model, name)())
    for name in (
        *("RidgeCV", "LassoCV", "ElasticNetCV", "Lars", "LarsCV", "LassoLars", "LassoLarsCV", "LassoLarsIC"),
        *("OrthogonalMatchingPursuit", "OrthogonalMatchingPursuitCV", "ARDRegression", "BayesianRidge"),
        *("SGDRegressor", "TheilSenRegressor", "TweedieRegressor"),
    )
} | {
    "quantile": ("regression", linear_model.QuantileRegressor(alpha=0.01)),
    "tweedie": ("positive", linear_model.TweedieRegressor(power=1.5)),
    "LinearSVR": ("regression", svm.LinearSVR()),
    "partial least squares": ("regression", cross_decomposition.PLSRegression()),
    "logistic with folds": ("binary", linear_model.LogisticRegressionCV(Cs=2, max_iter=2000)),
    "logistic with folds of three": ("multiclass", linear_model.LogisticRegressionCV(Cs=2, max_iter=2000)),
    "discriminant": ("binary", discriminant_analysis.LinearDiscriminantAnalysis()),
    "discriminant of three": ("multiclass", discriminant_analysis.LinearDiscriminantAnalysis()),
    "RANSAC": ("regression", linear_model.RANSACRegressor(random_state=0)),
}


@pytest.mark.parametrize("name", LINEAR)
def test_linear(name: str) -> None:
    task, model = LINEAR[name]
    compiled = proved(dense(), model, task)
    assert set(compiled.files) == {PLAN}
    assert (FORMAT_2 in compiled.files[PLAN]) == (name == "RANSAC")


def counts() -> ColumnTransformer:
    """Numbers from zero on, as counts must be."""
    numbers = pipeline.Pipeline([("fill", SimpleImputer()), ("scale", preprocessing.MinMaxScaler(clip=True))])
    return ColumnTransformer([("n", numbers, NUMBERS), ("w", one_hot(), WORDS)])


def categories() -> ColumnTransformer:
    words = preprocessing.OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=50, encoded_missing_value=51, max_categories=40
    )
    return ColumnTransformer([("w", words, WORDS), ("k", one_hot(), ["k"])])


BAYES: dict[str, tuple[Any, Any]] = {
    "gaussian": (dense, naive_bayes.GaussianNB()),
    "multinomial": (counts, naive_bayes.MultinomialNB()),
    "complement": (counts, naive_bayes.ComplementNB()),
    "bernoulli": (dense, naive_bayes.BernoulliNB(binarize=0.3)),
    "bernoulli of marks": (counts, naive_bayes.BernoulliNB(binarize=None)),
    "categorical": (categories, naive_bayes.CategoricalNB(min_categories=52)),
}


@pytest.mark.parametrize("task", ["binary", "multiclass"])
@pytest.mark.parametrize("name", BAYES)
def test_bayes(name: str, task: str) -> None:
    prepare, model = BAYES[name]
    proved(prepare(), model, task)


MODELS: dict[str, tuple[tuple[str, ...], Any]] = {
    "quadratic": (TASKS[:2], discriminant_analysis.QuadraticDiscriminantAnalysis(reg_param=0.2)),
    "SGD logistic": (TASKS[:2], linear_model.SGDClassifier(loss="log_loss", random_state=0)),
    "SGD Huber": (TASKS[:2], linear_model.SGDClassifier(loss="modified_huber", random_state=0)),
    **{
        f"MLP {activation}": (TASKS[:2], neural_network.MLPClassifier((7, 5), activation=activation, max_iter=60))
        for activation in ("relu", "tanh", "logistic", "identity")
    },
    "MLP regressor": (TASKS[2:], neural_network.MLPRegressor(hidden_layer_sizes=(9,), max_iter=200)),
    "MLP poisson": (("positive",), neural_network.MLPRegressor(loss="poisson", hidden_layer_sizes=(4,), max_iter=50)),
    "SVC": (TASKS[:2], svm.SVC(probability=True, random_state=0)),
    "SVC linear": (TASKS[:2], svm.SVC(kernel="linear", probability=True, random_state=0)),
    "SVC poly": (TASKS[:1], svm.SVC(kernel="poly", degree=2, coef0=1.0, probability=True, random_state=0)),
    "NuSVC": (TASKS[:2], svm.NuSVC(nu=0.2, probability=True, random_state=0)),
    "SVR": (TASKS[2:], svm.SVR()),
    "SVR sigmoid": (TASKS[2:], svm.SVR(kernel="sigmoid", gamma=0.01)),
    "NuSVR": (TASKS[2:], svm.NuSVR(kernel="linear")),
    "kernel ridge": (TASKS[2:], kernel_ridge.KernelRidge(kernel="rbf", gamma=0.05)),
    "kernel ridge poly": (TASKS[2:], kernel_ridge.KernelRidge(kernel="polynomial", degree=2)),
    "spreading": (TASKS[:2], semi_supervised.LabelSpreading(gamma=0.001)),
    "process": (
        TASKS[2:],
        gaussian_process.GaussianProcessRegressor(
            kernels.RBF(3.0) * kernels.ConstantKernel(2.0) + kernels.WhiteKernel(1.0) + kernels.DotProduct(),
            optimizer=None,
        ),
    ),
    "dummy": (TASKS, None),
    "centroids": (TASKS[:2], neighbors.NearestCentroid()),
}


@pytest.mark.parametrize(("name", "task"), [(name, task) for name, (tasks, _) in MODELS.items() for task in tasks])
@pytest.mark.filterwarnings("ignore")
def test_models(name: str, task: str) -> None:
    model = MODELS[name][1]
    if name == "dummy":
        model = dummy.DummyRegressor() if task == "regression" else dummy.DummyClassifier(strategy="prior")
    compiled = proved(dense(), model, task)
    assert FORMAT_2 in compiled.files[PLAN]
    assert TREES not in compiled.files


def apart() -> ColumnTransformer:
    """Numbers turned so that no two rows are alike in one of them, which far from training would be all that counts."""
    numbers = [("fill", SimpleImputer()), ("scale", preprocessing.StandardScaler()), ("turn", PCA(whiten=True))]
    return ColumnTransformer([("n", pipeline.Pipeline(numbers), NUMBERS)])


NEIGHBOURS: dict[str, tuple[str, Any]] = {
    "uniform": ("binary", neighbors.KNeighborsClassifier(7)),
    "by distance": ("multiclass", neighbors.KNeighborsClassifier(4, weights="distance")),
    "by brute force": ("binary", neighbors.KNeighborsClassifier(5, algorithm="brute")),
    "along the streets": ("binary", neighbors.KNeighborsClassifier(5, p=1)),
    "numbers": ("regression", neighbors.KNeighborsRegressor(6)),
    "numbers by distance": ("regression", neighbors.KNeighborsRegressor(6, weights="distance")),
}


@pytest.mark.parametrize("name", NEIGHBOURS)
def test_neighbours(name: str) -> None:
    task, model = NEIGHBOURS[name]
    proved(apart(), model, task)


def test_neighbours_that_are_not_fixed_are_refused() -> None:
    coarse = ColumnTransformer([("n", SimpleImputer(), ["b"])])
    made, schema, _ = fitted(coarse, neighbors.KNeighborsClassifier(3), "binary")
    with pytest.raises(NotCompiled, match="equal distances"):
        compile_pipeline(made, schema)


def test_neighbours_among_too_many_are_refused() -> None:
    made, schema, _ = fitted(apart(), neighbors.KNeighborsClassifier(3), "binary", 2001)
    with pytest.raises(NotCompiled, match="among 2,001 rows"):
        compile_pipeline(made, schema)


def members(task: str) -> list[tuple[str, Any]]:
    if task == "regression":
        return [
            ("ridge", linear_model.Ridge()),
            ("trees", ensemble.RandomForestRegressor(4, random_state=0)),
            ("scaled", pipeline.make_pipeline(preprocessing.MinMaxScaler(), svm.SVR())),
        ]
    return [
        ("logistic", linear_model.LogisticRegression(max_iter=2000)),
        ("boosted", ensemble.HistGradientBoostingClassifier(max_iter=5)),
        ("scaled", pipeline.make_pipeline(preprocessing.MinMaxScaler(), naive_bayes.GaussianNB(var_smoothing=0.01))),
    ]


Kind = Any
LOGISTIC = linear_model.LogisticRegression(max_iter=2000)
SHALLOW = tree.DecisionTreeClassifier(max_depth=3, random_state=0)


def nested() -> dict[str, tuple[tuple[str, ...], Any]]:
    cross = {"cv": 3}
    return {
        "voting": (TASKS[:2], ensemble.VotingClassifier(members("binary"), voting="soft", weights=[1, 2, 0.5])),
        "voting numbers": (TASKS[2:], ensemble.VotingRegressor(members("regression"))),
        "stacking": (TASKS[:2], ensemble.StackingClassifier(members("binary"), **cross)),
        "stacking through": (TASKS[:1], ensemble.StackingClassifier(members("binary"), passthrough=True, **cross)),
        "stacking trees": (
            TASKS[:2],
            ensemble.StackingClassifier(members("binary"), ensemble.RandomForestClassifier(3, random_state=0), **cross),
        ),
        "stacking labels": (TASKS[:1], ensemble.StackingClassifier(members("binary"), stack_method="predict", **cross)),
        "stacking numbers": (TASKS[2:], ensemble.StackingRegressor(members("regression"), **cross)),
        "bagging": (TASKS[:2], ensemble.BaggingClassifier(n_estimators=5, random_state=0)),
        "bagging features": (
            TASKS[:2],
            ensemble.BaggingClassifier(LOGISTIC, n_estimators=4, max_features=0.5, random_state=0),
        ),
        "bagging votes": (TASKS[:2], ensemble.BaggingClassifier(linear_model.RidgeClassifier(), 5, random_state=0)),
        "bagging numbers": (TASKS[2:], ensemble.BaggingRegressor(n_estimators=5, max_features=0.7, random_state=0)),
        "boosted trees": (TASKS[:2], ensemble.AdaBoostClassifier(SHALLOW, n_estimators=9, random_state=0)),
        "boosted stumps": (TASKS[:2], ensemble.AdaBoostClassifier(n_estimators=12, random_state=0)),
        "boosted logistic": (TASKS[:2], ensemble.AdaBoostClassifier(LOGISTIC, n_estimators=3, random_state=0)),
        "boosted numbers": (TASKS[2:], ensemble.AdaBoostRegressor(n_estimators=9, random_state=0)),
        "boosted lines": (TASKS[2:], ensemble.AdaBoostRegressor(linear_model.Ridge(), n_estimators=5, random_state=0)),
        "calibrated": (TASKS[:2], calibration.CalibratedClassifierCV(svm.LinearSVC(), **cross)),
        "calibrated once": (TASKS[:1], calibration.CalibratedClassifierCV(SHALLOW, ensemble=False, **cross)),
        "calibrated isotonic": (
            TASKS[:2],
            calibration.CalibratedClassifierCV(ensemble.RandomForestClassifier(4), method="isotonic", **cross),
        ),
        "calibrated support vectors": (TASKS[:2], calibration.CalibratedClassifierCV(svm.SVC(), **cross)),
        "calibrated temperature": (
            TASKS[:2],
            calibration.CalibratedClassifierCV(LOGISTIC, method="temperature", **cross),
        ),
        "temperature of bayes": (
            TASKS[:2],
            calibration.CalibratedClassifierCV(
                naive_bayes.GaussianNB(var_smoothing=0.01), method="temperature", **cross
            ),
        ),
        "logarithm": (
            ("positive",),
            TransformedTargetRegressor(linear_model.Ridge(), func=np.log1p, inverse_func=np.expm1),
        ),
        "scaled target": (
            TASKS[2:],
            TransformedTargetRegressor(svm.SVR(), transformer=preprocessing.StandardScaler()),
        ),
        "one against the rest": (TASKS[:2], multiclass.OneVsRestClassifier(LOGISTIC)),
        "threshold of one half": (TASKS[:1], model_selection.FixedThresholdClassifier(LOGISTIC, threshold=0.5)),
        "search": (TASKS[:2], model_selection.GridSearchCV(LOGISTIC, {"C": [0.1, 1.0]}, **cross)),
        "random search": (
            TASKS[2:],
            model_selection.RandomizedSearchCV(linear_model.Ridge(), {"alpha": [0.1, 1.0]}, n_iter=2, **cross),
        ),
        "elimination": (TASKS[:1], feature_selection.RFE(LOGISTIC, n_features_to_select=4, step=20)),
        "self training": (TASKS[:1], semi_supervised.SelfTrainingClassifier(LOGISTIC)),
    }


NESTED = nested()


@pytest.mark.parametrize(("name", "task"), [(name, task) for name, (tasks, _) in NESTED.items() for task in tasks])
@pytest.mark.filterwarnings("ignore")
def test_nested(name: str, task: str) -> None:
    proved(dense(), NESTED[name][1], task)


REFUSED: dict[str, tuple[str, Any, str]] = {
    "another threshold": ("binary", model_selection.FixedThresholdClassifier(LOGISTIC, threshold=0.3), "threshold of"),
    "lots": ("binary", dummy.DummyClassifier(strategy="stratified"), "drawn by lot"),
    "own kernel": ("regression", svm.SVR(kernel=linear_kernel), "none that is compiled"),
    "another kernel": (
        "regression",
        gaussian_process.GaussianProcessRegressor(kernels.Matern(), optimizer=None),
        "Matern",
    ),
    "own function": (
        "regression",
        TransformedTargetRegressor(
            linear_model.Ridge(), func=lambda values: values * 2, inverse_func=lambda values: values / 2
        ),
        "plain ones of NumPy",
    ),
    "a member that is not": (
        "binary",
        ensemble.VotingClassifier([("one", gaussian_process.GaussianProcessClassifier(optimizer=None))], voting="soft"),
        "GaussianProcessClassifier is no model",
    ),
    "many members": (
        "binary",
        ensemble.BaggingClassifier(naive_bayes.GaussianNB(), n_estimators=201, n_jobs=1),
        "201 members",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.filterwarnings("ignore")
def test_what_is_refused_says_why(name: str) -> None:
    task, model, reason = REFUSED[name]
    made, schema, _ = fitted(dense(), model, task, 120)
    with pytest.raises(NotCompiled, match=reason):
        compile_pipeline(made, schema)


def test_models_within_models_have_a_bound() -> None:
    model: Any = LOGISTIC
    for _ in range(8):
        model = ensemble.BaggingClassifier(model, n_estimators=1, random_state=0)
    made, schema, _ = fitted(dense(), model, "binary", 120)
    with pytest.raises(NotCompiled, match="deep"):
        compile_pipeline(made, schema)


def test_damaged_layers_are_a_named_error() -> None:
    made, schema, _ = fitted(dense(), naive_bayes.GaussianNB(), "binary", 120)
    plan = compile_pipeline(made, schema).files[PLAN]
    for changed in (
        plan.replace(b'"op":"gaussian"', b'"op":"gauss"'),
        plan.replace(b'"of":[0]', b'"of":[7]'),
        plan.replace(b'"shape":[2]', b'"shape":[3]'),
    ):
        assert changed != plan
        with pytest.raises(BundleError) as caught:
            CompiledEngine({PLAN: changed})
        assert caught.value.code == "scorer_invalid"
