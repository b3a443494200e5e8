"""Models that were fitted elsewhere, from their file to a version whose answers are those of the library itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
import skops.io
from onnx import TensorProto, helper
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from slipstream.bundle.bundle import open_bundle
from slipstream.bundle.scorer import load_scorer
from slipstream.commands.event_sentences import sentence as event_sentence
from slipstream.errors import BundleError, StageError
from slipstream.evaluation.candidate_answers import load_candidate
from slipstream.evaluation.record import load_evaluation
from slipstream.newest import newest_run
from slipstream.spec.model import ModelSpec
from slipstream.stages.deploy import deploy
from slipstream.stages.evaluate import evaluate
from slipstream.stages.explain import explain
from slipstream.stages.gate import gate
from slipstream.stages.import_model import FITTED_ELSEWHERE, import_model
from slipstream.stages.package import package
from slipstream.stages.train import train
from slipstream.store import Store
from slipstream.training.candidate import Trained, load_training

if TYPE_CHECKING:
    import pandas as pd

NUMBERS = ["distance", "hour"]
INPUTS = [*NUMBERS, "carrier"]
OF_DELAY: dict[str, Any] = {
    "task": "regression",
    "target": "delay",
    "evaluate": {"metric": "mae"},
    "train": {"trainer": {"type": "sklearn", "estimator": "sklearn.linear_model.Ridge"}},
}
OF_BANDS: dict[str, Any] = {"task": "multiclass", "target": "band", "evaluate": {"metric": "log_loss"}}
Build = Callable[..., Any]


@pytest.fixture
def dataset(make_spec: Build, make_rows: Build, committed: Build) -> str:
    """600 rows of the model called small, with its three classes of delay."""
    return str(committed(make_spec(), make_rows(600, band=np.repeat(["far", "mid", "near"], 200))).id)


@pytest.fixture
def elsewhere(make_rows: Build) -> pd.DataFrame:
    """Other rows of the same kind, that a model was fitted on elsewhere."""
    frame = make_rows(500, seed=5, first=9000).to_pandas()
    frame["band"] = np.where(frame["delay"] > 30, "far", np.where(frame["delay"] > 10, "mid", "near"))
    return frame.astype({"distance": float, "hour": float})


def rows_of(frame: pd.DataFrame, names: list[str] = INPUTS) -> dict[str, list[Any]]:
    """Rows as the endpoint gives them: None for missing."""
    plain = frame[names].astype(object).where(frame[names].notna(), None)
    return {name: plain[name].tolist() for name in names}


@pytest.fixture
def version(store: Store, tmp_path: Path) -> Build:
    """``version(spec, candidate)``: the scorer and the bundle of that candidate, packaged."""

    def make(spec: ModelSpec, candidate: str) -> tuple[Any, Any, Any]:
        runs = evaluate(spec, store, candidate).run, explain(spec, store, candidate).run
        packaged = package(spec, store, candidate, *runs, keys=tmp_path / "keys", bentos=tmp_path / "bentos")
        bundle = open_bundle(store, packaged.bundle)
        scorer = load_scorer(bundle)
        assert scorer.check_golden() >= 24
        return packaged, bundle, scorer

    return make


def answers(scorer: Any, frame: pd.DataFrame, names: list[str] = INPUTS) -> Any:
    """The probabilities of the positive label, one row of each class, or the numbers."""
    got = scorer.predict(rows_of(frame, names))
    return np.array(got.predictions if got.probabilities is None else got.probabilities)


@pytest.fixture
def candidate_answers(store: Store) -> Build:
    """``candidate_answers(spec, imported, frame)``: what the stored candidate answers on rows."""

    def answer(spec: ModelSpec, imported: Trained, frame: pd.DataFrame) -> Any:
        candidate = load_candidate(spec, store, imported.candidate)
        return candidate.answer(frame, candidate.training.classes)

    return answer


def as_categories(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[INPUTS].assign(carrier=frame["carrier"].astype("category"))


def test_lightgbm_text(
    make_spec: Build, store: Store, dataset: str, elsewhere: pd.DataFrame, version: Build, tmp_path: Path
) -> None:
    import lightgbm

    model = lightgbm.LGBMClassifier(n_estimators=12, verbose=-1, n_jobs=1)
    model.fit(as_categories(elsewhere)[INPUTS[::-1]], elsewhere["late"])
    model.booster_.save_model(tmp_path / "model.txt")
    spec = make_spec()
    imported = import_model(spec, store, tmp_path / "model.txt", dataset, actor="ann")
    assert imported.candidate.startswith("import-")
    assert not imported.reused
    assert import_model(spec, store, tmp_path / "model.txt", dataset).reused
    assert newest_run(store, spec, "train") == imported.candidate

    packaged, bundle, scorer = version(spec, imported.candidate)
    assert packaged.engine == "compiled"
    expected = model.predict_proba(as_categories(elsewhere)[INPUTS[::-1]])[:, 1]
    assert answers(scorer, elsewhere) == pytest.approx(expected, abs=1e-9)
    assert bundle.json("lineage.json")["imported"] == load_training(spec, store, imported.candidate)[1].imported
    assert bundle.json("lineage.json")["imported"]["format"] == "LightGBM text"
    card = bundle.json("card.json")
    assert card["estimator"] == "LightGBM, binary sigmoid:1, 12 trees"
    assert FITTED_ELSEWHERE in card["limits"]
    assert any("fitted elsewhere and imported (LightGBM text)" in limit for limit in card["limits"])


@pytest.mark.parametrize("suffix", ["json", "ubj"])
def test_xgboost(
    make_spec: Build,
    store: Store,
    dataset: str,
    elsewhere: pd.DataFrame,
    candidate_answers: Build,
    tmp_path: Path,
    suffix: str,
) -> None:
    import xgboost

    model = xgboost.XGBClassifier(n_estimators=9, n_jobs=1).fit(elsewhere[NUMBERS[::-1]], elsewhere["late"])
    model.save_model(tmp_path / f"model.{suffix}")
    spec = make_spec(inputs=NUMBERS)
    imported = import_model(spec, store, tmp_path / f"model.{suffix}", dataset)
    expected = model.predict_proba(elsewhere[NUMBERS[::-1]])[:, 1]
    assert candidate_answers(spec, imported, elsewhere) == pytest.approx(expected, abs=1e-6)


def test_words_that_a_file_does_not_know(
    make_spec: Build, committed: Build, make_rows: Build, store: Store, elsewhere: pd.DataFrame, tmp_path: Path
) -> None:
    """XGBoost writes what is beyond ASCII of pandas' categories cut off, and so it is lost."""
    import xgboost

    spec = make_spec(inputs=["hour", "carrier"])

    def imported(words: dict[str, str], data: dict[str, str] | None = None) -> Any:
        rows = make_rows(600)
        there = [(data or {}).get(word, word) for word in rows["carrier"].to_pylist()]
        dataset = committed(spec, rows.set_column(4, "carrier", [there])).id
        frame = elsewhere[["hour"]].assign(carrier=elsewhere["carrier"].map(words).astype("category"))
        model = xgboost.XGBClassifier(n_estimators=3, n_jobs=1, enable_categorical=True).fit(frame, elsewhere["late"])
        model.save_model(tmp_path / "model.ubj")
        return import_model(spec, store, tmp_path / "model.ubj", dataset)

    with pytest.raises(BundleError, match=r"model.ubj: its categories hold letters beyond ASCII.*; fit it on their"):
        imported({"A": "A", "B": "Köln", "C": "北京"})
    with pytest.raises(StageError, match="xgboost writes categories beyond ASCII cut off") as caught:
        imported({"A": "A", "B": "B", "C": "Cöl"}, {"C": "Cöl"})
    assert caught.value.code == "import_words_unknown"
    with pytest.raises(StageError, match=r"it knows 'x', 'y', 'z', and no row holds any of them \('"):
        imported({"A": "x", "B": "y", "C": "z"})
    warnings = load_training(spec, store, imported({"A": "A", "B": "B", "C": "D"}).candidate)[1].warnings
    assert any("Of input 'carrier' it does not know 'C', 'Cöl': 33.8%" in warning for warning in warnings)


def test_xgboost_with_categories_of_its_own(
    make_spec: Build, store: Store, dataset: str, elsewhere: pd.DataFrame, version: Build, tmp_path: Path
) -> None:
    import xgboost

    model = xgboost.XGBClassifier(n_estimators=9, n_jobs=1, enable_categorical=True)
    model.fit(as_categories(elsewhere), elsewhere["late"])
    model.save_model(tmp_path / "model.json")
    spec = make_spec()
    packaged, _, scorer = version(spec, import_model(spec, store, tmp_path / "model.json", dataset).candidate)
    expected = model.predict_proba(as_categories(elsewhere))[:, 1]
    assert answers(scorer, elsewhere) == pytest.approx(expected, abs=1e-6)
    assert packaged.engine == "compiled"
    evaluated, _ = load_evaluation(spec, store, packaged.evaluation)
    for page in (store.objects.get(digest).decode() for digest in (packaged.card, evaluated.report)):
        assert "held-out rows, which it may have been fitted on elsewhere" in page
        assert "never trained on" not in page


def test_boosters_end_with_the_best_round_and_are_compiled(
    make_spec: Build, store: Store, dataset: str, elsewhere: pd.DataFrame, version: Build, tmp_path: Path
) -> None:
    import xgboost

    model = xgboost.XGBRegressor(n_estimators=60, n_jobs=1, early_stopping_rounds=2, learning_rate=0.9)
    learnt, rest = elsewhere[:300], elsewhere[300:]
    model.fit(learnt[NUMBERS], learnt["delay"], eval_set=[(rest[NUMBERS], rest["delay"])], verbose=False)
    assert model.best_iteration + 1 < model.get_booster().num_boosted_rounds()
    model.save_model(tmp_path / "model.json")
    spec = make_spec(inputs=NUMBERS, **OF_DELAY)
    packaged, _, scorer = version(spec, import_model(spec, store, tmp_path / "model.json", dataset).candidate)
    assert packaged.engine == "compiled"
    assert answers(scorer, elsewhere, NUMBERS) == pytest.approx(model.predict(elsewhere[NUMBERS]), rel=1e-5)


@pytest.mark.parametrize("kind", ["cbm", "json"])
def test_catboost(
    make_spec: Build,
    store: Store,
    dataset: str,
    elsewhere: pd.DataFrame,
    candidate_answers: Build,
    tmp_path: Path,
    kind: str,
) -> None:
    catboost = pytest.importorskip("catboost")
    rows = elsewhere.assign(carrier=elsewhere["carrier"].fillna("nan"))
    model = catboost.CatBoostClassifier(
        iterations=9, cat_features=["carrier"], thread_count=1, verbose=0, allow_writing_files=False
    ).fit(rows[INPUTS], rows["band"])
    file = tmp_path / f"model.{kind}"
    model.save_model(str(file), format=kind)
    spec = make_spec(**OF_BANDS)
    imported = import_model(spec, store, file, dataset)
    expected = model.predict_proba(rows[INPUTS])
    assert candidate_answers(spec, imported, elsewhere) == pytest.approx(expected, abs=1e-9)

    file.write_bytes(file.read_bytes()[:-400])
    with pytest.raises(BundleError, match="damaged or cut off") as caught:
        import_model(spec, store, file, dataset)
    assert caught.value.code == "import_damaged"


def dumped(model: Any, file: Path) -> Path:
    skops.io.dump(model, file)
    return file


def test_a_pipeline_in_skops(
    make_spec: Build, store: Store, dataset: str, elsewhere: pd.DataFrame, version: Build, tmp_path: Path
) -> None:
    """Fitted on its inputs in another order; compiled, because only columns change places."""
    words = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore"))
    prepare = ColumnTransformer([("numbers", SimpleImputer(), NUMBERS), ("words", words, ["carrier"])])
    turned = elsewhere.assign(carrier=elsewhere["carrier"].astype(object).where(elsewhere["carrier"].notna(), np.nan))
    model = make_pipeline(prepare, LogisticRegression()).fit(turned[INPUTS[::-1]], elsewhere["late"])
    spec = make_spec()
    imported = import_model(spec, store, dumped(model, tmp_path / "model.skops"), dataset)
    packaged, bundle, scorer = version(spec, imported.candidate)
    known = elsewhere[elsewhere["carrier"].notna()]
    assert answers(scorer, known) == pytest.approx(model.predict_proba(known[INPUTS[::-1]])[:, 1], abs=1e-9)
    assert packaged.engine == "compiled", bundle.json("card.json")["serving"]


def test_a_threshold_of_its_own_is_told(
    make_spec: Build, store: Store, dataset: str, elsewhere: pd.DataFrame, tmp_path: Path
) -> None:
    hours = elsewhere[["hour"]].to_numpy()
    model = FixedThresholdClassifier(LogisticRegression(), threshold=0.9).fit(hours, elsewhere["late"])
    spec = make_spec(inputs=["hour"])
    imported = import_model(spec, store, dumped(model, tmp_path / "model.skops"), dataset)
    warnings = load_training(spec, store, imported.candidate)[1].warnings
    assert any("Its own predict names another label" in warning for warning in warnings)


def test_numbers_of_classes_in_place_of_labels(
    make_spec: Build, committed: Build, make_rows: Build, store: Store, tmp_path: Path
) -> None:
    """A model of 0 to 2 for data of 1 to 3 would answer each row with another class."""
    rows = make_rows(600, stars=np.repeat([1, 2, 3], 200))
    spec = make_spec(task="multiclass", target="stars", inputs=["hour"], evaluate={"metric": "log_loss"})
    dataset = committed(spec, rows).id
    hours, stars = rows.to_pandas()[["hour"]].astype(float), rows["stars"].to_numpy()
    for shift, text in ((-1, r"its labels are 0, 1, 2; 'stars' holds 1, 2, 3 here"), (1, "its labels are 2, 3, 4")):
        model = LogisticRegression().fit(hours, stars + shift)
        with pytest.raises(StageError, match=text) as caught:
            import_model(spec, store, dumped(model, tmp_path / "model.skops"), dataset)
        assert caught.value.code == "import_labels_differ"
    some = LogisticRegression().fit(hours[:400], stars[:400])
    imported = import_model(spec, store, dumped(some, tmp_path / "model.skops"), dataset)
    assert "The file knows no 3: its probability is 0." in load_training(spec, store, imported.candidate)[1].warnings


def test_of_two_labels_that_no_file_names_the_data_tells(
    make_spec: Build, committed: Build, make_rows: Build, store: Store, candidate_answers: Build, tmp_path: Path
) -> None:
    import lightgbm

    rows = make_rows(600)
    words = np.where(rows["late"].to_numpy(), "ja", "nein")
    rows = rows.append_column("churn", [words])
    spec = make_spec(target="churn", positive="ja", inputs=NUMBERS)
    frame = rows.to_pandas()[NUMBERS].astype(float)
    dataset = committed(spec, rows).id
    for fitted_on, share in (("ja", 1), ("nein", 0)):
        model = lightgbm.LGBMClassifier(n_estimators=20, verbose=-1, n_jobs=1).fit(frame, words == fitted_on)
        model.booster_.save_model(tmp_path / "model.txt")
        imported = import_model(spec, store, tmp_path / "model.txt", dataset)
        expected = model.predict_proba(frame)[:, share]
        assert candidate_answers(spec, imported, rows.to_pandas()) == pytest.approx(expected, abs=1e-9)


def test_labels_decide_which_column_is_which(
    make_spec: Build, store: Store, dataset: str, elsewhere: pd.DataFrame, candidate_answers: Build, tmp_path: Path
) -> None:
    bands = HistGradientBoostingClassifier(max_iter=5).fit(elsewhere[NUMBERS], elsewhere["band"])
    spec = make_spec(inputs=NUMBERS, **OF_BANDS)
    imported = import_model(spec, store, dumped(bands, tmp_path / "bands.skops"), dataset)
    assert load_training(spec, store, imported.candidate)[1].classes == ("far", "mid", "near")
    expected = bands.predict_proba(elsewhere[NUMBERS])
    assert candidate_answers(spec, imported, elsewhere) == pytest.approx(expected, abs=1e-9)

    # Fitted on an array of one column; the positive label is its first.
    hours = elsewhere[["hour"]].to_numpy()
    late = LogisticRegression().fit(hours, elsewhere["late"])
    spec = make_spec(inputs=["hour"], positive=False)
    imported = import_model(spec, store, dumped(late, tmp_path / "late.skops"), dataset)
    assert candidate_answers(spec, imported, elsewhere) == pytest.approx(late.predict_proba(hours)[:, 0])


def node(kind: str, inputs: list[str], outputs: list[str], domain: str = "", **attributes: Any) -> Any:
    return helper.make_node(kind, inputs, outputs, domain=domain, **attributes)


def graph(nodes: list[Any], inputs: list[Any], outputs: list[Any], weights: Any = (), **opsets: int) -> Any:
    domains = {"": 17, "ai.onnx.ml": 3} | {name.replace("_", "."): number for name, number in opsets.items()}
    whole = helper.make_graph(nodes, "model", inputs, outputs, list(weights))
    return helper.make_model(whole, opset_imports=[helper.make_opsetid(*one) for one in domains.items()], ir_version=8)


def column(name: str, kind: int = TensorProto.FLOAT, width: int | None = 1) -> Any:
    return helper.make_tensor_value_info(name, kind, [None, width])


def logistic(names: list[str], late: Any, labels: list[Any]) -> Any:
    """A graph that takes one column for each input and answers a mapping of label -> probability."""
    kind = "strings" if isinstance(labels[0], str) else "int64s"
    mapping = helper.make_map_type_proto(
        TensorProto.STRING if kind == "strings" else TensorProto.INT64,
        helper.make_tensor_type_proto(TensorProto.FLOAT, None),
    )
    weights = [*(-late.coef_[0]), *late.coef_[0]]
    linear = {"strings": "classlabels_strings", "int64s": "classlabels_ints"}[kind]
    nodes = [
        node("Concat", names, ["rows"], axis=1),
        node(
            "LinearClassifier",
            ["rows"],
            ["label", "scores"],
            "ai.onnx.ml",
            coefficients=list(map(float, weights)),
            intercepts=[float(-late.intercept_[0]), float(late.intercept_[0])],
            post_transform="LOGISTIC",
            **{linear: labels},
        ),
        node("ZipMap", ["scores"], ["probabilities"], "ai.onnx.ml", **{f"classlabels_{kind}": labels}),
    ]
    outputs = [
        helper.make_tensor_value_info("label", TensorProto.STRING if kind == "strings" else TensorProto.INT64, [None]),
        helper.make_value_info("probabilities", helper.make_sequence_type_proto(mapping)),
    ]
    return graph(nodes, [column(name) for name in names], outputs)


def test_onnx_with_named_inputs_and_labels(
    make_spec: Build, store: Store, dataset: str, elsewhere: pd.DataFrame, version: Build, tmp_path: Path
) -> None:
    filled = elsewhere.assign(distance=elsewhere["distance"].fillna(0.0))
    names = NUMBERS[::-1]
    late = LogisticRegression().fit(filled[names].to_numpy(), filled["late"])
    filling = [
        node("IsNaN", ["distance"], ["gone"]),
        node("Where", ["gone", "zero", "distance"], ["filled"]),
    ]
    model = logistic(names, late, [0, 1])
    model.graph.node[0].input[1] = "filled"
    for place, one in enumerate(filling):
        model.graph.node.insert(place, one)
    model.graph.initializer.append(helper.make_tensor("zero", TensorProto.FLOAT, [1], [0.0]))
    onnx.save(model, tmp_path / "model.onnx")
    spec = make_spec(inputs=NUMBERS)
    imported = import_model(spec, store, tmp_path / "model.onnx", dataset)
    packaged, bundle, scorer = version(spec, imported.candidate)
    expected = late.predict_proba(filled[names].to_numpy())[:, 1]
    assert answers(scorer, elsewhere, NUMBERS) == pytest.approx(expected, abs=1e-5)
    assert packaged.engine == "sklearn"
    assert "OnnxModel is no model that is compiled" in bundle.json("card.json")["serving"]["reason"]


def test_onnx_of_one_matrix(
    make_spec: Build, store: Store, dataset: str, elsewhere: pd.DataFrame, candidate_answers: Build, tmp_path: Path
) -> None:
    """Without names the order of the model file is taken, and that is said."""
    filled = elsewhere[["hour", "id"]].astype(float)
    line = LinearRegression().fit(filled, elsewhere["delay"])
    weights = [
        helper.make_tensor("by", TensorProto.DOUBLE, [2, 1], line.coef_),
        helper.make_tensor("base", TensorProto.DOUBLE, [1], [line.intercept_]),
    ]
    nodes = [node("MatMul", ["rows", "by"], ["sum"]), node("Add", ["sum", "base"], ["answer"])]
    model = graph(nodes, [column("rows", TensorProto.DOUBLE, 2)], [column("answer", TensorProto.DOUBLE)], weights)
    onnx.save(model, tmp_path / "line.onnx")
    spec = make_spec(inputs=["hour", "id"], **OF_DELAY)
    imported = import_model(spec, store, tmp_path / "line.onnx", dataset)
    assert candidate_answers(spec, imported, filled) == pytest.approx(line.predict(filled), abs=1e-8)
    warnings = load_training(spec, store, imported.candidate)[1].warnings
    assert "The file names no inputs; they are taken in the order of the model file: 'hour', 'id'." in warnings


MLMODEL = """
artifact_path: model
flavors:
  python_function: {env: conda.yaml, loader_module: mlflow.lightgbm, python_version: 3.11.9}
  lightgbm: {data: FILE, lgb_version: 4.7.0, model_class: lightgbm.basic.Booster}
mlflow_version: 2.22.0
signature:
  inputs: '[{"type": "double", "name": "hour"}, {"type": "double", "name": "distance"}]'
  outputs: '[{"type": "double"}]'
utc_time_created: '2026-01-01 00:00:00.000000'
"""


def test_a_folder_of_mlflow(
    make_spec: Build, store: Store, dataset: str, elsewhere: pd.DataFrame, candidate_answers: Build, tmp_path: Path
) -> None:
    """The names come from the signature where the file has none; nothing of MLflow is needed."""
    import lightgbm

    turned = elsewhere[NUMBERS[::-1]].to_numpy()
    model = lightgbm.LGBMRegressor(n_estimators=5, verbose=-1, n_jobs=1).fit(turned, elsewhere["delay"])
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "MLmodel").write_text(MLMODEL.replace("FILE", "model.lgb"))
    model.booster_.save_model(folder / "model.lgb")
    spec = make_spec(inputs=NUMBERS, **OF_DELAY)
    imported = import_model(spec, store, folder, dataset)
    expected = model.booster_.predict(turned)
    assert candidate_answers(spec, imported, elsewhere) == pytest.approx(expected, abs=1e-9)

    for file, word in (("../model.lgb", "lies outside"), ("gone.lgb", "is not there")):
        (folder / "MLmodel").write_text(MLMODEL.replace("FILE", file))
        (tmp_path / "model.lgb").write_text("tree")
        with pytest.raises(BundleError, match=word):
            import_model(spec, store, folder, dataset)
    pickled = MLMODEL.replace("lightgbm: {data: FILE,", "sklearn: {pickled_model: model.pkl,")
    (folder / "MLmodel").write_text(pickled)
    (folder / "model.pkl").write_bytes(b"\x80\x04.")
    with pytest.raises(BundleError, match=r"only the pickle 'model.pkl'.*skops.io.dump") as caught:
        import_model(spec, store, folder, dataset)
    assert caught.value.code == "mlflow_unusable"
    (folder / "MLmodel").write_text("flavors: {keras: {data: model.keras}}")
    with pytest.raises(BundleError, match="has the flavors 'keras'; import one of onnx, lightgbm"):
        import_model(spec, store, folder, dataset)


def test_an_imported_champion_in_front_of_a_trained_challenger(
    make_spec: Build, store: Store, dataset: str, elsewhere: pd.DataFrame, version: Build, tmp_path: Path
) -> None:
    line = LogisticRegression().fit(elsewhere[["hour"]], elsewhere["late"])
    spec = make_spec(inputs=["hour"], deploy={"target": {"type": "local"}})
    imported = import_model(spec, store, dumped(line, tmp_path / "line.skops"), dataset, reason="It serves already.")
    packaged, _, _ = version(spec, imported.candidate)
    assert gate(spec, store, packaged.version).passed
    deploy(spec, store, packaged.version, endpoint="", how="steps")
    assert store.ledger.state().model(spec.name).champion == packaged.version

    challenger = train(spec, store, dataset)
    judged = evaluate(spec, store, challenger.candidate)
    comparison = load_evaluation(spec, store, judged.run)[1].comparison
    assert comparison is not None
    assert comparison.version == packaged.version
    assert "The champion was fitted elsewhere" in comparison.note
    events = [event_sentence(event) for event in store.ledger.state().model(spec.name).events]
    assert "A candidate was imported from line.skops: It serves already." in " ".join(events)
