"""Excel: what the cells of a sheet hold arrives as it is, and what would be lost is refused with its cell."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable, Sequence
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
import xlsxwriter

from slipstream.data.batch import load_batch
from slipstream.errors import SlipstreamError
from slipstream.spec.model import ModelSpec
from slipstream.stages.ingest import ingest
from slipstream.store import Store

DAY, MOMENT = {"num_format": "yyyy-mm-dd"}, {"num_format": "yyyy-mm-dd hh:mm:ss"}
Fill = Callable[[Any, Any], object]
Read = Callable[..., list[dict[str, Any]]]


def at(*parts: int) -> datetime:
    return datetime(*parts)  # type: ignore[arg-type]  # noqa: DTZ001 - times of data have no zone


def book(*rows: Sequence[Any], fill: Fill = lambda sheet, made_by: None, sheets: Sequence[str] = ("Data",)) -> bytes:
    """A workbook that Excel opens, with *rows* on the first of its *sheets*."""
    content = io.BytesIO()
    with xlsxwriter.Workbook(content, {"in_memory": True}) as workbook:
        pages = [workbook.add_worksheet(name) for name in sheets]
        formats = {datetime: workbook.add_format(MOMENT), date: workbook.add_format(DAY)}
        formats |= {time: workbook.add_format({"num_format": "hh:mm"})}
        formats |= {timedelta: workbook.add_format({"num_format": "[h]:mm"})}
        for number, row in enumerate(rows):
            for place, value in enumerate(row):
                pages[0].write(number, place, value, formats.get(type(value)))
        fill(pages[0], workbook)
    return content.getvalue()


def edited(content: bytes, part: str, before: str, after: str) -> bytes:
    """The workbook with a text in one of its parts replaced, as another program might have written it."""
    changed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as archive, zipfile.ZipFile(changed, "w") as target:
        for name in archive.namelist():
            text = archive.read(name)
            if name == part:
                assert before.encode() in text
                text = text.replace(before.encode(), after.encode())
            target.writestr(name, text)
    return changed.getvalue()


SHEET = "xl/worksheets/sheet1.xml"


@pytest.fixture
def read(make_spec: Callable[..., ModelSpec], store: Store) -> Read:
    """``read(book(...), sheet="May", schema={...})``: the rows of a batch of such workbooks."""

    def rows(*contents: bytes, schema: Any = None, missing: Any = (), **source: Any) -> list[dict[str, Any]]:
        data = {"source": {"type": "files", "path": "*.xlsx", **source}, "schema": schema or {}}
        spec = make_spec(data={**data, "missing": list(missing)}, inputs=["id"])
        for number, content in enumerate(contents):
            (spec.folder / f"{number}.xlsx").write_bytes(content)
        batch = load_batch(store, spec.name, ingest(spec, store).batch)
        table = duckdb.read_parquet(str(store.objects.path(batch.file))).to_arrow_table()
        listed: list[dict[str, Any]] = table.to_pylist()
        return listed

    return rows


def test_cells_arrive_as_they_are(read: Read) -> None:
    first = {
        "id": 2013,
        "x": 1.5,
        "day": date(2024, 2, 29),
        "at": at(2024, 2, 29, 10, 30, 5),
        "paid": True,
        "zip": "00501",
    }
    second = {"id": 2014, "x": 2, "day": None, "at": at(2024, 3, 1), "paid": None, "zip": " x "}
    one, two = read(book(list(first), list(first.values()), list(second.values())))
    assert one == first
    assert two == {**second, "x": 2.0}
    assert [type(value) for value in (one["id"], one["x"], two["at"])] == [int, float, datetime]


def test_a_formula_is_its_value(read: Read) -> None:
    def fill(sheet: Any, _: Any) -> None:
        sheet.write_formula("B2", "=A2*2", None, 14)
        sheet.write_formula("C2", '=IF(A2>0,"","x")', None, "word")

    content = edited(book(["id", "double", "nothing"], [7], fill=fill), SHEET, "<v>word</v>", "<v></v>")
    assert read(content) == [{"id": 7, "double": 14, "nothing": None}]


def test_clock_times_and_spans_are_the_texts_that_excel_shows(read: Read) -> None:
    rows = read(book(["id", "opens", "span"], [1, time(9, 30), timedelta(hours=30, minutes=5)]))
    assert rows == [{"id": 1, "opens": "09:30:00", "span": "30:05:00"}]


def test_a_table_may_stand_anywhere_and_columns_without_anything_are_none(read: Read) -> None:
    def fill(sheet: Any, workbook: Any) -> None:
        sheet.write_blank("H9", None, workbook.add_format({"bold": True}))

    assert read(book([], [None, "id", None, "v"], [None, 1, None, "a"], fill=fill)) == [{"id": 1, "v": "a"}]


def test_names_that_are_numbers_are_texts(read: Read) -> None:
    assert read(book(["id", 2013, " b "], [1, 2, 3])) == [{"id": 1, "2013": 2, "b": 3}]


def test_workbooks_of_one_batch_are_one_table(read: Read) -> None:
    first, second = book(["id", "at"], [1, date(2024, 1, 1)]), book(["at", "id"], [at(2024, 1, 2, 3), 2.5])
    assert read(first, second) == [{"id": 1.0, "at": at(2024, 1, 1)}, {"id": 2.5, "at": at(2024, 1, 2, 3)}]


def test_the_sheet_is_named_where_there_are_several(read: Read) -> None:
    def hide(sheet: Any, workbook: Any) -> None:
        workbook.worksheets()[1].hide()
        workbook.worksheets()[1].write("A1", "hidden")

    assert read(book(["id"], [1], fill=hide, sheets=("Seen", "Not"))) == [{"id": 1}]
    several = book(["id"], [2], sheets=("Jan & Feb", "Notes"))
    assert read(several, sheet="Jan & Feb") == [{"id": 2}]
    for arguments, problem in [
        ({}, "has 2 sheets ('Jan & Feb', 'Notes'); name one: data.source: {sheet: Jan & Feb}"),
        ({"sheet": "March"}, "has no sheet 'March'; it has 'Jan & Feb', 'Notes'"),
    ]:
        with pytest.raises(SlipstreamError, match=re.escape(problem)) as refused:
            read(several, **arguments)
        assert refused.value.code == "source_sheet_unknown"


def formula_without_value() -> bytes:
    content = book(["id", "v"], [1], fill=lambda sheet, _: sheet.write_formula("B2", "=A2*2", None, 14))
    return edited(content, SHEET, "<v>14</v>", "<v></v>")


def spread_out() -> bytes:
    return book(["id"], fill=lambda sheet, _: sheet.write(1_000_000, 200, 1))


REFUSED = {
    "blank name": (book(["id", None], [1, 2]), "data_sheet_malformed", "column B has values and no name in row 1"),
    "title": (book(["Sales 2024"], ["id", "v"], [1, 2]), "data_sheet_malformed", "delete what stands above or beside"),
    "merged head": (
        book(["id", "v"], [1, 2], fill=lambda sheet, _: sheet.merge_range("A1:A2", "id")),
        "data_sheet_malformed", "0.xlsx: sheet 'Data': the cells A1:A2 are merged",
    ),
    "merged values": (
        book(["id", "v"], [1, 2], [2], fill=lambda sheet, _: sheet.merge_range("B2:B3", 2)),
        "data_sheet_malformed", "the cells B2:B3 are merged; split them",
    ),
    "gap": (book(["id"], [1], [], ["Source: us"]), "data_sheet_malformed", "row 3 is empty, and rows with"),
    "nothing": (book(), "data_sheet_malformed", "is empty, expected a row with the names"),
    "error": (
        book(["id", "v"], [1], fill=lambda sheet, _: sheet.write_formula("B2", "=NA()", None, "#N/A")),
        "data_sheet_malformed", "B2 holds the error #N/A; mend it, or write data.missing: ['#N/A']",
    ),
    "not calculated": (formula_without_value(), "data_sheet_malformed", "B2 holds a formula that no program"),
    "twice": (book(["id", "ID"], [1, 2]), "data_column_twice", "differ by case only"),
    "texts among numbers": (book(["id"], [1], ["n/a"]), "data_values_mixed", "holds texts ('n/a') and whole"),
    "digits lost": (book(["id"], [12345678901234567]), "data_number_inexact", "of which Excel keeps 15 digits"),
    "no workbook": (b"id\n1\n", "source_unreadable", "0.xlsx: not a whole Excel file"),
    "cut off": (book(["id"], [1])[:-40], "source_unreadable", "not a whole Excel file"),
    "encrypted": (b"\xd0\xcf\x11\xe0" * 200, "source_unreadable", "it is encrypted, or of Excel before 2007"),
    "far cell": (spread_out(), "source_too_large", "more than 10000000 cells"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_wrong_is_named(case: str, read: Read) -> None:
    content, code, problem = REFUSED[case]
    with pytest.raises(SlipstreamError) as refused:
        read(content)
    assert (refused.value.code, problem in str(refused.value)) == (code, True), str(refused.value)


def test_the_model_file_says_what_an_odd_cell_is(read: Read) -> None:
    def fill(sheet: Any, _: Any) -> None:
        sheet.write_formula("B2", "=1/0", None, "#DIV/0!")
        sheet.write_formula("C2", "=NA()", None, "#N/A")

    content = book(["id", "v", "gone", "code", "large"], [1, None, None, 501, 12345678901234567], [2, 3], fill=fill)
    schema = {"v": {"type": "number", "missing": ["#DIV/0!"]}, "gone": "drop", "code": "text", "large": "number"}
    assert read(content, schema=schema) == [
        {"id": 1, "v": None, "code": "501", "large": 1.234567890123457e16},
        {"id": 2, "v": 3.0, "code": None, "large": None},
    ]


def test_other_tables_than_in_the_first_are_refused(read: Read) -> None:
    with pytest.raises(SlipstreamError, match=r"1.xlsx: its columns \(id, w\) are not those of .*0.xlsx \(id, v\)"):
        read(book(["id", "v"], [1, 2]), book(["id", "w"], [1, 2]))


def test_a_bomb_is_refused_before_it_is_read(read: Read) -> None:
    bomb = edited(book(["id"], [1]), "xl/styles.xml", "<fonts", f"<!--{'x' * 9_000_000}--><fonts")
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(bomb)) as archive, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target:
        for name in archive.namelist():
            target.writestr(name, archive.read(name))
    with pytest.raises(SlipstreamError, match="unpacks to more than 5000000 bytes") as refused:
        read(packed.getvalue(), max_bytes=5_000_000)
    assert refused.value.code == "source_too_large"


@pytest.mark.parametrize("ending", [".xls", ".ods"])
def test_other_spreadsheets_say_what_to_do(ending: str, make_spec: Callable[..., ModelSpec], store: Store) -> None:
    spec = make_spec(data={"source": {"type": "files", "path": f"*{ending}"}})
    (spec.folder / f"a{ending}").write_bytes(b"x")
    with pytest.raises(SlipstreamError, match=r"of spreadsheets only .xlsx is read .*save it as .xlsx"):
        ingest(spec, store)


def test_names_spaces_of_other_programs_make_no_difference(read: Read, tmp_path: Path) -> None:
    """Programs of .NET write ``<x:c>`` for ``<c>``."""
    content = book(["id", "v"], [1], fill=lambda sheet, _: sheet.write_formula("B2", "=NA()", None, "#N/A"))
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        text = archive.read(SHEET).decode()
    prefixed = re.sub(r"<(/?)(\w)", r"<\1x:\2", text).replace("xmlns=", "xmlns:x=")
    with pytest.raises(SlipstreamError, match="B2 holds the error #N/A"):
        read(edited(content, SHEET, text, prefixed))
