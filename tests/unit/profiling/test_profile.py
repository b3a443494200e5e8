"""Profiles: exact counts, the same bytes for the same rows, and sums that equal the profile of all rows."""

from __future__ import annotations

from dataclasses import replace
from functools import cache, reduce

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipstream.errors import BundleError
from slipstream.profiling.parquet import from_parquet, to_parquet
from slipstream.profiling.profile import ANSWER, MOST_WORDS, ColumnProfile, Profile, profile

NASTY = "</script><script>alert('1')</script>"
NUMBERS = {"x": True, 'we"ird': True, "word": False}


def table(rows: int = 5000, shift: float = 0.0, seed: int = 0) -> pa.Table:
    random = np.random.default_rng(seed)
    x = random.lognormal(3, 1.5, rows) + shift
    return pa.table(
        {
            "x": pa.array(x, mask=random.random(rows) < 0.1),
            'we"ird': random.integers(1, 8, rows),
            "word": pa.array(random.choice(["a", "b", NASTY], rows), mask=random.random(rows) < 0.2),
            "late": random.integers(0, 2, rows).astype(float),
        }
    )


def profiled(data: pa.Table, answers: list[float] | None = None) -> Profile:
    with duckdb.connect() as connection:
        return profile(connection.from_arrow(data), NUMBERS, answers or [0.1, 0.2, 0.9], ("late", False))


@cache
def reference_profile() -> Profile:
    return profiled(table())


def on(reference: Profile, data: pa.Table, answers: list[float] | None = None) -> Profile:
    with duckdb.connect() as connection:
        return reference.on(connection.from_arrow(data), answers)


def test_counts_are_exact() -> None:
    data = table()
    found = profiled(data)
    x = data["x"].drop_null().to_numpy()
    column = found.columns["x"]
    assert (column.rows, column.missing, column.known) == (5000, 5000 - len(x), len(x))
    assert (column.low, column.high) == (x.min(), x.max())
    assert column.mean == pytest.approx(x.mean(), rel=1e-9)
    assert column.sd == pytest.approx(x.std(), rel=1e-9)
    below = [int((x <= edge).sum()) for edge in column.edges]
    assert np.cumsum(column.counts).tolist() == [*below, len(x)]
    assert column.counts[0] == column.counts[-1] == 0


def test_words_and_labels_are_counted_by_name() -> None:
    data = table()
    found = profiled(data)
    words = data["word"].drop_null().to_pylist()
    assert dict(found.columns["word"].words) == {word: words.count(word) for word in ("a", "b", NASTY)}
    assert found.columns["word"].missing == data["word"].null_count
    # 1.0 and 1 are the same label.
    assert {word for word, _ in found.columns["late"].words} == {"0", "1"}
    assert [found.columns[name].role for name in ("x", "late", ANSWER)] == ["input", "target", "answer"]


def test_few_values_get_a_bin_each() -> None:
    column = profiled(table()).columns['we"ird']
    assert column.edges[1:] == (1, 2, 3, 4, 5, 6, 7)


def test_quantiles_are_near_the_exact_ones() -> None:
    data = table(20_000)
    x = data["x"].drop_null().to_numpy()
    column = profiled(data).columns["x"]
    for share in (0.05, 0.5, 0.95):
        value = column.quantile(share)
        assert value is not None
        assert abs((x <= value).mean() - share) <= 1 / 240


def test_a_file_gives_the_profile_back_and_equal_rows_give_equal_bytes() -> None:
    found = profiled(table())
    written = to_parquet(found)
    assert from_parquet(written) == found
    assert all(to_parquet(profiled(table())) == written for _ in range(3))
    assert to_parquet(profiled(table(seed=1))) != written


@pytest.mark.parametrize("damage", [b"", b"not parquet", b"PAR1PAR1"])
def test_a_damaged_file_is_refused(damage: bytes) -> None:
    with pytest.raises(BundleError) as refused:
        from_parquet(damage)
    assert refused.value.code == "profile_invalid"


def test_a_window_is_counted_in_the_bins_of_its_reference() -> None:
    reference = reference_profile()
    window = table(1000, shift=1e6)
    found = on(reference, window, [0.5] * 7)
    x = found.columns["x"]
    assert x.edges == reference.columns["x"].edges
    assert x.counts[-1] == x.known == 1000 - window["x"].null_count
    assert found.columns[ANSWER].rows == 7
    assert found.rows == 1000


def test_a_window_without_target_and_answers() -> None:
    found = on(reference_profile(), table(10).drop_columns(["late"]))
    assert list(found.columns) == ["x", 'we"ird', "word"]


def test_an_empty_window_has_no_rows() -> None:
    found = on(reference_profile(), table().slice(0, 0), [])
    assert found.rows == 0
    assert found.columns["x"].mean is None
    assert found.columns["word"].words == ()


def test_missing_infinite_and_absent_values() -> None:
    data = pa.table(
        {"x": [float("inf"), float("nan"), 1.0, None], 'we"ird': pa.nulls(4, pa.float64()), "word": ["a"] * 4}
    )
    with duckdb.connect() as connection:
        found = profile(connection.from_arrow(data), NUMBERS, [])
    assert (found.columns["x"].missing, found.columns["x"].low) == (3, 1.0)
    nothing = found.columns['we"ird']
    assert (nothing.missing, nothing.edges, nothing.counts, nothing.low) == (4, (), (0,), None)
    assert nothing.quantile(0.5) is None
    assert from_parquet(to_parquet(found)) == found
    assert on(found, table()).columns['we"ird'].counts == (5000,)


def test_millions_of_words_stay_bounded() -> None:
    data = pa.table({"word": ["often"] * 3 + [f"w{number:05}" for number in range(MOST_WORDS + 40)]})
    with duckdb.connect() as connection:
        found = profile(connection.from_arrow(data), {"word": False}, []).columns["word"]
    assert found.words[:3] == (("often", 3), ("w00000", 1), ("w00001", 1))
    assert (len(found.words), found.other) == (MOST_WORDS, 41)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 400), st.integers(0, 3))
def test_parts_add_up_to_the_whole(cut: int, seed: int) -> None:
    reference, data = reference_profile(), table(400, seed=seed)
    parts = on(reference, data.slice(0, cut), [0.5] * 2).merge(on(reference, data.slice(cut), [0.7]))
    whole = on(reference, data, [0.5, 0.5, 0.7])
    for name, column in whole.columns.items():
        part = parts.columns[name]
        exact = ("rows", "missing", "counts", "low", "high", "words", "other")
        assert [getattr(part, field) for field in exact] == [getattr(column, field) for field in exact]
        if column.kind == "number":
            assert (part.mean, part.sd) == pytest.approx((column.mean, column.sd), rel=1e-8)


def test_any_partition_adds_up_to_one_scan() -> None:
    reference, data = reference_profile(), table(5000, shift=5, seed=9)
    whole, random = on(reference, data), np.random.default_rng(9)
    for parts in (2, 7, 40):
        place = random.integers(0, parts, data.num_rows)
        windows = [on(reference, data.filter(pa.array(place == part))) for part in range(parts)]
        merged = reduce(Profile.merge, windows)
        for name, column in whole.columns.items():
            part = merged.columns[name]
            assert replace(part, mean=None, sd=None) == replace(column, mean=None, sd=None)
            if column.kind == "number":
                assert (part.mean, part.sd) == pytest.approx((column.mean, column.sd), rel=1e-8)


def test_more_words_than_a_part_keeps_fall_short_by_a_bound() -> None:
    random = np.random.default_rng(2)
    drawn = [np.minimum(random.zipf(1.3, 45_000), 60_000), random.integers(0, 60_000, 45_000)]
    words = np.char.add("w", random.permutation(np.concatenate(drawn)).astype(str))
    exact = dict(zip(*np.unique(words, return_counts=True), strict=True))
    with duckdb.connect() as connection:
        parts = [
            profile(connection.from_arrow(pa.table({"word": part})), {"word": False}, []).columns["word"]
            for part in np.array_split(words, 3)
        ]
    merged = reduce(ColumnProfile.merge, parts)
    assert all(part.other for part in parts)
    assert sum(count for _, count in merged.words) + merged.other == merged.rows == len(words)
    bound = sum(part.words[-1][1] for part in parts)
    assert all(0 <= exact[word] - count <= bound for word, count in merged.words)


def test_profiles_in_other_bins_do_not_add_up() -> None:
    with pytest.raises(ValueError, match="other bins"):
        reference_profile().merge(profiled(table(seed=1)))
