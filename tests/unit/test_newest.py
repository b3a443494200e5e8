"""What is taken where nobody names an id, and what is said where there is nothing to take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from slipstream.errors import NotFound, StageError
from slipstream.newest import champion_of, newest_batch, newest_dataset, newest_run, newest_version
from slipstream.spec.model import ModelSpec
from slipstream.store import Store


def test_the_newest_of_each(store: Store, make_spec: Any) -> None:
    spec = make_spec()
    for number in ("1", "2"):
        for kind, payload in (
            ("run.finished", {"stage": "ingest", "run": f"ingest-{number}", "result": {"batch": f"b{number}"}}),
            ("dataset.committed", {"dataset": f"d{number}", "watermark": number}),
            ("run.finished", {"stage": "train", "run": f"train-{number}"}),
            ("version.registered", {"stage": "package", "result": {"bundle": f"bundle{number}"}}),
        ):
            store.ledger.append(kind, spec.name, payload)
    store.ledger.append("run.finished", "other", {"stage": "train", "run": "train-3"})
    assert (newest_batch(store, spec), newest_dataset(store, spec)) == ("b2", "d2")
    assert (newest_run(store, spec, "train"), newest_version(store, spec)) == ("train-2", 2)
    store.ledger.append("deployment.finished", spec.name, {"version": 1})
    number, packaged = champion_of(store, spec)
    assert (number, packaged.bundle) == (1, "bundle1")
    store.ledger.append("model.retired", spec.name, {"reason": "enough"})
    with pytest.raises(NotFound, match="is retired: no version serves"):
        champion_of(store, spec)


@pytest.mark.parametrize(
    ("look", "code", "text"),
    [
        (newest_batch, "run_not_found", "small has no finished ingest; run it first."),
        (lambda store, spec: newest_run(store, spec, "train"), "run_not_found", "small has no finished train; run it"),
        (newest_dataset, "run_not_found", "small has no data yet; ingest and validate a batch first."),
        (newest_version, "version_not_found", "small has no version; package one first."),
        (champion_of, "champion_missing", "small has no champion yet; train and deploy a version first."),
    ],
)
def test_nothing_to_take(
    look: Callable[[Store, ModelSpec], object], code: str, text: str, store: Store, make_spec: Any
) -> None:
    with pytest.raises((StageError, NotFound), match=text) as caught:
        look(store, make_spec())
    assert caught.value.code == code
