"""The suite of sources: those that we ship keep it, and each broken source fails its check."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from deltalake import write_deltalake

from slipstream.testing import SOURCE_CHECKS, CheckFailed, SourceCase, arrive_as_csv, arrive_as_parquet, check_source
from slipstream.testing.sources import delivery_rows

BROKEN = "tests.unit.testing.broken:BrokenSource"
FEATURES = """
from pathlib import Path

def newest(watermark, duck):
    files = sorted(path for path in (Path(__file__).parent / "deliveries").glob("*.parquet") if path.name > watermark)
    if not files:
        return None
    return duck.read_parquet([str(path) for path in files]), files[-1].name
"""


def arrive_with_features(folder: Path, number: int, rows: Any) -> None:
    """Parquet files, and the function of features.py that reads them."""
    if not number:
        (folder / "features.py").write_text(FEATURES)
    arrive_as_parquet(folder, number, rows)


def arrive_as_delta(folder: Path, number: int, rows: Any) -> None:
    """A table ``shop`` below the model's folder; at first one without rows."""
    write_deltalake(folder / "shop", delivery_rows(1).slice(0, 0) if not number else rows, mode="append")


def arrive_as_excel(folder: Path, number: int, rows: Any) -> None:
    """``deliveries/1.xlsx`` below the model's folder, and so on."""
    if number:
        (folder / "deliveries").mkdir(exist_ok=True)
        rows.to_pandas().to_excel(folder / "deliveries" / f"{number}.xlsx", index=False, engine="xlsxwriter")


SHIPPED = {
    "delta": SourceCase({"type": "delta", "path": "shop"}, arrive_as_delta),
    "excel": SourceCase({"type": "files", "path": "deliveries/*.xlsx"}, arrive_as_excel),
    "csv": SourceCase({"type": "files", "path": "deliveries/*.csv"}, arrive_as_csv),
    "parquet": SourceCase({"type": "files", "path": "deliveries/*.parquet"}, arrive_as_parquet),
    "python": SourceCase({"type": "python", "function": "newest"}, arrive_with_features),
}


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("check", SOURCE_CHECKS)
def test_every_source_keeps_its_promises(check: Callable[[SourceCase], None], name: str) -> None:
    check(SHIPPED[name])


@pytest.mark.parametrize(
    ("breaks", "check", "text"),
    [
        ("types", "rows_come_as_they_are", "row 0: word '007' came as '<007>'"),
        ("watermark", "delivers_each_row_once", "24 rows of delivery 1 came twice"),
        ("clock", "a_lost_delivery_comes_again", "the watermark differ"),
        ("stays", "a_fingerprint_tells_of_news", "the fingerprint stays when more arrives"),
        ("still", "a_change_during_the_read_is_refused", "1.parquet grew while it was read, and still() did not raise"),
        ("nameless", "nothing_there_is_empty_or_an_error_with_a_name", "the error names none of"),
    ],
)
def test_a_broken_source_fails_the_right_check(breaks: str, check: str, text: str) -> None:
    path = "deliveries/*.parquet"
    case = SourceCase({"type": BROKEN, "breaks": breaks, "path": path}, arrive_as_parquet)
    with pytest.raises(CheckFailed) as caught:
        next(one for one in SOURCE_CHECKS if one.__name__ == check)(case)
    assert str(caught.value).startswith(f"source '{BROKEN}' fails {check}: ")
    assert text in str(caught.value)


def test_one_call_checks_all() -> None:
    check_source({"type": "files", "path": "deliveries/*.csv"}, arrive_as_csv)
