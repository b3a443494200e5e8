"""Zip archives: each file in one is read, within bounds, and no name in one becomes a path."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from slipstream.data.batch import load_batch
from slipstream.errors import SlipstreamError
from slipstream.spec.model import ModelSpec
from slipstream.stages.ingest import ingest
from slipstream.stages.rebuild import rebuild
from slipstream.stages.validate import validate
from slipstream.store import Store

Read = Callable[..., list[tuple[Any, ...]]]


def zipped(members: Mapping[str, bytes] | list[tuple[str, bytes]], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", method) as archive:
        for name, data in members.items() if isinstance(members, Mapping) else members:
            archive.writestr(name, data)
    return content.getvalue()


def parquet(**columns: list[Any]) -> bytes:
    content = io.BytesIO()
    pq.write_table(pa.table(columns), content)
    return content.getvalue()


@pytest.fixture
def read(make_spec: Callable[..., ModelSpec], store: Store) -> Read:
    """``read(archive, ..., max_bytes=9)``: the rows of the batch that ingest makes of these archives."""

    def rows(*archives: bytes, **source: Any) -> list[tuple[Any, ...]]:
        spec = make_spec(data={"source": {"type": "files", "path": "*.zip", **source}}, inputs=["id"])
        for number, content in enumerate(archives):
            (spec.folder / f"{number}.zip").write_bytes(content)
        batch = load_batch(store, spec.name, ingest(spec, store).batch)
        return duckdb.read_parquet(str(store.objects.path(batch.file))).fetchall()

    return rows


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_every_file_in_an_archive_is_read_in_order(method: int, read: Read) -> None:
    first = zipped({"b/": b"", "b/2.csv": b"id,v\n2,b\n", "1.CSV": b"v,id\na,1\n"}, method)
    second = zipped({"3.csv.gz": gzip.compress(b"id,v\n3,c\n"), "again.csv": b"id,v\n2,b\n"}, method)
    assert read(first, second) == [(2, "b"), (1, "a"), (3, "c")]


def test_other_formats_may_be_in_an_archive(read: Read) -> None:
    assert read(zipped({"a.jsonl": b'{"id": 1}', "b.jsonl": b'{"id": 2}'})) == [(1,), (2,)]


def test_an_archive_of_parquet_and_one_in_another_encoding(read: Read) -> None:
    assert read(zipped({"a.parquet": parquet(id=[1, 2])})) == [(1,), (2,)]


def test_the_encoding_is_that_of_the_files_within(read: Read) -> None:
    assert read(zipped({"a.csv": "id;ö\n1;ü\n".encode("cp1252")}), encoding="cp1252") == [(1, "ü")]


def test_what_a_mac_adds_is_no_file_of_rows(read: Read) -> None:
    assert read(zipped({"a.csv": b"id\n1\n", "__MACOSX/._a.csv": b"\0\5", ".DS_Store": b"\0"})) == [(1,)]


def test_names_never_become_paths(read: Read, tmp_path: Path) -> None:
    outside = tmp_path / "outside.csv"
    names = [f"../../../../../..{outside}", str(outside), "C:\\x\\y.csv", f"{'a' * 300}.csv", "a\nb.x y.csv"]
    archive = zipped([(name, f"id\n{number}\n".encode()) for number, name in enumerate(names)])
    assert read(archive) == [(number,) for number in range(len(names))]
    assert not outside.exists()


def damaged(archive: bytes) -> bytes:
    """One byte of the packed rows is another."""
    at = archive.index(b"id,")
    return archive[:at] + b"x" + archive[at + 1 :]


def encrypted(archive: bytes) -> bytes:
    """The central directory says that the file is encrypted."""
    at = archive.index(b"PK\x01\x02") + 8
    return archive[:at] + struct.pack("<H", 1) + archive[at + 2 :]


ROWS = b"id,v\n1,a\n"
REFUSED = {
    "cut off": (zipped({"a.csv": ROWS * 50})[:-30], "source_unreadable", "0.zip: not a whole zip archive"),
    "no archive": (b"id,v\n1,a\n", "source_unreadable", "not a whole zip archive"),
    "damaged": (damaged(zipped({"a.csv": ROWS}, 0)), "source_unreadable", "Bad CRC-32"),
    "encrypted": (encrypted(zipped({"a.csv": ROWS})), "source_unreadable", "'a.csv' is encrypted"),
    "empty": (zipped({"a/": b""}), "source_unreadable", "holds no files"),
    "two formats": (zipped({"a.csv": ROWS, "b.parquet": b""}), "source_format_unknown", "do not tell one format"),
    "a text beside": (zipped({"a.csv": ROWS, "LIESMICH": b"!"}), "source_format_unknown", "0.zip/LIESMICH"),
    "an archive within": (zipped({"a.zip": zipped({"a.csv": ROWS})}), "source_format_unknown", "0.zip/a.zip"),
    "a packing within": (zipped({"a.csv.7z": ROWS}), "source_packed", "a.csv.7z is packed in a way"),
    "too few fields": (
        zipped({"in/a.csv": ROWS + b"1\n"}),
        "data_csv_malformed",
        "0.zip/in/a.csv: line 3 has 1 fields",
    ),
    "other columns": (
        zipped({"a.csv": ROWS, "b.csv": b"x\n1\n"}),
        "data_schema_changed",
        "0.zip/b.csv: its columns (x)",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_wrong_is_named(case: str, read: Read) -> None:
    content, code, said = REFUSED[case]
    with pytest.raises(SlipstreamError) as refused:
        read(content)
    assert (refused.value.code, said in str(refused.value)) == (code, True), str(refused.value)


def test_a_name_that_stands_twice_is_refused(read: Read) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        archive = zipped([("a.csv", ROWS), ("a.csv", ROWS + ROWS)])
    with pytest.raises(SlipstreamError, match=r"0.zip: the archive holds 'a.csv' twice"):
        read(archive)


def understated(archive: bytes, size: int) -> bytes:
    """The archive says of its one file that it unpacks to *size* bytes."""
    local, central = archive.index(b"PK\x03\x04"), archive.index(b"PK\x01\x02")
    changed = bytearray(archive)
    changed[local + 22 : local + 26] = changed[central + 24 : central + 28] = struct.pack("<I", size)
    return bytes(changed)


def test_what_unpacks_to_too_much_is_refused_whatever_its_header_says(read: Read) -> None:
    rows = b"id\n" + b"1\n" * 5_000_000
    bomb = zipped({"a.csv": rows})
    assert len(bomb) < 20_000
    for archives in ([bomb], [zipped({f"{at}.csv": rows[: at * 100_000 + 3] for at in range(1, 12)})]):
        with pytest.raises(SlipstreamError, match="raise the source's max_bytes") as refused:
            read(*archives, max_bytes=5_000_000)
        assert refused.value.code == "source_too_large"
    with pytest.raises(SlipstreamError) as refused:
        read(understated(bomb, 100), max_bytes=5_000_000)
    assert refused.value.code in {"source_unreadable", "source_too_large"}


def test_an_archive_is_kept_as_it_came_and_read_anew(make_spec: Callable[..., ModelSpec], store: Store) -> None:
    spec = make_spec(
        data={"source": {"type": "files", "path": "*.zip"}}, inputs=["id"], target="v", task="regression",
        evaluate={"metric": "mae"}, train={"trainer": {"type": "sklearn", "estimator": "sklearn.linear_model.Ridge"}},
    )  # fmt: skip
    archive = zipped({"a.csv": b"id,v\n1,0.5\n2,1\n"})
    (spec.folder / "a.zip").write_bytes(archive)
    batch = ingest(spec, store).batch
    delivered = load_batch(store, spec.name, batch).delivered
    assert delivered is not None
    ((name, digest),) = delivered["files"]
    assert (name, store.objects.get(digest)) == ("a.zip", archive)
    validate(spec, store, batch)
    (spec.folder / "a.zip").unlink()
    assert rebuild(spec, store).rows == 2
