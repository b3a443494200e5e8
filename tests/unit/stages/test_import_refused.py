"""What cannot be imported, each by name and with what to do."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import lightgbm
import numpy as np
import onnx
import pytest
import skops.io
import xgboost
from onnx import TensorProto, helper
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.svm import LinearSVC

from slipstream.errors import SlipstreamError
from slipstream.newest import newest_dataset
from slipstream.spec.model import ModelSpec
from slipstream.stages.import_model import import_model
from slipstream.store import Store

NUMBERS = ["distance", "hour"]
ROWS = np.random.default_rng(3).normal(size=(300, 2))
LATE = (ROWS[:, 0] > 0).astype(int)
Build = Callable[..., Any]
Refusal = Callable[[Path], tuple[str, str]]


class Own(ClassifierMixin, BaseEstimator):
    """A class that no installation trusts."""

    def fit(self, rows: Any, labels: Any) -> Own:
        self.classes_ = np.unique(labels)
        return self

    def predict(self, rows: Any) -> Any:
        return np.zeros(len(rows))

    def predict_proba(self, rows: Any) -> Any:
        return np.full((len(rows), 2), 0.5)


@pytest.fixture
def spec(make_spec: Build) -> ModelSpec:
    return make_spec(inputs=NUMBERS)


@pytest.fixture
def refusal(spec: ModelSpec, store: Store, make_rows: Build, committed: Build) -> Refusal:
    """``refusal(path)``: code and text of the error of that import; nothing of it is left in the ledger."""
    dataset = committed(spec, make_rows(300, distance=ROWS[:, 0])).id

    def of(path: Path, changed: ModelSpec = spec) -> tuple[str, str]:
        with pytest.raises(SlipstreamError) as caught:
            import_model(changed, store, path, dataset)
        assert "import" not in store.ledger.state().model(spec.name).latest
        return caught.value.code, str(caught.value)

    return of


def written(file: Path, content: bytes | str) -> Path:
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


def dumped(model: Any, file: Path) -> Path:
    skops.io.dump(model, file)
    return file


@pytest.mark.parametrize("compress", [0, 3, ("gzip", 3), ("bz2", 3), ("xz", 3)])
def test_a_pickle_is_not_read(refusal: Refusal, tmp_path: Path, compress: Any) -> None:
    """By what is in the file, whatever it is called; the two lines of the message turn it into one that is taken."""
    file = tmp_path / "model.bin"
    joblib.dump(LogisticRegression().fit(ROWS, LATE), file, compress=compress)
    code, text = refusal(file)
    assert code == "import_pickle_refused"
    assert 'import joblib, skops.io\n  skops.io.dump(joblib.load("model.bin"), "model.skops")' in text


def test_a_file_that_is_called_a_pickle_is_not_read(refusal: Refusal, tmp_path: Path) -> None:
    assert refusal(written(tmp_path / "model.joblib", "(dp0\n."))[0] == "import_pickle_refused"


def test_what_is_not_there(refusal: Refusal, tmp_path: Path) -> None:
    code, text = refusal(tmp_path / "model.onnx")
    assert (code, "no such file" in text) == ("import_not_found", True)
    code, text = refusal(tmp_path)
    assert (code, "a folder without MLmodel" in text) == ("import_not_found", True)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("", "no model that is known; write it as one of: skops, ONNX"),
        ("id,late\n1,0\n", "no model that is known"),
        (b"binf\x00", "save_model('model.ubj')"),
        ("booster[0]:\n0:[f0<1] yes=1", "cannot be read back: save_model('model.json')"),
        (b"\x89HDF\r\n", "write it as ONNX"),
    ],
)
def test_what_is_no_model(refusal: Refusal, tmp_path: Path, content: Any, what: str) -> None:
    code, text = refusal(written(tmp_path / "model", content))
    assert code == "import_format_unknown"
    assert what in text


def booster() -> str:
    return lightgbm.LGBMClassifier(n_estimators=4, verbose=-1, n_jobs=1).fit(ROWS, LATE).booster_.model_to_string()


def test_a_text_that_is_cut_off_anywhere(refusal: Refusal, tmp_path: Path) -> None:
    text = booster()
    for share in (0.05, 0.2, 0.35, 0.5):
        code, message = refusal(written(tmp_path / "model.txt", text[: int(len(text) * share)]))
        assert code == "import_damaged", share
        assert "damaged or cut off" in message


@pytest.mark.parametrize(
    ("line", "changed"),
    [("left_child=", "left_child=0 "), ("split_feature=", "split_feature=77 "), ("leaf_value=", "leaf_value=1 ")],
)
def test_a_text_whose_trees_lead_nowhere(refusal: Refusal, tmp_path: Path, line: str, changed: str) -> None:
    """LightGBM itself would take it, and walk in a circle or beyond its arrays."""
    head, _, rest = booster().partition(f"\n{line}")
    first, _, tail = rest.partition(" ")
    assert first
    assert refusal(written(tmp_path / "model.txt", f"{head}\n{changed}{tail}"))[0] == "import_damaged"
    assert refusal(written(tmp_path / "model.txt", f"{head}\n{changed}{first} {tail}"))[0] == "import_damaged"


@pytest.mark.parametrize("kind", ["json", "ubj"])
def test_a_booster_of_xgboost_that_is_cut_off(refusal: Refusal, tmp_path: Path, kind: str) -> None:
    file = tmp_path / f"model.{kind}"
    xgboost.XGBClassifier(n_estimators=4, n_jobs=1).fit(ROWS, LATE).save_model(file)
    assert refusal(written(file, file.read_bytes()[:-200]))[0] == "import_damaged"


def test_answers_that_are_scores(refusal: Refusal, tmp_path: Path) -> None:
    data = xgboost.DMatrix(ROWS, label=LATE, nthread=1)
    for objective in ("binary:hinge", "binary:logitraw", "rank:pairwise"):
        xgboost.train({"objective": objective, "nthread": 1}, data, 2).save_model(tmp_path / "model.json")
        code, text = refusal(tmp_path / "model.json")
        assert (code, objective in text) == ("import_unsuitable", True)
    text = booster().replace("objective=binary sigmoid:1", "objective=lambdarank")
    assert refusal(written(tmp_path / "model.txt", text))[0] == "import_unsuitable"
    svc = LinearSVC().fit(ROWS, LATE)
    code, text = refusal(dumped(svc, tmp_path / "svc.skops"))
    assert (code, "CalibratedClassifierCV" in text) == ("import_unsuitable", True)
    code, text = refusal(dumped(LogisticRegression(), tmp_path / "unfitted.skops"))
    assert (code, "is not fitted" in text) == ("import_unsuitable", True)


def test_another_task(refusal: Refusal, tmp_path: Path) -> None:
    line = LinearRegression().fit(ROWS, ROWS[:, 0])
    code, text = refusal(dumped(line, tmp_path / "line.skops"))
    assert code == "import_task_mismatch"
    assert "LinearRegression does regression, but task is binary" in text
    code, text = refusal(written(tmp_path / "model.onnx", graph(bias=3.0)))
    assert code == "import_task_mismatch"
    assert "so they are no probabilities" in text


def test_other_inputs(refusal: Refusal, spec: ModelSpec, make_spec: Build, tmp_path: Path) -> None:
    import pandas as pd

    other = LogisticRegression().fit(pd.DataFrame(ROWS, columns=["distance", "speed"]), LATE)
    code, text = refusal(dumped(other, tmp_path / "model.skops"))
    assert code == "import_inputs_differ"
    for part in (
        "it takes 'distance', 'speed'; the inputs of small are 'distance', 'hour'",
        "not among the inputs: 'speed'; not taken by it: 'hour'",
    ):
        assert part in text
    wide = LogisticRegression().fit(np.column_stack([ROWS, ROWS]), LATE)
    code, text = refusal(dumped(wide, tmp_path / "wide.skops"))
    assert (code, "takes 4 inputs, the model file of small has 2" in text) == ("import_inputs_differ", True)


def test_words_that_the_file_says_nothing_of(
    make_spec: Build, store: Store, make_rows: Build, committed: Build, tmp_path: Path
) -> None:
    spec = make_spec(inputs=["distance", "carrier"])
    dataset = committed(spec, make_rows(400)).id
    with pytest.raises(SlipstreamError, match=r"input 'carrier' holds words here.*features.py") as caught:
        import_model(spec, store, written(tmp_path / "model.txt", booster()), dataset)
    assert caught.value.code == "import_words_unknown"


def test_other_labels(refusal: Refusal, tmp_path: Path) -> None:
    three = LogisticRegression().fit(ROWS, np.arange(300) % 3)
    code, text = refusal(dumped(three, tmp_path / "three.skops"))
    assert (code, "it tells 3 classes apart" in text) == ("import_labels_differ", True)
    words = LogisticRegression().fit(ROWS, np.where(LATE, "cat", "dog"))
    code, text = refusal(dumped(words, tmp_path / "words.skops"))
    assert code == "import_labels_differ"
    assert "its labels are 'cat', 'dog'; 'late' holds False, True here" in text


def test_a_class_of_ones_own(refusal: Refusal, tmp_path: Path) -> None:
    code, text = refusal(dumped(Own().fit(ROWS, LATE), tmp_path / "own.skops"))
    assert code == "model_type_untrusted"
    assert "Own" in text
    assert "trainer: {type: python}" in text


def test_another_scikit_learn(refusal: Refusal, tmp_path: Path) -> None:
    class Older(LogisticRegression):
        def __getstate__(self) -> dict[str, Any]:
            return {**vars(self), "_sklearn_version": "1.2.0"}

    Older.__module__, Older.__qualname__, Older.__name__ = (
        LogisticRegression.__module__,
        "LogisticRegression",
        "LogisticRegression",
    )
    code, text = refusal(dumped(Older().fit(ROWS, LATE), tmp_path / "old.skops"))
    assert code == "model_version_mismatch"
    assert "trained with scikit-learn 1.2.0" in text


def graph(bias: float = 0.0, kind: str = "Add", domain: str = "", external: bool = False) -> bytes:
    """A graph of the sum of two columns, with a bias."""
    base = helper.make_tensor("base", TensorProto.FLOAT, [1], np.float32([bias]).tobytes(), raw=True)
    if external:
        onnx.external_data_helper.set_external_data(base, "weights.bin")
    nodes = [
        helper.make_node("ReduceSum", ["rows", "axis"], ["sum"]),
        helper.make_node(kind, ["sum", "base"], ["answer"], domain=domain),
    ]
    axis = helper.make_tensor("axis", TensorProto.INT64, [1], [1])
    rows = helper.make_tensor_value_info("rows", TensorProto.FLOAT, [None, 2])
    answer = helper.make_tensor_value_info("answer", TensorProto.FLOAT, [None, 1])
    whole = helper.make_graph(nodes, "sum", [rows], [answer], [axis, base])
    opsets = [helper.make_opsetid("", 17), *([helper.make_opsetid(domain, 1)] if domain else [])]
    content: bytes = helper.make_model(whole, opset_imports=opsets, ir_version=8).SerializeToString()
    return content


@pytest.mark.parametrize(("kind", "domain", "called"), [("Blur", "", "Blur"), ("Gelu", "com.acme", "com.acme.Gelu")])
def test_an_operator_that_is_none(refusal: Refusal, tmp_path: Path, kind: str, domain: str, called: str) -> None:
    code, text = refusal(written(tmp_path / "model.onnx", graph(kind=kind, domain=domain)))
    assert (code, f"operator '{called}' is none of ONNX" in text) == ("import_operator_unknown", True)


def test_weights_in_another_file(refusal: Refusal, tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(bytes(4))
    code, text = refusal(written(tmp_path / "model.onnx", graph(external=True)))
    assert (code, "onnx.save(" in text) == ("import_external_data", True)


def test_a_graph_that_is_cut_off(refusal: Refusal, tmp_path: Path) -> None:
    content = graph()
    assert refusal(written(tmp_path / "model.onnx", content[: len(content) // 2]))[0] == "import_damaged"


def test_a_library_that_is_missing(refusal: Refusal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = written(tmp_path / "model.txt", booster())
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    code, text = refusal(file)
    assert code == "missing_extra"
    assert "needs 'lightgbm', which is not installed; pip install --require-hashes -r requirements-boosting.txt" in text


def test_without_data_it_says_so(spec: ModelSpec, store: Store) -> None:
    with pytest.raises(SlipstreamError, match="has no data yet; ingest and validate a batch first"):
        newest_dataset(store, spec)
