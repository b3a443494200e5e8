"""LightGBM, XGBoost and CatBoost through the front door: trained, evaluated, explained, packaged, asked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from slipstream.bundle import skops_file
from slipstream.bundle.bundle import open_bundle
from slipstream.bundle.scorer import Answers, Scorer, load_scorer
from slipstream.bundle.sklearn_engine import SklearnEngine
from slipstream.errors import BackendError, SlipstreamError, SpecError, StageError
from slipstream.slots import TRAINER, Slot
from slipstream.spec.model import ModelSpec
from slipstream.stages.evaluate import evaluate
from slipstream.stages.explain import explain
from slipstream.stages.package import package
from slipstream.stages.train import train
from slipstream.store import Store
from slipstream.testing import TRAINER_CHECKS, TrainerCase
from slipstream.trainers import threads

BOOSTERS = ("lightgbm", "xgboost", "catboost")
ROUNDS = {"lightgbm": "n_estimators", "xgboost": "n_estimators", "catboost": "iterations"}
CATEGORIES = {"lightgbm": "categorical_feature", "xgboost": "categorical_features", "catboost": "cat_features"}
WEIGHTS = {"lightgbm": "class_weight", "xgboost": "class_weight", "catboost": "class_weights"}
ONE_HOT = {"catboost": {"one_hot_max_size": 50}}
TARGETS = {"binary": "dear", "multiclass": "kind", "regression": "demand"}
METRICS = {"binary": "roc_auc", "multiclass": "log_loss", "regression": "rmse"}
ROWS = 1000
CITIES = ("never", "nor this", "a", "b")

Build = Callable[..., tuple[Scorer, Scorer, Any]]


def rows() -> pa.Table:
    """A table with words, dates, a number whose values are categories, and missing values."""
    random = np.random.default_rng(2)
    city = random.choice(["a", "b", "c", "d"], ROWS)
    price, age, zone = random.uniform(0, 10, ROWS), random.uniform(0, 10, ROWS), random.integers(0, 12, ROWS)
    demand = 50 - 3 * price + 4 * np.sin(2 * price) + 2 * age + 5 * (city == "a") + 9 * (zone % 2)
    day = np.datetime64("2024-01-01T00", "us") + np.arange(ROWS) * np.timedelta64(1, "h")
    return pa.table(
        {
            "id": range(ROWS),
            "city": pa.array(city, mask=random.random(ROWS) < 0.05),
            "price": pa.array(price, mask=random.random(ROWS) < 0.05),
            "age": age,
            "zone": zone,
            "due": pa.array([f"2024-0{month}-11" for month in random.integers(1, 10, ROWS)]),
            "day": pa.array(day),
            "customer": zone + 12 * random.integers(0, 5, ROWS),
            "demand": demand,
            "dear": demand > 55,
            "kind": np.array(["high", "low", "mid"])[np.digitize(demand, [45, 60]) - 1],
        }
    )


def few(word: str, rounds: int = 15, **more: Any) -> dict[str, Any]:
    """A small booster."""
    return {"type": word, "parameters": {ROUNDS[word]: rounds, **more}}


@pytest.fixture
def make(make_spec: Callable[..., ModelSpec]) -> Callable[..., ModelSpec]:
    """``make(trainer, task)``: a model of :func:`rows`."""

    def making(trainer: dict[str, Any], task: str = "regression", **keys: Any) -> ModelSpec:
        said: dict[str, Any] = {
            "task": task,
            "target": TARGETS[task],
            "inputs": ["city", "price", "age", "zone", "due"],
        }
        said["evaluate"] = {"metric": METRICS[task], "bootstrap": 20}
        said["data"] = {"source": {"type": "files", "path": "*.csv"}, "key": ["id"]} | keys.pop("data", {})
        said["train"] = {"trainer": trainer} | keys.pop("train", {})
        return make_spec(**said | keys)

    return making


@pytest.fixture
def build(store: Store, make: Callable[..., ModelSpec], committed: Any, tmp_path: Path) -> Build:
    """``build(trainer, task)``: the scorer of the packaged model, the fitted model's own answers, and the model."""

    def building(trainer: dict[str, Any], task: str = "regression", **keys: Any) -> tuple[Scorer, Scorer, Any]:
        spec = make(trainer, task, **keys)
        trained = train(spec, store, committed(spec, rows()).id)
        runs = evaluate(spec, store, trained.candidate).run, explain(spec, store, trained.candidate).run
        made = package(spec, store, trained.candidate, *runs, keys=tmp_path / "keys", bentos=tmp_path / "bentos")
        scorer = load_scorer(open_bundle(store, made.bundle))
        model = skops_file.load(store.objects.get(trained.model))
        return scorer, Scorer(scorer.schema, (), SklearnEngine(scorer.schema, model)), model

    return building


def asked(scorer: Scorer, **columns: Any) -> Answers:
    count = max(len(values) for values in columns.values() if isinstance(values, list))
    plain = {"city": "b", "price": 5.0, "age": 5.0, "zone": 3, "due": "2024-02-11"} | columns
    return scorer.predict(
        {name: value if isinstance(value, list) else [value] * count for name, value in plain.items()}
    )


@pytest.mark.parametrize("check", TRAINER_CHECKS)
@pytest.mark.parametrize("word", BOOSTERS)
def test_each_keeps_what_a_trainer_promises(check: Callable[[TrainerCase], None], word: str) -> None:
    check(TrainerCase(few(word, 5)))


@pytest.mark.parametrize("task", TARGETS)
@pytest.mark.parametrize("word", BOOSTERS)
def test_each_serves_compiled_with_words_dates_and_categories(word: str, task: str, build: Build) -> None:
    trainer = few(word, **{CATEGORIES[word]: ["zone"], **ONE_HOT.get(word, {})})
    scorer, plain, _ = build(trainer, task)
    assert scorer.engine_name == "compiled"
    odd = {"city": ["a", None, "never", ""] * 3, "zone": [*range(8), 99, -3, None, 11], "price": [None, 1.0, 9.0] * 4}
    ours, theirs = asked(scorer, **odd), asked(plain, **odd)
    if task == "multiclass":
        assert ours.predictions == theirs.predictions
        np.testing.assert_allclose(np.array(ours.probabilities), np.array(theirs.probabilities), atol=1e-6)
    else:
        assert ours.predictions == pytest.approx(theirs.predictions, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("word", BOOSTERS)
def test_an_input_named_as_categories_is_no_scale(word: str, build: Build) -> None:
    scorer, _, _ = build(few(word, 60, **{CATEGORIES[word]: ["zone"]}))
    by_zone = asked(scorer, zone=list(range(12))).predictions
    assert min(by_zone[1::2]) > max(by_zone[0::2])  # every second one is dearer


@pytest.mark.parametrize("word", BOOSTERS)
def test_words_not_seen_in_training_are_all_alike(word: str, build: Build) -> None:
    scorer, _, _ = build(few(word, 40))
    prices = np.linspace(0, 10, 40).tolist()
    never, other, dear, cheap = (asked(scorer, city=city, price=prices).predictions for city in CITIES)
    assert never == other
    assert np.mean(dear) > np.mean(cheap) + 0.5


def test_catboosts_statistics_of_categories_are_served_by_catboost(build: Build, store: Store) -> None:
    scorer, plain, _ = build(few("catboost"))
    assert scorer.engine_name == "sklearn"
    assert asked(scorer, city=["a", None]).predictions == asked(plain, city=["a", None]).predictions


@pytest.mark.parametrize("signs", [{"price": -1}, [0, -1, 0, 0, 0]])
@pytest.mark.parametrize("word", BOOSTERS)
def test_a_constraint_holds_for_the_input_that_it_names(word: str, signs: Any, build: Build) -> None:
    scorer, _, _ = build(few(word, 60, monotone_constraints=signs))
    prices = np.linspace(0.1, 9.9, 60).tolist()
    for city in ("a", "b", None):
        assert np.diff(asked(scorer, price=prices, city=city).predictions).max() <= 1e-9


def test_without_it_prices_rise(build: Build) -> None:
    scorer, _, _ = build(few("lightgbm", 60))
    assert np.diff(asked(scorer, price=np.linspace(0.1, 9.9, 60).tolist()).predictions).max() > 1


@pytest.mark.parametrize("groups", [[["price"], ["city", "age", "zone", "due"]], [["price"]], [[1]]])
@pytest.mark.parametrize("word", ["lightgbm", "xgboost"])
def test_inputs_that_may_not_act_together_add_up(word: str, groups: Any, build: Build) -> None:
    scorer, _, _ = build(few(word, 30, interaction_constraints=groups))
    told = asked(scorer, price=[1.0, 9.0, 1.0, 9.0], age=[1.0, 1.0, 9.0, 9.0]).predictions
    assert told[1] - told[0] == pytest.approx(told[3] - told[2], abs=1e-4)
    assert abs(told[2] - told[0]) > 1  # what no group names still counts


@pytest.mark.parametrize("word", BOOSTERS)
def test_class_weights_take_labels(word: str, build: Build) -> None:
    plain, _, _ = build(few(word), "binary")
    heavy, _, _ = build(few(word, **{WEIGHTS[word]: {"true": 20}}), "binary", name="heavy")
    prices = np.linspace(0, 10, 40).tolist()
    chance, more = (np.mean(asked(scorer, price=prices, zone=4).probabilities or []) for scorer in (plain, heavy))
    assert more > chance + 0.05


@pytest.mark.parametrize("word", BOOSTERS)
def test_early_stopping_keeps_the_rounds_and_learns_of_all_rows(word: str, build: Build) -> None:
    trainer = {**few(word, 800, learning_rate=0.3), "early_stopping": {"rounds": 5}}
    _, _, model = build(trainer)
    rounds = model[-1].get_params()[ROUNDS[word]]
    assert 5 < rounds < 800
    _, _, fixed = build(few(word, rounds, learning_rate=0.3), name="fixed")
    frame = rows().to_pandas()
    assert model.predict(frame).tolist() == fixed.predict(frame).tolist()


def test_the_rows_that_say_when_to_stop_are_the_newest_of_the_training_rows(
    make: Callable[..., ModelSpec], store: Store, committed: Any
) -> None:
    """Labels that turned into noise in the newest training rows stop it at once; turned in the held-out rows, never."""
    table = rows()
    noise = np.random.default_rng(0).normal(size=ROWS) * 40
    trainer = {**few("lightgbm", 300), "early_stopping": {"rounds": 10, "share": 0.2}}
    rounds = {}
    for name, where in {"newest": (640, 800), "held out": (800, 1000), "none": (0, 0)}.items():
        demand = table["demand"].to_numpy().copy()
        demand[slice(*where)] = noise[slice(*where)]
        spec = make(trainer, name=name.replace(" ", "_"), data={"time": "day"})
        changed = table.set_column(table.column_names.index("demand"), "demand", pa.array(demand))
        model = skops_file.load(store.objects.get(train(spec, store, committed(spec, changed).id).model))
        rounds[name] = model[-1].n_estimators
    assert rounds["newest"] < rounds["none"] / 3
    assert rounds["held out"] == rounds["none"]


def test_a_group_is_fitted_or_watched_never_both(make: Callable[..., ModelSpec]) -> None:
    from slipstream.training.aside import rows_aside

    frame = rows().to_pandas()
    frame.loc[::50, "customer"] = np.nan
    fitted, watched = rows_aside(make(few("lightgbm"), train={"group": ["customer"]}), frame, 0.3)
    groups = frame["customer"].fillna(-1)
    assert not set(groups[fitted]) & set(groups[watched])
    assert 0.1 < watched.mean() < 0.5
    assert (fitted ^ watched).all()


def test_a_gap_lies_between_fitted_and_watched(make: Callable[..., ModelSpec]) -> None:
    from slipstream.training.aside import rows_aside

    frame = rows().to_pandas()
    spec = make(few("lightgbm"), data={"time": "day"}, train={"gap": "2d"})
    fitted, watched = rows_aside(spec, frame, 0.1)
    assert watched.sum() == pytest.approx(ROWS * 0.1, abs=1)
    assert frame["day"][watched].min() - frame["day"][fitted].max() > pd.Timedelta("2d")


def test_no_rows_to_watch_are_refused(make: Callable[..., ModelSpec], store: Store, committed: Any) -> None:
    spec = make({**few("lightgbm"), "early_stopping": {"rounds": 3, "share": 0.00001}}, train={"group": ["customer"]})
    with pytest.raises(SlipstreamError, match="give early_stopping another share"):
        train(spec, store, committed(spec, rows()).id)


@pytest.mark.parametrize("word", BOOSTERS)
def test_the_number_of_threads_changes_no_byte(
    word: str, make: Callable[..., ModelSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = rows().to_pandas()[["city", "price", "age", "zone", "due", "demand"]]
    frame["city"] = frame["city"].astype(object).where(frame["city"].notna(), None)
    frame["zone"] = frame["zone"].astype(float)
    trainer = {**few(word, 5, **{CATEGORIES[word]: ["zone"]}), "early_stopping": {"rounds": 2}}
    spec, digests = make(trainer), []
    for cells in (threads.CELLS_PER_THREAD, 100):
        monkeypatch.setattr(threads, "CELLS_PER_THREAD", cells)
        monkeypatch.setattr("joblib.cpu_count", lambda: 2)
        digests.append(hashlib.sha256(skops_file.dump(TRAINER.build(trainer).fit(spec, frame, 7))).hexdigest())
    assert digests[0] == digests[1]


def test_nothing_of_machine_or_hour_stays_wherever_a_booster_stands() -> None:
    """A booster inside a member of an ensemble of someone's own pipeline."""
    import catboost
    import lightgbm
    import xgboost
    from sklearn.ensemble import VotingRegressor
    from sklearn.pipeline import Pipeline

    from slipstream.trainers.traces import forget_traces

    random = np.random.default_rng(0)
    table, target = random.normal(size=(300, 3)), random.normal(size=300)
    digests = []
    for count in (1, 2):
        members = [
            ("l", lightgbm.LGBMRegressor(n_estimators=3, verbose=-1, deterministic=True, force_col_wise=True)),
            ("x", Pipeline([("x", xgboost.XGBRegressor(n_estimators=3))])),
            ("c", catboost.CatBoostRegressor(iterations=3, verbose=0, allow_writing_files=False)),
        ]
        voting = VotingRegressor(members)
        voting.set_params(l__n_jobs=count, x__x__n_jobs=count, c__thread_count=count)
        voting.fit(table, target)
        before = voting.predict(table)
        forget_traces(voting)
        assert voting.predict(table) == pytest.approx(before)
        models = [member[-1] if isinstance(member, Pipeline) else member for member in voting.estimators_]
        for model in models[:2]:
            model.set_params(n_jobs=1)  # the author's own word, which stays
        digests.append([hashlib.sha256(skops_file.dump(model)).hexdigest() for model in models])
    assert digests[0] == digests[1]


WRONG: dict[str, tuple[str, dict[str, Any], str]] = {
    "unknown": ("lightgbm", {"num_leafs": 3}, "did you mean 'num_leaves'?"),
    "alias": ("lightgbm", {"num_iterations": 3}, "write 'n_estimators'"),
    "alias of xgboost": ("xgboost", {"eta": 0.1}, "write 'learning_rate'"),
    "alias of catboost": ("catboost", {"n_estimators": 3}, "write 'iterations'"),
    "threads": ("lightgbm", {"num_threads": 3}, "threads are the installation's to say"),
    "seed": ("catboost", {"random_seed": 3}, "set train.seed instead"),
    "stopping": ("xgboost", {"early_stopping_rounds": 3}, "write early_stopping: {rounds: 50}"),
    "device": ("xgboost", {"device": "cuda"}, "trained on processors"),
    "positions": ("catboost", {"ignored_features": [1]}, "it counts prepared columns"),
    "weights": ("catboost", {"auto_class_weights": "Balanced"}, "it weighs classes, and a regression has none"),
    "kind": ("lightgbm", {"num_leaves": "many"}, "expected a whole number"),
    "no input": (
        "xgboost",
        {"monotone_constraints": {"prise": 1}},
        "no input is called 'prise'; did you mean 'price'?",
    ),
    "no group": ("lightgbm", {"interaction_constraints": [["prise"]]}, "did you mean 'price'?"),
    "no category": ("catboost", {"cat_features": ["zones"]}, "did you mean 'zone'?"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_model_file_with_a_wrong_parameter_is_refused(case: str, make: Callable[..., ModelSpec]) -> None:
    word, parameters, said = WRONG[case]
    with pytest.raises(SpecError) as refused:
        make({"type": word, "parameters": parameters})
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("stopping", "said"),
    [
        ({"round": 3}, "needs 'rounds'"),
        ({"rounds": 0}, "of at least 1"),
        ({"rounds": 3, "share": 0.9}, "a number above 0 and of at most 0.5"),
        ({"rounds": 3, "shares": 0.1}, "did you mean 'share'?"),
    ],
)
def test_early_stopping_is_checked(stopping: dict[str, Any], said: str, make: Callable[..., ModelSpec]) -> None:
    with pytest.raises(SpecError) as refused:
        make({"type": "lightgbm", "early_stopping": stopping})
    assert said in str(refused.value)


POINTS_NOWHERE: dict[str, tuple[dict[str, Any], str]] = {
    "a word": ({"monotone_constraints": {"city": 1}}, "input 'city' is no number"),
    "sign and categories": (
        {"monotone_constraints": {"zone": 1}, "categorical_feature": ["zone"]},
        "input 'zone' stands in categorical_feature too",
    ),
    "too short": ({"monotone_constraints": [1]}, "1 entries; write {input: 1 or -1}, or a list of 5"),
    "no position": ({"categorical_feature": [7]}, "7 is no position among the 5 inputs"),
    "no label": ({"class_weight": {"maybe": 2}}, "'maybe' is no label of 'dear'"),
}


@pytest.mark.parametrize("case", POINTS_NOWHERE)
def test_what_points_nowhere_is_a_spec_error(
    case: str, make: Callable[..., ModelSpec], store: Store, committed: Any
) -> None:
    parameters, said = POINTS_NOWHERE[case]
    spec = make(few("lightgbm", **parameters), "binary")
    with pytest.raises(SpecError) as refused:
        train(spec, store, committed(spec, rows()).id)
    assert refused.value.code == "spec_parameter_invalid"
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("word", "parameters"),
    [
        ("lightgbm", {"objective": "nonsense"}),
        ("xgboost", {"objective": "reg:nonsense"}),
        ("catboost", {"loss_function": "Nonsense"}),
    ],
)
def test_what_a_library_refuses_ends_the_stage_with_its_words(
    word: str, parameters: dict[str, Any], make: Callable[..., ModelSpec], store: Store, committed: Any
) -> None:
    spec = make(few(word, **parameters))
    with pytest.raises(StageError) as refused:
        train(spec, store, committed(spec, rows()).id)
    assert refused.value.code == "training_failed"
    assert "onsense" in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("task", TARGETS)
@pytest.mark.parametrize("word", BOOSTERS)
def test_shap_values_add_up(word: str, task: str, make: Callable[..., ModelSpec], store: Store, committed: Any) -> None:
    pytest.importorskip("shap")
    spec = make(few(word), task, explain={"type": "shap", "rows": 60})
    trained = train(spec, store, committed(spec, rows()).id)
    found = json.loads(store.objects.get(explain(spec, store, trained.candidate).details))
    importance = dict(found["importance"])
    assert set(importance) == set(spec.inputs)
    assert next(iter(importance)) in {"price", "age", "zone"}
    case = found["cases"][0]
    total = case["base"] + sum(case["effects"].values())
    if task == "regression":
        assert total == pytest.approx(case["prediction"], rel=1e-5)
    if task == "binary":
        assert 1 / (1 + np.exp(-total)) == pytest.approx(case["prediction"], rel=1e-5)
    scales = {"binary": "log-odds", "regression": "demand", "multiclass": "score of the likeliest class"}
    assert found["scale"] == scales[task]


def test_a_booster_that_is_not_installed_says_how() -> None:
    slot: Slot[Any] = Slot(
        "trainer", object, {"nothing": "nowhere:Nothing"}, {"nothing": ("boosting", "no_such_module")}
    )
    with pytest.raises(BackendError, match=r"pip install --require-hashes -r requirements-boosting\.txt"):
        slot.build({"type": "nothing"})
