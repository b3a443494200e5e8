"""Own estimators, from ``model.py`` to answers: kept without pickle, with the code that defines them, signed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slipstream.bundle.bundle import FILES, open_bundle, read_bundle
from slipstream.bundle.scorer import load_scorer
from slipstream.commands.plan_notes import check_installed
from slipstream.errors import BundleError, SlipstreamError, SpecError, StageError
from slipstream.spec.model import ModelSpec
from slipstream.stages.train import train
from slipstream.store import Store
from slipstream.testing import check_trainer
from slipstream.testing.trainers import TRAINER_CHECKS, TrainerCase
from slipstream.training.candidate import load_training

OWN = Path(__file__).parents[2] / "data/own_models"
ROW = {"distance": [0.5, None], "hour": [3.0, 23.0], "carrier": ["A", "never seen"]}
Build = Callable[..., ModelSpec]


@pytest.fixture
def project(make_spec: Build) -> Build:
    """``project("plain", source=None)``: a model whose trainer calls that function of model.py, or of *source*."""

    def make(function: str, source: str | None = None, **changes: Any) -> ModelSpec:
        parameters = changes.pop("parameters", {})
        spec = make_spec(
            train={"trainer": {"type": "python", "function": function, "parameters": parameters}}, **changes
        )
        for file in OWN.glob("*.py"):
            shutil.copy(file, spec.folder / file.name)
        if source is not None:
            (spec.folder / "model.py").write_text(source)
        return spec

    return make


@pytest.mark.parametrize(
    ("function", "engine"), [("plain", "compiled"), ("own_transformer", "sklearn"), ("own_classifier", "sklearn")]
)
def test_an_own_pipeline_becomes_a_version_that_answers(
    project: Build, store: Store, release: Callable[..., Any], function: str, engine: str
) -> None:
    packaged = release(project(function))
    bundle = open_bundle(store, packaged.bundle)
    assert set(bundle.files) - {*FILES, "scorer/plan.json"} == {"code/model.py", "code/parts.py"}
    assert bundle.files["code/parts.py"] == (OWN / "parts.py").read_bytes()
    assert packaged.engine == engine
    scorer = load_scorer(bundle)
    assert scorer.check_golden() >= 24
    probabilities = scorer.predict(ROW).probabilities
    assert probabilities is not None
    assert all(0 < value < 1 for value in probabilities)
    assert set(bundle.json("lineage.json")["code"]) == {"model.py", "parts.py"}


LOAD = """
import json, sys
from pathlib import Path
from slipstream.bundle.bundle import read_bundle
from slipstream.bundle.scorer import load_scorer
print(json.dumps(load_scorer(read_bundle(Path(sys.argv[1]))).predict(json.loads(sys.argv[2])).probabilities))
"""


def test_a_bundle_brings_its_code_along(
    project: Build, store: Store, release: Callable[..., Any], tmp_path: Path
) -> None:
    """Another process answers the same from the bundle's folder, when the project says something else or is gone."""
    spec = project("own_transformer")
    bundle = open_bundle(store, release(spec).bundle)
    expected = load_scorer(bundle).predict(ROW).probabilities
    bundle.write(tmp_path / "bundle")
    shutil.rmtree(spec.folder)
    command = [sys.executable, "-c", LOAD, str(tmp_path / "bundle"), json.dumps(ROW)]
    there = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert json.loads(there.stdout.splitlines()[-1]) == expected

    code = tmp_path / "bundle/code/parts.py"
    code.write_bytes(code.read_bytes().replace(b"X * 2", b"X * 3"))
    with pytest.raises(BundleError, match=r"code/parts\.py: digest differs"):
        read_bundle(tmp_path / "bundle")


def test_a_model_takes_no_class_of_code_that_it_does_not_bring(
    project: Build, store: Store, release: Callable[..., Any]
) -> None:
    from slipstream.bundle import skops_file

    files = open_bundle(store, release(project("own_transformer")).bundle).files
    with pytest.raises(BundleError, match=r"type 'slipstream_code_\w+\.parts\.Clip' isn't trusted"):
        skops_file.load(files["model.skops"])


def test_two_versions_of_a_class_answer_side_by_side(project: Build, store: Store, release: Callable[..., Any]) -> None:
    spec = project("own_function")
    first = load_scorer(open_bundle(store, release(spec).bundle))
    parts = spec.folder / "parts.py"
    parts.write_text(parts.read_text().replace("X * 2", "X * -1"))
    second = load_scorer(open_bundle(store, release(spec, seed=1).bundle))
    before = first.predict(ROW).probabilities
    assert second.predict(ROW).probabilities != before
    assert first.predict(ROW).probabilities == before


def test_an_edit_of_the_code_is_another_run(
    project: Build, store: Store, committed: Callable[..., Any], make_rows: Callable[..., Any]
) -> None:
    spec = project("plain")
    dataset = committed(spec, make_rows(600)).id
    first = train(spec, store, dataset)
    assert train(spec, store, dataset).reused
    parts = spec.folder / "parts.py"
    parts.write_text(parts.read_text() + "\n# a remark\n")
    second = train(spec, store, dataset)
    assert not second.reused
    assert second.run != first.run
    (spec.folder / "unrelated.py").write_text("x = 1\n")
    assert train(spec, store, dataset).reused, "what model.py does not import is no part of the model"


EVERY = ["plain", "calibrated", "stacked", "thresholded", "own_transformer", "own_function", "own_classifier"]


@pytest.mark.parametrize("function", EVERY)
def test_every_way_keeps_the_promises_of_a_trainer(function: str) -> None:
    checks = {check.__name__: check for check in TRAINER_CHECKS}
    case = TrainerCase({"type": "python", "function": function}, ("binary",), OWN)
    for name in ("works_for_each_task", "same_seed_gives_the_same_model", "model_can_be_stored"):
        checks[name](case)
    checks["words_are_taken_or_refused"](case)


def test_the_whole_suite_on_one() -> None:
    check_trainer({"type": "python", "function": "plain"}, tasks=("binary", "multiclass"), folder=OWN)
    check_trainer({"type": "python", "function": "own_regressor"}, tasks=("regression",), folder=OWN)


HEAD = "from sklearn.linear_model import LogisticRegression, Ridge\nfrom sklearn.svm import LinearSVC\n"
WRONG: dict[str, tuple[str, dict[str, Any], str]] = {
    "returns nothing": ("def build():\n    LogisticRegression()", {}, "small/model.py: build() returned nothing; end"),
    "a class": ("def build():\n    return Ridge", {}, "returned the class Ridge; return an instance: Ridge()"),
    "no estimator": ("def build():\n    return 7", {}, "returned 'int', which has no fit and predict; return an"),
    "fitted elsewhere": (
        "def build():\n    return LogisticRegression().fit([[0], [1]], [0, 1])",
        {},
        "fitted already, perhaps on rows that are held out here; return it unfitted, or register it as it is with",
    ),
    "a regressor": ("def build():\n    return Ridge()", {}, "returned the regressor Ridge, but task is binary"),
    "no probabilities": ("def build():\n    return LinearSVC()", {}, "LinearSVC, which has no predict_proba"),
    "raises": ("def build():\n    return 1 / 0", {}, "build() raised ZeroDivisionError: division by zero; mend it"),
    "no such function": ("def built():\n    ...", {}, "no function 'build'; did you mean 'built'?"),
    "no function": ("build = 3", {}, "no function 'build'; it has: none"),
    "another parameter": ("def build(C=1):\n    ...", {"parameters": {"D": 2}}, "unexpected keyword argument 'D'. Its"),
    "broken": ("def build(:\n    ...", {}, "small/model.py:3: invalid syntax; mend the file"),
    "not installed": ("import no_such_thing", {}, "No module named 'no_such_thing'; install 'no_such_thing', or take"),
    "beside it": ("import parts", {}, "imported relatively: from .parts import ..., or from . import parts"),
    "a lambda": (
        "from sklearn.preprocessing import FunctionTransformer as F\nfrom sklearn.pipeline import make_pipeline\n"
        "def build():\n    return make_pipeline(F(lambda x: x[['hour']]), LogisticRegression())",
        {},
        "holds a lambda, which cannot be stored; give it a name",
    ),
    "an inner class": (
        "from sklearn.ensemble import HistGradientBoostingClassifier as Boosting\n"
        "from sklearn.preprocessing import OrdinalEncoder\nfrom sklearn.pipeline import make_pipeline\n"
        "def build():\n    class Inner(OrdinalEncoder):\n        pass\n"
        "    unseen = {'handle_unknown': 'use_encoded_value', 'unknown_value': -1}\n"
        "    return make_pipeline(Inner(**unseen), Boosting(max_iter=2))",
        {},
        "'Inner' is defined inside a function or class; move it to the top of model.py",
    ),
    "a fit that raises": (
        "class Own(LogisticRegression):\n    def fit(self, X, y):\n        raise KeyError('x')\n"
        "def build():\n    return Own()",
        {},
        "build: fit raised KeyError: 'x'; mend it",
    ),
    "too large": ("x = '" + "a" * (1 << 20) + "'", {}, "has more than 1,048,576 bytes; keep data out of it"),
}


@pytest.mark.parametrize("case", WRONG)
def test_bad_code_is_refused_by_name(
    project: Build, store: Store, committed: Callable[..., Any], make_rows: Callable[..., Any], case: str
) -> None:
    source, changes, text = WRONG[case]
    spec = project("build", HEAD + source + "\n", **changes)
    dataset = committed(spec, make_rows(200)).id
    with pytest.raises((SpecError, StageError, BundleError)) as caught:
        train(spec, store, dataset)
    assert text in str(caught.value)
    assert not [event for event in store.ledger.state().model("small").runs if event.startswith("train-")]


def test_a_plan_tells_of_the_code_before_anything_runs(project: Build) -> None:
    spec = project("builds")
    with pytest.raises(SpecError, match="no function 'builds'"):
        check_installed(spec)
    (spec.folder / "model.py").unlink()
    with pytest.raises(SlipstreamError, match=r"small/model\.py: no such file, but train\.trainer names a function"):
        check_installed(spec)
    check_installed(project("plain", parameters={"C": 2.0}))


def test_the_bento_asks_for_the_libraries_of_the_code(
    project: Build, store: Store, release: Callable[..., Any], tmp_path: Path
) -> None:
    pytest.importorskip("imblearn")
    packaged = release(project("resampled_own"))
    wanted = next((tmp_path / "bentos").rglob("requirements.txt")).read_text()
    assert "imbalanced-learn==" in wanted
    assert packaged.engine == "sklearn"
    assert load_scorer(open_bundle(store, packaged.bundle)).check_golden() >= 24


def test_a_threshold_of_its_own_is_told_of(
    project: Build, store: Store, committed: Callable[..., Any], make_rows: Callable[..., Any]
) -> None:
    """Answers are decided at one half; who tuned another threshold hears it at the training, in evaluation and card."""
    spec = project("fixed_threshold")
    trained = train(spec, store, committed(spec, make_rows(600)).id)
    (warning,) = load_training(spec, store, trained.candidate)[1].warnings
    assert "Its own predict names another label than the most probable one for" in warning
    plain = project("plain")
    assert not load_training(plain, store, train(plain, store, trained.dataset).candidate)[1].warnings
