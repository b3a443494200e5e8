"""Partitions: what was counted once is added up, and the sum is what one scan of everything gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from slipstream.monitoring import partitions
from slipstream.monitoring.partitions import Added, Partition, added_up
from slipstream.monitoring.reference import Subject, watched_champion
from slipstream.monitoring.window_origin import origin_of
from slipstream.profiling.profile import ColumnProfile, Profile
from slipstream.spec.model import ModelSpec
from slipstream.stages.deploy import deploy
from slipstream.stages.monitor import monitor
from slipstream.store import Store

WATCH: dict[str, Any] = {"min_rows": 100, "evidently": False}


@pytest.fixture
def spec(make_spec: Any, store: Store, release: Any) -> ModelSpec:
    found: ModelSpec = make_spec(monitor=WATCH, deploy={"target": {"type": "local"}})
    deploy(found, store, release(found).version, endpoint="")
    return found


def counted(spec: ModelSpec, store: Store, known: Sequence[Partition] = ()) -> tuple[Added, Profile]:
    """The sum, and what one scan gives."""
    subject = Subject(spec, store, watched_champion(spec, store))
    origin = origin_of(spec, store, subject.champion.number, subject.champion.dataset)
    with origin.open(subject.reference) as window:
        added = added_up(store, subject.reference, subject.champion.bundle, window, known)
        whole = subject.reference.on(window.relation)
        assert sum(file.rows for file in window.files) == window.rows == whole.rows
    return added, whole


def check_same(added: Profile, whole: Profile) -> None:
    """All counts are equal; means and deviations but for the last digits."""

    def bare(column: ColumnProfile) -> ColumnProfile:
        return replace(column, mean=None, sd=None)

    assert list(added.columns) == list(whole.columns)
    for name, column in added.columns.items():
        assert bare(column) == bare(whole.columns[name])
        for mine, theirs in ((column.mean, whole.columns[name].mean), (column.sd, whole.columns[name].sd)):
            assert mine == (None if theirs is None else pytest.approx(theirs, rel=1e-8))


def with_window(spec: ModelSpec, hours: int) -> ModelSpec:
    window = timedelta(hours=hours)
    return spec.model_copy(update={"monitor": spec.monitor.model_copy(update={"window": window})})


def test_new_files_alone_are_read(spec: ModelSpec, store: Store, committed: Any, make_rows: Any) -> None:
    committed(spec, make_rows(300, seed=5, first=5000))
    first, whole = counted(spec, store)
    check_same(first.profile, whole)
    assert (first.files, first.reused, len(first.partitions)) == (1, 0, 1)
    committed(spec, make_rows(200, seed=6, first=6000).drop_columns(["carrier"]))
    committed(spec, make_rows(200, seed=7, first=7000, carrier=np.random.default_rng(0).choice(["Z", "A"], 200)))
    second, whole = counted(spec, store, first.partitions)
    check_same(second.profile, whole)
    assert (second.files, second.reused, second.profile.rows) == (3, 1, 700)
    third, _ = counted(spec, store, second.partitions)
    check_same(third.profile, whole)
    assert (third.reused, third.partitions) == (3, second.partitions)


def test_a_file_that_the_edge_cuts_is_read_again(spec: ModelSpec, store: Store, committed: Any, make_rows: Any) -> None:
    for place in range(3):
        committed(spec, make_rows(200, seed=5 + place, first=5000 + 200 * place))
    everything, whole = counted(with_window(spec, 1000), store)
    check_same(everything.profile, whole)
    assert [len(partition.files) for partition in everything.partitions] == [3]
    # Packed partitions hold together; the next window cuts the oldest file, so its two others are counted anew.
    cut, whole = counted(with_window(spec, 500), store, everything.partitions)
    check_same(cut.profile, whole)
    assert (cut.profile.rows, cut.files, cut.reused) == (500, 3, 0)
    assert [len(partition.files) for partition in cut.partitions] == [2]
    again, _ = counted(with_window(spec, 450), store, cut.partitions)
    assert (again.profile.rows, again.reused) == (450, 2)


def test_equal_files_count_each(spec: ModelSpec, store: Store, committed: Any, make_rows: Any) -> None:
    rows = make_rows(200, seed=5, first=5000)
    committed(spec, rows)
    first, _ = counted(spec, store)
    committed(spec, rows)
    second, whole = counted(spec, store, first.partitions)
    check_same(second.profile, whole)
    assert (second.profile.rows, second.reused) == (400, 1)


def test_what_is_gone_or_was_counted_otherwise_is_read(
    spec: ModelSpec, store: Store, committed: Any, make_rows: Any
) -> None:
    committed(spec, make_rows(200, seed=5, first=5000))
    first, whole = counted(spec, store)
    (kept,) = first.partitions
    for other in (replace(kept, profile="0" * 64), replace(kept, scheme="of another champion")):
        found, _ = counted(spec, store, [other])
        check_same(found.profile, whole)
        assert found.reused == 0
    # A column of another type changes how all of them read.
    committed(spec, make_rows(200, seed=6, first=6000, hour=np.random.default_rng(0).random(200)))
    found, whole = counted(spec, store, first.partitions)
    check_same(found.profile, whole)


def test_more_words_than_are_kept_by_name(spec: ModelSpec, store: Store, committed: Any, make_rows: Any) -> None:
    for place in range(2):
        words = [f"w{place}-{word}" for word in range(11_000)]
        committed(spec, make_rows(11_000, seed=5 + place, first=5000 + 11_000 * place, carrier=words))
    found, whole = counted(spec, store)
    check_same(found.profile, whole)
    assert found.partitions == ()


def test_there_are_never_many_partitions(spec: ModelSpec, store: Store, committed: Any, make_rows: Any) -> None:
    known: tuple[Partition, ...] = ()
    for place in range(4):
        committed(spec, make_rows(60, seed=5 + place, first=5000 + 60 * place))
        found, whole = counted(spec, store, known)
        known = found.partitions
        check_same(found.profile, whole)
    assert [partition.rows for partition in known] == [240]
    assert partitions.ROWS >= 100_000


def test_the_monitor_remembers(spec: ModelSpec, store: Store, committed: Any, make_rows: Any) -> None:
    committed(spec, make_rows(300, seed=5, first=5000))
    first = monitor(spec, store)
    committed(spec, make_rows(300, seed=6, first=6000))
    second = monitor(spec, store)
    files = [store.objects.get_json(found.details)["files"] for found in (first, second)]
    assert files == [{"all": 1, "reused": 0}, {"all": 2, "reused": 1}]
    assert second.rows == 600
    assert b"1 of 2 data files were counted before" in store.objects.get(second.report)
