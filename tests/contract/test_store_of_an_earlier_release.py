"""A store that release 0.1 made is read as it was, goes on, and equal runs have the ids that they had."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from slipstream.bundle.bundle import open_bundle
from slipstream.bundle.scorer import load_scorer
from slipstream.commands.history import history
from slipstream.commands.verify.check import verify
from slipstream.ground_truth.served_quality import served_quality
from slipstream.rollout.production_periods import production_periods
from slipstream.spec.loader import load_spec
from slipstream.spec.model import ModelSpec
from slipstream.stages.deploy import deploy, roll_back
from slipstream.stages.explain import explain
from slipstream.stages.join import join
from slipstream.stages.monitor import monitor
from slipstream.stages.replay import replay
from slipstream.stages.train import train
from slipstream.store import Store
from slipstream.store.predictions import find_predictions

ARCHIVE = Path(__file__).parents[1] / "data" / "store_0_1.tar.xz"
MODEL = "flights_old"


@pytest.fixture
def old(tmp_path: Path) -> tuple[ModelSpec, Store]:
    """The model project and the store, unpacked."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    return load_spec(tmp_path / "models" / MODEL), Store.open((tmp_path / "store").as_uri())


def test_is_sound_and_tells_its_story(old: tuple[ModelSpec, Store]) -> None:
    spec, store = old
    assert verify(store).findings == ()
    state = store.ledger.state().model(MODEL)
    assert (state.champion, sorted(state.versions)) == (2, [1, 2])
    sentences = [entry.text for entry in history(spec, store)]
    assert sum(one.startswith("Version 2 took over from version 1") for one in sentences) == 1
    assert {term.version for term in production_periods(spec, store)} == {1, 2}


def test_its_bundles_answer(old: tuple[ModelSpec, Store]) -> None:
    _, store = old
    for number, event in store.ledger.state().model(MODEL).versions.items():
        bundle = open_bundle(store, str(event.data["result"]["bundle"]))
        load_scorer(bundle).check_golden()
        assert bundle.model == MODEL, number


def test_equal_runs_are_found_again(old: tuple[ModelSpec, Store]) -> None:
    spec, store = old
    candidate = str(store.ledger.state().model(MODEL).versions[2].data["result"]["candidate"])
    trained = train(spec, store, store.ledger.state().model(MODEL).dataset)
    assert (trained.candidate, trained.reused) == (candidate, True)
    assert explain(spec, store, candidate).reused


def test_its_predictions_have_their_roles(old: tuple[ModelSpec, Store]) -> None:
    spec, store = old
    files, _ = store.tables.sound(MODEL, "predictions")
    assert len(files) == 7
    joined = join(spec, store)
    assert joined.predictions > 0
    assert served_quality(spec, store, 1, role="challenger") is None
    assert monitor(spec, store).verdict


def test_it_goes_on(old: tuple[ModelSpec, Store]) -> None:
    spec, store = old
    local = spec.deploy.model_copy(update={"target": {"type": "local"}})
    spec = spec.model_copy(update={"deploy": local}).at(spec.folder)
    assert roll_back(spec, store, endpoint="").version == 1
    assert deploy(spec, store, 2, endpoint="").previous == 1
    assert replay(spec, store, 2).version == 2
    assert find_predictions(store.tables, MODEL, ["0" * 32]) == ({}, ())
    assert verify(store).findings == ()
