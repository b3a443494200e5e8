"""Report pages and charts: self-contained, without script, and whatever is in the data is shown as text."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from jinja2 import UndefinedError

from slipstream.evaluation.explained import Explained
from slipstream.reports import charts, explanation
from slipstream.reports.canvas import cut, number, ticks
from slipstream.reports.page import render
from slipstream.stages.evaluate import evaluate
from slipstream.stages.explain import explain
from slipstream.stages.train import train

NASTY = '</script><script>alert("1")</script><img src=x onerror=alert(2)>'
ALLOWED = {
    *("html", "head", "meta", "title", "style", "body", "main", "header", "section", "footer", "p", "h1", "h2", "h3"),
    *("div", "span", "b", "strong", "code", "ul", "li", "figure", "figcaption", "meter", "br", "em", "a"),
    *("table", "thead", "tbody", "tr", "th", "td", "svg", "g", "path", "rect", "circle", "line", "polyline", "text"),
}


class Tags(HTMLParser):
    """The elements of a page, its attributes and its text."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.words = ""
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.words += data


def check(page: bytes) -> Tags:
    """The page holds nothing that runs or fetches."""
    found = Tags(page)
    assert found.tags <= ALLOWED
    assert not [name for name, _ in found.attributes if name.startswith("on") or name in {"src", "srcset", "action"}]
    assert not [value for name, value in found.attributes if name in {"href", "style"} and re.search("//|url", value)]
    assert ("content", "default-src 'none'; style-src 'unsafe-inline'; img-src data:") in found.attributes
    style = page.decode().partition("<style>")[2].partition("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style
    return found


CHARTS: dict[str, Callable[[str], Any]] = {
    "bars": lambda name: charts.bars({name: 1.0, "b": -2.0}, title=name),
    "waterfall": lambda name: charts.waterfall(0.0, {name: 1.0, "b": -2.0}, title=name),
    "interval_bars": lambda name: charts.interval_bars([(name, 0.5, 0.4, 0.6)], title=name, line=0.55),
    "lines": lambda name: charts.lines({name: [(0, 1), (1, 2)], "b": [(0, 0)]}, title=name, x_label=name, y_label=name),
    "scatter": lambda name: charts.scatter([(0, 1), (1, 2)], title=name, x_label=name, y_label=name),
    "histogram_pair": lambda name: charts.histogram_pair([name, "b"], [1, 2], [2, 1], title=name),
    "table_heat": lambda name: charts.table_heat([name, "b"], [[1, 2], [3, 4]], title=name),
}


@pytest.mark.parametrize("draw", CHARTS.values(), ids=CHARTS)
def test_charts_escape_every_name(draw: Callable[[str], Any]) -> None:
    drawn = str(draw(NASTY))
    assert "<script" not in drawn
    assert "<img" not in drawn
    assert Tags(drawn.encode()).tags <= ALLOWED
    assert "<title>&lt;/script&gt;" in drawn


EMPTY = {
    "bars": charts.bars({}, title="t"),
    "waterfall": charts.waterfall(0.0, {}, title="t"),
    "interval_bars": charts.interval_bars([("a", math.nan, 0.0, 1.0)], title="t"),
    "lines": charts.lines({"a": []}, title="t"),
    "scatter": charts.scatter([(math.nan, 1.0), (math.inf, 1.0)], title="t"),
    "histogram_pair": charts.histogram_pair([], [], [], title="t"),
    "table_heat": charts.table_heat([], [], title="t"),
}


@pytest.mark.parametrize("drawn", EMPTY.values(), ids=EMPTY)
def test_charts_without_anything_to_show_say_so(drawn: Any) -> None:
    assert "nothing to show" in drawn


@pytest.mark.parametrize("value", [0.0, 1.0, -1e-300, 1e300, 123456789.0])
def test_charts_draw_any_size_and_a_single_value(value: float) -> None:
    for drawn in (
        charts.bars({"a": value}, title="t"),
        charts.lines({"a": [(value, value)]}, title="t"),
        charts.interval_bars([("a", value, value, value)], title="t"),
        charts.histogram_pair(["a"], [abs(value)], [0.0], title="t"),
    ):
        assert "nan" not in drawn
        assert "inf" not in drawn


def test_charts_are_bounded() -> None:
    many = {f"name {i}": float(i) for i in range(10_000)}
    assert charts.bars(many, title="t").count("<rect") == charts.MOST_BARS
    assert (
        charts.scatter([(float(i), float(i)) for i in range(100_000)], title="t").count("<circle") <= charts.MOST_POINTS
    )
    assert charts.histogram_pair(list(many), list(many.values()), [1.0] * 10_000, title="t").count("<rect") <= 64
    assert len(charts.bars({"x" * 1_000_000: 1.0}, title="t")) < 2000


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]), (-0.9, 0.9, [-0.5, 0, 0.5]), (0, 0, [0]), (970, 1035, [980, 1000, 1020])],
)
def test_ticks_are_round(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0, "0"),
        (-0.05, "-0.05"),
        (0.12345, "0.123"),
        (999.6, "1,000"),
        (1234567, "1.23M"),
        (3.0, "3"),
        (1e-9, "1.0e-09"),
    ],
)
def test_figures_are_short(value: float, said: str) -> None:
    assert number(value) == said


def test_names_are_cut_and_stay_on_one_line() -> None:
    assert cut("a\nb" + "c" * 100, 66) == "a bcccccc…"


def test_a_page_stands_alone() -> None:
    found = {"candidate": "train-1", "target": "late", "task": "binary", "method": "m", "rows": 3, "scale": "log-odds"}
    page = explanation.page(NASTY, found | {"importance": [], "effects": [], "cases": []})
    assert NASTY in check(page).words


def test_a_value_that_a_template_lacks_is_an_error() -> None:
    with pytest.raises(UndefinedError):
        render("explanation.html", title="t", model="m")


@pytest.fixture
def nasty(make_spec: Any, committed: Any) -> tuple[Any, str]:
    """A model whose inputs, slices and values are hostile, and its dataset version."""
    random = np.random.default_rng(0)
    rows = 600
    word = random.choice(np.array([NASTY, "b", '<b>"x"'], dtype=object), rows)
    x = random.normal(size=rows)
    late = ((word == NASTY) + x + random.normal(size=rows) > 0.5).astype(int)
    day = np.datetime64("2024-01-01", "us") + np.arange(rows) * np.timedelta64(1, "h")
    table = pa.table(
        {"id": np.arange(rows), "day": day, NASTY[:100]: pa.array(word, pa.string()), "x": x, "late": late}
    )
    evaluate_ = {"metric": "roc_auc", "slices": [NASTY[:100]], "min_slice": 20, "bootstrap": 20}
    spec = make_spec(inputs=[NASTY[:100], "x"], evaluate=evaluate_)
    return spec, committed(spec, table).id


@pytest.mark.parametrize("explainer", ["permutation", "shap"])
def test_hostile_names_and_values_reach_the_pages_as_text(store: Any, nasty: Any, explainer: str) -> None:
    pytest.importorskip("shap")
    spec, dataset = nasty
    spec = spec.model_copy(update={"explain": {"type": explainer}}).at(spec.folder)
    candidate = train(spec, store, dataset).candidate
    for report in (evaluate(spec, store, candidate).report, explain(spec, store, candidate).report):
        page = store.objects.get(report)
        assert "<script" not in page.decode()
        assert NASTY[:30] in check(page).words


def test_an_explanation_is_made_once_and_kept_as_json(store: Any, nasty: Any) -> None:
    spec, dataset = nasty
    candidate = train(spec, store, dataset).candidate
    made = explain(spec, store, candidate)
    again = explain(spec, store, candidate)
    assert isinstance(made, Explained)
    assert (again.run, again.reused, again.report) == (made.run, True, made.report)
    details = store.objects.get_json(made.details)
    assert [name for name, _ in details["importance"]] == [name for name, _ in made.importance]
    assert made.scale == "loss of roc_auc"
    assert 0 < made.rows <= 2000
