"""Models as bytes: equal estimators give equal bytes, and only what is trusted is loaded."""

from __future__ import annotations

import importlib
import io
import os
import pickle
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, OneHotEncoder, OrdinalEncoder

from slipstream.bundle import skops_file
from slipstream.bundle.trusted_types import TRUSTED
from slipstream.errors import BundleError
from slipstream.spec.estimators import CLASSIFIERS, ESTIMATORS
from tests.sweeps import one_of


def frame(rows: int = 200) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    made = pd.DataFrame(
        {
            "a": rng.normal(size=rows),
            "b": rng.integers(0, 5, rows).astype(float),
            "c": rng.choice(["x", "y", "z"], rows),
            "d": rng.choice(["p", "q"], rows),
        }
    )
    made.loc[3, "a"] = np.nan
    made.loc[4, "c"] = None
    return made


def fitted(path: str) -> Pipeline:
    """A pipeline with the estimator named by *path*, fitted on :func:`frame`."""
    module, _, name = path.rpartition(".")
    kind = getattr(importlib.import_module(module), name)
    estimator = kind()
    taken = estimator.get_params()
    estimator.set_params(
        **{k: v for k, v in {"n_estimators": 8, "random_state": 1}.items() if k in taken},
        **({"max_iter": 8} if "HistGradient" in name else {}),
        **({"reg_param": 0.01} if "Quadratic" in name else {}),
    )
    inputs = frame()
    truth = np.where(inputs.b > 2, "yes", "no") if path in CLASSIFIERS else inputs.b.to_numpy() * 2 + 0.5
    numbers = Pipeline([("fill", SimpleImputer(add_indicator=True)), ("scale", MinMaxScaler())])
    columns = ColumnTransformer(
        [
            ("number", numbers, ["a", "b"]),
            ("few", OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=5, sparse_output=False), ["c"]),
            ("many", OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), ["d"]),
        ]
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Pipeline([("columns", columns), ("estimator", estimator)]).fit(inputs, truth)


@pytest.mark.parametrize("path", one_of(5, ESTIMATORS))
def test_every_estimator_comes_back_and_predicts_the_same(path: str) -> None:
    pipeline = fitted(path)
    data = skops_file.dump(pipeline)
    again = skops_file.load(data)
    assert skops_file.dump(again) == data, "reading and writing again changes nothing"
    inputs = frame()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.testing.assert_array_equal(again.predict(inputs), pipeline.predict(inputs))
        if hasattr(pipeline, "predict_proba"):
            np.testing.assert_array_equal(again.predict_proba(inputs), pipeline.predict_proba(inputs))
    skops.io.loads(data, trusted=list(TRUSTED))


DIGESTS = """
import hashlib, sys
sys.path.insert(0, {folder!r})
from test_skops_file import fitted
from slipstream.bundle import skops_file
for path in {paths!r}:
    print(hashlib.sha256(skops_file.dump(fitted(path))).hexdigest())
"""


@pytest.mark.slow  # that of trainings, of one estimator, is quicker
def test_equal_estimators_have_equal_bytes_in_every_process() -> None:
    paths = [
        "sklearn.ensemble.HistGradientBoostingClassifier",
        "sklearn.ensemble.RandomForestRegressor",
        "sklearn.linear_model.LogisticRegression",
        "sklearn.neighbors.KNeighborsClassifier",
    ]
    program = DIGESTS.format(folder=str(Path(__file__).parent), paths=paths)
    runs = [
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        for seed in ("1", "2")
    ]
    assert len(runs[0]) == len(paths)
    assert runs[0] == runs[1]


def test_two_models_that_differ_have_different_bytes() -> None:
    inputs, truth = frame()[["b"]], [0, 1] * 100
    first = LogisticRegression(C=1.0).fit(inputs, truth)
    second = LogisticRegression(C=0.1).fit(inputs, truth)
    assert skops_file.dump(first) != skops_file.dump(second)


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch /tmp/slipstream-evil",)


def _joblib(compress: int) -> bytes:
    buffer = io.BytesIO()
    joblib.dump(Evil(), buffer, compress=compress)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (pickle.dumps(Evil()), "pickle"),
        (_joblib(0), "pickle"),
        (_joblib(3), "joblib"),
        (b"\x89HDF\r\n\x1a\n", "h5"),
        (b"\x08\x08\x12\x07pytorch", "onnx"),
        (b"", "unknown"),
        (b"PK\x03\x04 torn", "no skops file"),
    ],
)
def test_other_formats_are_refused_and_never_tried(data: bytes, said: str) -> None:
    with pytest.raises(BundleError, match=said) as caught:
        skops_file.load(data)
    assert caught.value.code == "model_format_forbidden"


def _shout(values: object) -> object:
    return values


def test_a_type_that_is_not_on_the_list_is_refused_when_written_and_when_read() -> None:
    model = Pipeline([("own", FunctionTransformer(_shout)), ("last", LogisticRegression())])
    with pytest.raises(BundleError, match="_shout") as caught:
        skops_file.dump(model)
    assert caught.value.code == "model_type_untrusted"
    with pytest.raises(BundleError) as caught:
        skops_file.load(skops.io.dumps(model))
    assert caught.value.code == "model_type_untrusted"


def _edited(data: bytes, old: bytes, new: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(buffer, "w") as target:
        for name in source.namelist():
            target.writestr(name, source.read(name).replace(old, new))
    return buffer.getvalue()


def test_another_version_of_scikit_learn_is_refused() -> None:
    import sklearn

    data = skops_file.dump(LogisticRegression().fit([[0.0], [1.0]], [0, 1]))
    with pytest.raises(BundleError, match=r"trained with scikit-learn 1\.0\.2, running") as caught:
        skops_file.load(_edited(data, sklearn.__version__.encode(), b"1.0.2"))
    assert caught.value.code == "model_version_mismatch"


def test_a_damaged_file_is_a_named_error() -> None:
    data = skops_file.dump(LogisticRegression().fit([[0.0], [1.0]], [0, 1]))
    with pytest.raises(BundleError):
        skops_file.load(_edited(data, b'"__loader__":"ObjectNode"', b'"__loader__":"NoSuchNode"'))
    with pytest.raises(BundleError):
        skops_file.load(data[: len(data) // 2])
