"""A Python function as a source, and features.py as a file that is loaded by path."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import duckdb
import pytest

from slipstream.errors import SlipstreamError
from slipstream.sources.python import PythonSource
from slipstream.spec.model import ModelSpec
from slipstream.spec.project import features_digest, load_function

Project = Callable[[str], ModelSpec]


@pytest.fixture
def project(make_spec: Callable[..., ModelSpec]) -> Project:
    """``project("def batches(watermark, duck): ...")``: a model whose features.py says this."""

    def make(text: str) -> ModelSpec:
        spec = make_spec(data={"source": {"type": "python", "function": "batches"}})
        (spec.folder / "features.py").write_text(dedent(text))
        return spec

    return make


@pytest.mark.parametrize(
    "rows",
    [
        "duck.sql('SELECT 1 AS a')",
        "__import__('pyarrow').table({'a': [1]})",
        "__import__('pandas').DataFrame({'a': [1]})",
    ],
)
def test_rows_may_be_a_relation_an_arrow_table_or_a_frame(rows: str, project: Project, tmp_path: Path) -> None:
    spec = project(f"def batches(watermark, duck):\n    return {rows}, watermark + 'x'\n")
    delivery = PythonSource("batches").deliver(spec, "x", tmp_path)
    assert delivery.watermark == "xx"
    assert duckdb.read_parquet(str(next(iter(delivery.files)))).fetchall() == [(1,)]


def test_none_means_nothing_new(project: Project, tmp_path: Path) -> None:
    spec = project("def batches(watermark, duck):\n    return None\n")
    assert PythonSource("batches").deliver(spec, "x", tmp_path).files == {}


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("def batch(watermark, duck): ...", "features_function_unknown", "did you mean 'batch'"),
        ("def batches(watermark): ...", "features_function_signature", "called with (watermark, duck)"),
        ("def batches(watermark, duck): return [1]", "source_function_answer", "return (rows, watermark)"),
        ("def batches(watermark, duck): return [1], 'x'", "source_function_answer", "rows are of type 'list'"),
        (
            "def batches(watermark, duck): return duck.sql('SELECT 1 AS a'), 7",
            "source_function_answer",
            "text watermark",
        ),
        ("def batches(watermark, duck): return 1 / 0", "source_function_failed", "ZeroDivisionError"),
        ("def batches(watermark, duck): return duck.sql('SELEC'), 'x'", "source_function_failed", "Parser Error"),
        ("def batches(watermark, duck:", "features_not_loadable", "SyntaxError"),
        ("import not_installed", "features_not_loadable", "not_installed"),
    ],
)
def test_what_is_wrong_with_the_function_is_said(
    text: str, code: str, said: str, project: Project, tmp_path: Path
) -> None:
    with pytest.raises(SlipstreamError, match=None) as refused:
        PythonSource("batches").deliver(project(text), "", tmp_path)
    assert refused.value.code == code
    assert said in str(refused.value)


def test_a_missing_features_file_is_named(make_spec: Callable[..., ModelSpec]) -> None:
    with pytest.raises(SlipstreamError) as refused:
        load_function(make_spec(), "batches")
    assert refused.value.code == "features_not_found"


def test_features_are_loaded_by_path_and_again_when_edited(project: Project) -> None:
    spec = project("def batches(watermark, duck): return 1")
    first, digest = load_function(spec, "batches"), features_digest(spec)
    assert load_function(spec, "batches") is first
    assert str(spec.folder) not in sys.path
    spec = project("def batches(watermark, duck): return 2")
    assert load_function(spec, "batches")("", None) == 2
    assert features_digest(spec) != digest


def test_a_folder_that_moved_is_read_anew(project: Project, tmp_path: Path) -> None:
    """The same features.py in another folder, as each release of a DAG bundle has one, knows its own place."""
    text = "def batches(watermark, duck):\n    return __file__\n"
    spec = project(text)
    (tmp_path / "moved").mkdir()
    (tmp_path / "moved/features.py").write_text(text)
    places = [load_function(one, "batches")("", None) for one in (spec, spec.at(tmp_path / "moved"))]
    assert places == [str(spec.folder / "features.py"), str(tmp_path / "moved/features.py")]
