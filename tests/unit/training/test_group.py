"""Rows of one group stand on one side of the split; what stands on both sides, or tells the target alone, is said."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from itertools import count
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slipstream.errors import DataError
from slipstream.evaluation.record import load_evaluation
from slipstream.spec.model import ModelSpec
from slipstream.stages.evaluate import evaluate
from slipstream.stages.train import train
from slipstream.store import Store
from slipstream.training.candidate import load_training
from slipstream.training.split import split

MakeSpec = Callable[..., ModelSpec]
NUMBERS = count()
FOREST = {"type": "sklearn", "estimator": "sklearn.ensemble.RandomForestRegressor"}


def panel(people: int = 150, years: int = 8) -> pa.Table:
    """Wages of people over years: what a person earns depends on the person, hardly on the inputs."""
    random = np.random.default_rng(3)
    talent, school = random.normal(size=people), random.uniform(8, 18, people)
    rows = [(person, year) for person in range(people) for year in range(1980, 1980 + years)]
    who = np.array([person for person, _ in rows])
    wage = 1.5 * talent[who] + 0.05 * school[who] + random.normal(size=len(rows)) * 0.3
    at = pa.array([dt.datetime(year, 6, 1) for _, year in rows], pa.timestamp("us"))  # noqa: DTZ001
    columns = {"person": who, "year": [year for _, year in rows], "at": at, "school": school[who]}
    return pa.table(columns | {"height": random.normal(size=people)[who], "wage": wage})


def spec_of(make_spec: MakeSpec, **keys: Any) -> ModelSpec:
    data = {"source": {"type": "files", "path": "*.csv"}, "key": ["person", "year"], **keys.pop("data", {})}
    said = {"task": "regression", "target": "wage", "inputs": ["school", "height"], "data": data}
    return make_spec(**said, train={"trainer": FOREST, **keys}, evaluate={"metric": "r2", "bootstrap": 20})


def test_a_key_that_repeats_an_entity_is_told_and_grouping_mends_it(
    store: Store, make_spec: MakeSpec, committed: Any
) -> None:
    plain = spec_of(make_spec)
    dataset = committed(plain, panel()).id
    trained = train(plain, store, dataset)
    _, training = load_training(plain, store, trained.candidate)
    assert "of 'person' stand among the training rows too" in training.warnings[0]
    assert "train.group: person" in training.warnings[0]
    flattered = evaluate(plain, store, trained.candidate)
    _, found = load_evaluation(plain, store, flattered.run)
    assert found.warnings == training.warnings
    assert "by the digest of person, year" in found.split

    grouped = spec_of(make_spec, group="person")
    trained = train(grouped, store, dataset)
    _, training = load_training(grouped, store, trained.candidate)
    assert training.warnings == ()
    honest = evaluate(grouped, store, trained.candidate)
    assert honest.scores["r2"] < flattered.scores["r2"] - 0.2


@pytest.mark.parametrize("time", [False, True])
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(people=st.integers(25, 60), years=st.integers(2, 6), share=st.sampled_from([0.2, 0.4]))
def test_no_group_stands_on_both_sides(
    time: bool, people: int, years: int, share: float, store: Store, make_spec: MakeSpec, committed: Any
) -> None:
    spec = spec_of(make_spec, group=["person"], holdout=share, data={"time": "at"} if time else {})
    spec = spec.model_copy(update={"name": f"panel-{next(NUMBERS)}"})  # a table of its own
    dataset = committed(spec, panel(people, years)).id
    cut = split(spec, store, dataset)
    train_rows, held = cut.frame("train"), cut.frame("holdout")
    assert not set(train_rows["person"]) & set(held["person"])
    counts = cut.counts()
    assert counts.train + counts.holdout + counts.unlabelled + counts.outside == cut.dataset.rows
    assert counts.outside == 0 or time
    if time:
        assert train_rows["at"].max() < held["at"].min()
    assert split(spec, store, dataset).frame("holdout").equals(held)


def test_a_group_that_is_not_there_is_named(store: Store, make_spec: MakeSpec, committed: Any) -> None:
    spec = spec_of(make_spec, group="persn")
    with pytest.raises(DataError, match="no column 'persn'; did you mean 'person'"):
        train(spec, store, committed(spec, panel(20)).id)


LEAKS: dict[str, tuple[str, Callable[[Any, Any], Any]]] = {
    "a copy": ("late", lambda late, random: late.astype(np.int64)),
    "a word": ("late", lambda late, random: np.where(late, "refunded", "kept")),
    "a number that is known afterwards": ("late", lambda late, random: late * 30.0 + random.normal(size=len(late))),
    "missing unless it happened": ("late", lambda late, random: np.where(late, random.normal(size=len(late)), np.nan)),
}


@pytest.mark.parametrize("case", LEAKS)
def test_an_input_that_tells_the_target_alone_is_named(
    case: str, store: Store, make_spec: MakeSpec, committed: Any, make_rows: Any
) -> None:
    target, made = LEAKS[case]
    rows = make_rows(900)
    told = made(rows["late"].to_numpy(zero_copy_only=False), np.random.default_rng(0))
    spec = make_spec(target=target, inputs=["distance", "hour", "carrier", "told"])
    trained = train(spec, store, committed(spec, rows.append_column("told", pa.array(told, from_pandas=True))).id)
    _, found = load_evaluation(spec, store, evaluate(spec, store, trained.candidate).run)
    assert [warning.partition(" alone")[0] for warning in found.warnings] == ["Input 'told'"]
    page = store.objects.get(evaluate(spec, store, trained.candidate).report).decode()
    assert "alone tells" in page


def test_an_honest_model_is_not_suspected(store: Store, make_spec: MakeSpec, committed: Any, make_rows: Any) -> None:
    spec = make_spec()
    trained = train(spec, store, committed(spec, make_rows(900)).id)
    _, found = load_evaluation(spec, store, evaluate(spec, store, trained.candidate).run)
    assert found.warnings == ()
