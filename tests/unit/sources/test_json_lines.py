"""JSON lines, and packed files: what is in them comes, exactly, or the error names file and line."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
from collections.abc import Callable
from datetime import date, datetime
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from slipstream.data.batch import load_batch
from slipstream.errors import SlipstreamError
from slipstream.spec.model import ModelSpec
from slipstream.stages.ingest import ingest
from slipstream.store import Store

Read = Callable[..., list[dict[str, Any]]]


def zstd(content: bytes) -> bytes:
    packed: bytes = pa.compress(content, codec="zstd", asbytes=True)
    return packed


PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".zst": zstd,
    ".xz": lzma.compress,
    ".bz2": bz2.compress,
}


@pytest.fixture
def read(make_spec: Callable[..., ModelSpec], store: Store) -> Read:
    """``read(b'{"id": 1}', name="a.jsonl.gz", schema={...})``: the rows of a batch of such files, in their order."""

    def rows(*contents: bytes | str, name: str = "{}.jsonl", schema: Any = None, **source: Any) -> list[dict[str, Any]]:
        config = {"type": "files", "path": name.format("*"), **source}
        spec = make_spec(data={"source": config, **({"schema": schema} if schema else {})}, inputs=["id"])
        for number, content in enumerate(contents):
            file = spec.folder / name.format(number)
            file.write_bytes(content.encode() if isinstance(content, str) else content)
        batch = load_batch(store, spec.name, ingest(spec, store).batch)
        with duckdb.connect() as connection:
            listed: list[dict[str, Any]] = (
                connection.read_parquet(str(store.objects.path(batch.file))).to_arrow_table().to_pylist()
            )
        return listed

    return rows


@pytest.mark.parametrize(("packing", "ending"), [*((packing, ".jsonl") for packing in PACKINGS), ("", ".ndjson")])
def test_values_come_as_they_are(read: Read, packing: str, ending: str) -> None:
    lines = [
        {"id": 1, "large": 2**63 - 1, "amount": 0.1, "word": "", "paid": True, "zip": "00501", "gone": None},
        {"id": 2, "large": -(2**63), "amount": 3, "word": 'ü\n,"', "paid": False, "zip": "1_000", "new": 5},
    ]
    content = "\ufeff" + "\n\n".join(json.dumps(line, ensure_ascii=False) for line in lines)
    one, two = read(PACKINGS[packing](content.encode()), name=f"{{}}{ending}{packing}")
    assert one == {**lines[0], "new": None}
    assert two == {**lines[1], "amount": 3.0, "gone": None}


def test_types_follow_from_all_lines_of_all_files(read: Read) -> None:
    many = "\n".join(json.dumps({"id": number, "v": number}) for number in range(25_000))
    rows = read(many, '{"v": 0.5, "id": 25000, "late": "x"}\n{"id": 25001}')
    assert [row["id"] for row in rows] == list(range(25_002))
    assert rows[3] == {"id": 3, "v": 3.0, "late": None}
    assert rows[-2:] == [{"id": 25000, "v": 0.5, "late": "x"}, {"id": 25001, "v": None, "late": None}]


def test_the_model_file_says_what_a_text_is(read: Read) -> None:
    schema = {"day": "date", "at": "timestamp", "exact": "text", "loose": {"type": "number", "missing": ["n/a"]}}
    rows = read(
        '{"id": 1, "day": "2024-02-29", "at": "2024-01-01T10:00:00Z", "exact": 0.12345678901234567890, "loose": 1.5}\n'
        '{"id": 2, "day": null, "at": null, "exact": 1, "loose": "n/a"}',
        schema=schema,
    )
    moment = datetime(2024, 1, 1, 10)  # noqa: DTZ001 - times of data have no zone
    expected = {"id": 1, "day": date(2024, 2, 29), "at": moment, "exact": "0.12345678901234567890", "loose": 1.5}
    assert rows == [expected, {"id": 2, "day": None, "at": None, "exact": "1", "loose": None}]


def test_objects_and_lists_are_left_out(read: Read) -> None:
    assert read('{"id": 1, "user": {"age": 3}, "tags": ["a"]}\n{"id": 2}') == [{"id": 1}, {"id": 2}]


@pytest.mark.parametrize(
    ("content", "code", "part"),
    [
        ('{"id": 1}\n{"id": 2', "data_json_malformed", "0.jsonl: line 2 is no JSON"),
        ('{"id": 1}\n\n[1, 2]', "data_json_malformed", "line 3 holds '[1, 2]', expected an object"),
        ('[{"id": 1}]', "data_json_malformed", "write each object on a line of its own"),
        ('{"id": 1, "id": 2}', "data_json_malformed", "line 1 has the key 'id' twice"),
        ('{"id": 1, "ID": 2}', "data_column_twice", "differ by case"),
        ('{"id": 1, "": 2}', "data_column_unnamed", "no name"),
        (b'{"id": "\xff"}', "data_json_malformed", "line 1 is not UTF-8"),
        ("[" * 100_000, "data_json_malformed", "line 1 is no JSON"),
        ("\n \n", "data_json_malformed", "found nothing"),
        ("", "data_json_malformed", "found nothing"),
        ('{"id": 1}\n{"id": "n/a"}', "data_values_mixed", "column 'id' holds texts ('n/a') and whole numbers ('1')"),
        ('{"id": 18446744073709551616}', "data_number_too_large", "column 'id'"),
        ('{"id": 0.1234567890123456789}', "data_number_inexact", "column 'id'"),
    ],
)
def test_what_is_wrong_is_named(read: Read, content: str | bytes, code: str, part: str) -> None:
    with pytest.raises(SlipstreamError) as caught:
        read(content)
    assert caught.value.code == code
    assert part in str(caught.value)


@pytest.mark.parametrize(
    ("packing", "ending"),
    [(".gz", "csv"), (".gz", "jsonl"), (".zst", "csv"), (".zst", "jsonl"), (".xz", "csv"), (".bz2", "csv")],
)
def test_a_packed_file_is_whole_and_bounded_by_what_it_unpacks_to(read: Read, ending: str, packing: str) -> None:
    content = {"csv": b"id,b\n" + b"1,2\n" * 100_000, "jsonl": b'{"id": 1}\n' * 100_000}[ending]
    packed, name = PACKINGS[packing](content), f"{{}}.{ending}{packing}"
    assert len(read(packed, name=name)) == 100_000
    with pytest.raises(SlipstreamError, match="max_bytes") as caught:
        read(packed, name=name, max_bytes=10_000)
    assert caught.value.code == "source_too_large"
    for damaged in (packed[:-9], b"no such thing at all"):
        with pytest.raises(SlipstreamError, match="not a whole") as caught:
            read(damaged, name=name)
        assert caught.value.code == "source_unreadable"


def test_a_packed_csv_is_what_the_plain_one_is(read: Read) -> None:
    content = "id,v\n1,äöü\n2,\n".encode()
    rows = [read(PACKINGS[packing](content), name=f"{{}}.csv{packing}") for packing in PACKINGS]
    assert rows[0] == rows[1] == rows[2] == [{"id": 1, "v": "äöü"}, {"id": 2, "v": None}]
