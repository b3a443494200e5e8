"""Files as a source: what is new, what is malformed, what is refused; each through ``FilesSource`` itself."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from slipstream.data.batch import load_batch
from slipstream.errors import SlipstreamError
from slipstream.slots import SOURCE, Delivery
from slipstream.sources.files import FilesSource
from slipstream.spec.model import ModelSpec
from slipstream.stages.ingest import ingest
from slipstream.store import Store

HEAD = b"a,b,c\n"
Read = Callable[..., Any]


@pytest.fixture
def spec(make_spec: Callable[..., ModelSpec]) -> ModelSpec:
    return make_spec()


@pytest.fixture
def read(store: Store, make_spec: Callable[..., ModelSpec], tmp_path: Path) -> Read:
    """``read(b"...", b"...", name="f{}.csv", **arguments)``: the rows that ingest makes of these files."""
    folder = tmp_path / "files"
    folder.mkdir()

    def reading(*contents: bytes, name: str = "f{}.csv", schema: Any = None, **arguments: Any) -> Any:
        for number, content in enumerate(contents):
            (folder / name.format(number)).write_bytes(content)
        source = {"type": "files", "path": str(folder / "*"), **arguments}
        spec = make_spec(data={"source": source, "schema": schema or {}})
        batch = load_batch(store, spec.name, ingest(spec, store).batch)
        return duckdb.read_parquet(str(store.objects.path(batch.file)))

    return reading


def types_of(relation: duckdb.DuckDBPyRelation) -> list[str]:
    return [str(kind) for kind in relation.types]


def test_after_another_source_a_key_tells_what_is_there(make_spec: Callable[..., ModelSpec], tmp_path: Path) -> None:
    keyless = make_spec(data={"source": {"type": "files", "path": "*.csv"}})
    (keyless.folder / "a.csv").write_bytes(b"id\n1\n")
    source, digest = FilesSource("*.csv"), hashlib.sha256(b"id\n1\n").hexdigest()
    on_the_web = json.dumps({"url": "", "etag": "", "modified": "", "read": [digest]})
    assert source.fingerprint(keyless, on_the_web) is None
    for watermark in ("2013-04", "5", '{"column":"id"}'):
        with pytest.raises(SlipstreamError, match="were read from another source") as refused:
            source.fingerprint(keyless, watermark)
        assert refused.value.code == "source_rows_again"
        assert source.deliver(make_spec(), watermark, tmp_path).watermark == json.dumps([digest])


MALFORMED = {
    "too few fields": (HEAD + b"1,2,3\n" * 15 + b"1,2\n", "line 17 has 2 fields, expected 3"),
    "too few fields, late": (HEAD + b"1,2,3\n" * 30_000 + b"1,2\n", "line 30002 has 2 fields, expected 3"),
    "too many fields": (HEAD + b"1,2,3,4\n", "line 2 has 4 fields, expected 3"),
    "NUL": (HEAD + b"1,2,3\n1,x\x00,3\n", "line 3: NUL byte"),
    "mixed encodings": (HEAD + "1,é,3\n".encode() + b"1,\xe9,3\n", "is not UTF-8"),
    "UTF-16": ("a,b\n1,2\n".encode("utf-16"), "line 1: the file is UTF-16; save it as UTF-8"),
    "open quote": (HEAD + b'1,"2,3\n', "a quote is opened and never closed"),
    "column twice": (b"a,A\n1,2\n", "line 1: column 'A' stands twice"),
    "column without a name": (b"a,,c\n1,2,3\n", "line 1: column 2 has no name"),
    "last column without a name": (b"a,b,\n1,2,\n1,2,3\n", "line 1: column 3 has no name, but values"),
    "nothing at all": (b"", "line 1: expected a header line"),
    "mixed line ends": (b"a,b\r\n1,2\r\n3,4\n", "CR LF"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_csv_is_refused_with_its_line(case: str, read: Read) -> None:
    content, said = MALFORMED[case]
    with pytest.raises(SlipstreamError) as refused:
        read(content)
    assert refused.value.code == "data_csv_malformed"
    assert said in str(refused.value)
    assert "f0.csv" in str(refused.value)


def test_types_come_from_the_values_and_widen_without_losing_any(read: Read) -> None:
    rows = read(HEAD + b"1,2020-01-01,x\n" * 30_000 + b"2.5,2020-01-01 10:30:00,y\n")
    assert types_of(rows) == ["DOUBLE", "TIMESTAMP", "VARCHAR"]
    assert [str(value) for value in rows.fetchall()[-1]] == ["2.5", "2020-01-01 10:30:00", "y"]


def test_a_column_that_is_empty_at_first_still_gets_its_type(read: Read) -> None:
    rows = read(HEAD + b"1,,x\n" * 30_000 + b"1,7,x\n")
    assert types_of(rows)[1] == "BIGINT"


def test_long_identifiers_keep_every_digit(read: Read) -> None:
    rows = read(b"a,b\n12345678901234567,12345678901234567890123\n")
    assert rows.fetchall() == [(12345678901234567, "12345678901234567890123")]


def test_a_date_that_two_people_read_differently_stays_text(read: Read) -> None:
    assert types_of(read(b"a\n03/04/2020\n")) == ["VARCHAR"]


@pytest.mark.parametrize("content", [b"\xef\xbb\xbfa;b\n1;NA\n", b"a\tb\n1\tNA\n", b"a|b\r\n1|\r\n"])
def test_a_byte_order_mark_and_other_delimiters_are_understood(content: bytes, read: Read) -> None:
    rows = read(content)
    assert rows.columns == ["a", "b"]
    assert rows.fetchall() == [(1, None)]


@pytest.mark.parametrize(("encoding", "name"), [("cp1252", "f{}.csv"), ("utf-16", "f{}.csv"), ("cp1252", "f{}.csv.gz")])
def test_another_encoding_is_read_as_the_source_says(encoding: str, name: str, read: Read) -> None:
    content = "Straße;Größe\r\nÄußere;1,5\r\nÜ€;2,5\r\n".encode(encoding)
    packed = gzip.compress(content) if name.endswith("gz") else content
    found = read(packed, name=name, encoding=encoding)
    assert (found.columns, found.fetchall()) == (["Straße", "Größe"], [("Äußere", 1.5), ("Ü€", 2.5)])


def test_what_is_not_in_the_encoding_says_what_to_write(read: Read) -> None:
    with pytest.raises(SlipstreamError, match=r"header is not UTF-8; save .* or write data.source: .encoding: cp1252"):
        read("Größe\n1\n".encode("cp1252"))
    with pytest.raises(SlipstreamError, match=r"f0.csv: is not all in cp1252, as data.source says: .* byte 0x81"):
        read(b"x\n\x81\n", encoding="cp1252")
    with pytest.raises(SlipstreamError, match=r"data.source.encoding: .*cp12525"):
        read(b"x\n1\n", encoding="cp12525")


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_the_line_that_tells_excel_the_delimiter_is_no_header(mark: str, read: Read) -> None:
    found = read(f"{mark}sep=;\r\na;b\r\n1;2,5\r\n".encode(), b"a;b\r\n3;4,5\r\n")
    assert (found.columns, found.fetchall()) == (["a", "b"], [(1, 2.5), (3, 4.5)])


def test_the_schema_may_say_what_a_column_is(read: Read) -> None:
    assert types_of(read(b"zip\n1234\n", schema={"zip": "text"})) == ["VARCHAR"]


def test_a_schema_for_a_column_that_is_not_there_is_a_spec_error(read: Read) -> None:
    with pytest.raises(SlipstreamError, match="did you mean 'zip'") as refused:
        read(b"zip\n01234\n", schema={"zap": "text"})
    assert refused.value.code == "data_schema_unknown"


def test_a_packed_csv_is_read_and_bounded_by_what_it_unpacks_to(read: Read) -> None:
    packed = gzip.compress(b"a,b\n" + b"1,2\n" * 100_000)
    assert len(read(packed, name="f{}.csv.gz")) == 100_000
    with pytest.raises(SlipstreamError) as refused:
        read(packed, name="f{}.csv.gz", max_bytes=10_000)
    assert refused.value.code == "source_too_large"


def test_many_small_types_become_six(read: Read, tmp_path: Path) -> None:
    file = tmp_path / "made.parquet"
    duckdb.sql(
        "SELECT 1::UTINYINT a, 1.5::DECIMAL(5,2) b, 'nan'::FLOAT c, TIME '10:00' d, 'x'::ENUM('x') e"
    ).write_parquet(str(file))
    rows = read(file.read_bytes(), name="f{}.parquet")
    assert types_of(rows) == ["BIGINT", "DOUBLE", "DOUBLE", "VARCHAR", "VARCHAR"]
    assert rows.fetchall() == [(1, 1.5, None, "10:00:00", "x")]


def test_a_file_of_nothing_but_nested_columns_is_refused(read: Read, tmp_path: Path) -> None:
    file = tmp_path / "made.parquet"
    duckdb.sql("SELECT [1, 2] AS list").write_parquet(str(file))
    with pytest.raises(SlipstreamError) as refused:
        read(file.read_bytes(), name="f{}.parquet")
    assert refused.value.code == "data_type_unsupported"


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + b"\0" * 100])
def test_a_truncated_parquet_is_refused(content: bytes, read: Read) -> None:
    with pytest.raises(SlipstreamError) as refused:
        read(content, name="f{}.parquet")
    assert refused.value.code == "data_parquet_malformed"


def test_files_of_one_batch_must_have_the_same_columns(read: Read) -> None:
    with pytest.raises(SlipstreamError) as refused:
        read(b"a,b\n1,2\n", b"a,c\n1,2\n")
    assert refused.value.code == "data_schema_changed"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"path": "http://x.org/a.csv"}, "source_scheme_forbidden"),
        ({"path": "file:///etc/passwd"}, "source_scheme_forbidden"),
        ({"path": "gopher:x"}, "source_scheme_forbidden"),
        ({"path": "nothing/*.csv"}, "source_no_files"),
        ({"path": "model.yaml"}, "source_format_unknown"),
        ({"path": "packed.csv.7z"}, "source_packed"),
        ({"path": "packed.csv.7z", "format": "csv"}, "source_packed"),
        ({"path": "model.yaml", "format": "csv", "max_bytes": 3}, "source_too_large"),
    ],
)
def test_what_cannot_be_read_says_why(arguments: dict[str, Any], code: str, spec: ModelSpec, tmp_path: Path) -> None:
    (spec.folder / "packed.csv.7z").write_bytes(b"PK")
    with pytest.raises(SlipstreamError) as refused:
        FilesSource(**arguments).deliver(spec, "", tmp_path)
    assert refused.value.code == code


def test_only_content_that_was_not_read_yet_is_new(spec: ModelSpec, tmp_path: Path) -> None:
    folder, into = tmp_path / "files", tmp_path / "into"
    folder.mkdir()
    into.mkdir()
    source = SOURCE.build({"type": "files", "path": str(folder / "*.csv")})

    def deliver(watermark: str) -> Delivery:
        return source.deliver(spec, watermark, into)

    (folder / "1.csv").write_bytes(b"a\n1\n")
    first = deliver("")
    assert first.files
    assert source.fingerprint(spec, first.watermark) is None

    (folder / "renamed.csv").write_bytes(b"a\n1\n")
    assert source.fingerprint(spec, first.watermark) is None
    assert not deliver(first.watermark).files

    (folder / "2.csv").write_bytes(b"a\n2\n")
    second = deliver(first.watermark)
    assert tuple(second.files.values()) == (str(folder / "2.csv"),)

    for file in folder.iterdir():
        file.unlink()  # an archive job took them away: nothing is new, and nothing is wrong
    assert source.fingerprint(spec, second.watermark) is None
