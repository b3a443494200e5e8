"""What every store keeps, over each place that a store can be: a local folder and S3 (a real moto server)."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from slipstream.errors import ChecksumMismatch, Conflict, NotFound, StoreError
from slipstream.store import Store, ledger
from slipstream.store.datasets import load_dataset, read_dataset, save_dataset
from slipstream.store.files import writable
from slipstream.store.objects import sha256_file
from slipstream.store.state import Event
from slipstream.store.tables import Tables


@pytest.fixture(params=["local", pytest.param("s3", marks=pytest.mark.server)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "local":
        return (tmp_path / "store").as_uri()
    request.getfixturevalue("s3")
    import boto3

    bucket = f"bucket-{uuid4().hex}"
    boto3.client("s3").create_bucket(Bucket=bucket)
    return f"s3://{bucket}/prefix"


def flip(url: str, name: str) -> None:
    """Flip one bit in the middle of the file *name* of the store; a second time takes it back."""
    if url.startswith("file"):
        file = Path(url.removeprefix("file://")) / name
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(bytes(data))
        return
    import boto3

    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    where = {"Bucket": bucket, "Key": f"{prefix}/{name}"}
    data = bytearray(boto3.client("s3").get_object(**where)["Body"].read())
    data[len(data) // 2] ^= 1
    boto3.client("s3").put_object(**where, Body=bytes(data))


@pytest.fixture
def opened(url: str, tmp_path: Path) -> Store:
    return Store.open(url, cache=tmp_path / "cache")


class TestObjects:
    def test_what_is_put_comes_back(self, opened: Store, tmp_path: Path) -> None:
        digest = opened.objects.put(b"some bytes")
        assert opened.objects.put(b"some bytes") == digest
        assert opened.objects.get(digest) == b"some bytes"
        assert opened.objects.path(digest).read_bytes() == b"some bytes"
        file = tmp_path / "file"
        file.write_bytes(b"more" * 1000)
        assert opened.objects.get(opened.objects.put_file(file)) == b"more" * 1000
        assert file.exists()

    def test_a_file_that_changes_on_its_way_is_never_kept_under_a_false_name(
        self, opened: Store, tmp_path: Path
    ) -> None:
        file = tmp_path / "file"
        file.write_bytes(b"before")
        digest = sha256_file(file)
        file.write_bytes(b"after!")
        with pytest.raises(StoreError, match="changed while it was copied") as error:
            opened.objects.put_file(file, digest)
        assert error.value.code == "file_changed"
        with pytest.raises(NotFound):
            opened.objects.get(digest)
        file.write_bytes(b"before")
        assert opened.objects.get(opened.objects.put_file(file, digest)) == b"before"

    def test_json_is_canonical(self, opened: Store) -> None:
        digest = opened.objects.put_json({"b": 1, "a": [1.5, None, "ä"]})
        assert opened.objects.put_json({"a": [1.5, None, "ä"], "b": 1}) == digest
        assert opened.objects.get_json(digest) == {"a": [1.5, None, "ä"], "b": 1}

    def test_unknown_ids_are_named(self, opened: Store) -> None:
        with pytest.raises(NotFound, match="not in the store"):
            opened.objects.get("0" * 64)
        with pytest.raises(NotFound, match="not in the store"):
            opened.objects.path("0" * 64)
        with pytest.raises(NotFound, match="no sha256 digest"):
            opened.objects.get("../../etc/passwd")

    def test_a_changed_blob_is_refused(self, opened: Store, url: str) -> None:
        digest = opened.objects.put(b"true")
        if url.startswith("file:"):
            (Path(url.removeprefix("file://")) / "objects" / digest[:2] / digest).write_bytes(b"fake")
        else:
            import boto3

            bucket, _, prefix = url.removeprefix("s3://").partition("/")
            boto3.client("s3").put_object(Bucket=bucket, Key=f"{prefix}/objects/{digest[:2]}/{digest}", Body=b"fake")
        for read in (opened.objects.get, opened.objects.path):
            with pytest.raises(ChecksumMismatch, match="checksum differs"):
                read(digest)


class TestTables:
    def test_a_key_appends_once(self, opened: Store) -> None:
        first = opened.tables.append("m", "data", pa.table({"a": [1, 2, 3]}), "k1")
        assert opened.tables.append("m", "data", pa.table({"a": [1, 2, 3]}), "k1") == first
        assert [file.rows for file in first] == [3]
        second = opened.tables.append("m", "data", pa.table({"a": [4], "b": ["x"]}), "k2")
        assert opened.tables.append("m", "data", pa.table({"a": [1, 2, 3]}), "k1") == first
        assert {file.path for file in opened.tables.sound("m", "data").files} == {first[0].path, second[0].path}
        assert opened.tables.sound("m", "nothing").files == ()

    @pytest.mark.parametrize("before", [0, 1])
    @pytest.mark.parametrize("key", ["k", "another"])
    def test_an_append_that_came_between_look_and_commit_is_seen(
        self, opened: Store, url: str, monkeypatch: pytest.MonkeyPatch, before: int, key: str
    ) -> None:
        for number in range(before):
            opened.tables.append("m", "data", pa.table({"a": [0]}), f"before{number}")
        rivals: list[Any] = []
        look = Tables._appended

        def looked(tables: Tables, *arguments: Any) -> Any:
            added = look(tables, *arguments)
            if not rivals:
                rivals.append(None)
                rivals[0] = Store.open(url).tables.append("m", "data", pa.table({"a": [1, 2], "b": [3, 4]}), "k")
            return added

        monkeypatch.setattr(Tables, "_appended", looked)
        rows = pa.table({"a": [1, 2], "b": [3, 4]}) if key == "k" else pa.table({"a": [5]})
        added = opened.tables.append("m", "data", rows, key)
        assert [file.rows for file in added] == [len(rows)]
        assert (added == rivals[0]) == (key == "k"), "an equal append is found, another one comes on top"
        files = opened.tables.sound("m", "data").files
        assert sum(file.rows for file in files) == before + 2 + (key != "k")

    def test_a_dataset_version_reads_back_in_order(self, opened: Store) -> None:
        import duckdb

        files = opened.tables.append("m", "data", pa.table({"a": [3, 1, 2]}), "k1")
        dataset, manifest = save_dataset(opened.objects, "m", [("a", "BIGINT")], files)
        event = {"dataset": dataset.id, "manifest": manifest, "watermark": "w"}
        opened.ledger.append("dataset.committed", "m", event, key="k1")
        loaded = load_dataset(opened.objects, opened.ledger.state(), "m", dataset.id)
        assert loaded == dataset
        with duckdb.connect() as connection:
            assert read_dataset(opened.tables, loaded, connection).fetchall() == [(3,), (1,), (2,)]
        with pytest.raises(NotFound, match="no dataset version"):
            load_dataset(opened.objects, opened.ledger.state(), "m", "f" * 64)

    def test_the_newest_files_are_as_many_as_it_takes(self, opened: Store) -> None:
        appended = [opened.tables.append("m", "data", pa.table({"a": [1, 2, 3]}), key) for key in ("k1", "k2", "k3")]
        found = {rows: len(opened.tables.sound("m", "data", rows).files) for rows in (1, 3, 4, 6, 7, 100)}
        assert found == {1: 1, 3: 1, 4: 2, 6: 2, 7: 3, 100: 3}
        assert opened.tables.sound("m", "data", 1).files == appended[-1]

    def test_a_flipped_bit_is_refused(self, opened: Store, url: str, tmp_path: Path) -> None:
        files = opened.tables.append("m", "data", pa.table({"a": list(range(1000))}), "k1")
        flip(url, f"tables/m/data/{files[0].path}")
        other = Store.open(url, cache=tmp_path / "other")
        with pytest.raises(ChecksumMismatch, match="checksum differs"):
            other.tables.local_files("m", "data", files)
        assert [files[0].path in sentence for sentence in other.tables.sound("m", "data").damaged] == [True]
        flip(url, f"tables/m/data/{files[0].path}")
        assert other.tables.sound("m", "data").files == files

    def test_a_damaged_copy_in_the_cache_is_fetched_anew(self, opened: Store, url: str) -> None:
        if url.startswith("file"):
            pytest.skip("a folder needs no cache")
        files = opened.tables.append("m", "data", pa.table({"a": list(range(1000))}), "k1")
        (copy,) = map(Path, opened.tables.local_files("m", "data", files))
        before = copy.read_bytes()
        copy.write_bytes(before[:-1] + b"x")
        assert Path(opened.tables.local_files("m", "data", files)[0]).read_bytes() == before


class TestLedger:
    def test_events_chain_and_fold(self, opened: Store) -> None:
        for version in (1, 2):
            opened.ledger.append(
                "version.registered", "m", {"stage": "package", "run": f"package-{version}"}, key=str(version)
            )
        opened.ledger.append("deployment.started", "m", {"version": 1})
        assert opened.ledger.state().model("m").deployment == 1
        opened.ledger.append("deployment.finished", "m", {"version": 1})
        opened.ledger.append("deployment.finished", "m", {"version": 2})
        model = opened.ledger.state().model("m")
        assert (model.champion, model.previous, model.deployment) == (2, 1, None)
        assert [version for _, version in model.served] == [1, 2]
        assert opened.ledger.verify() == 5
        again = Store.open(opened.url)
        assert again.ledger.verify() == 5
        assert again.ledger.state().model("m") == model

    def test_a_key_is_committed_once(self, opened: Store) -> None:
        first = opened.ledger.append("run.finished", "m", {"stage": "train", "run": "train-1"}, key="k")
        assert opened.ledger.append("run.finished", "m", {"stage": "train", "run": "train-1"}, key="k") == first
        assert opened.ledger.append("run.finished", "n", {"stage": "train", "run": "train-1"}, key="k") != first
        assert len(opened.ledger.read()) == 2

    def test_a_check_refuses(self, opened: Store) -> None:
        def refuse(state: object) -> None:
            raise Conflict("champion is 8, you compared with 6")

        with pytest.raises(Conflict, match="champion is 8"):
            opened.ledger.append("deployment.started", "m", {"version": 1}, check=refuse)
        assert opened.ledger.read() == []

    def test_readers_see_what_others_wrote(self, opened: Store) -> None:
        other = Store.open(opened.url)
        assert other.ledger.read() == []
        for number in range(3):
            opened.ledger.append("a", "m", {"number": number})
            assert [event.data["number"] for event in other.ledger.read()] == list(range(number + 1))
        assert [event.data["number"] for event in other.ledger.read(after=2)] == [2]

    def test_processes_that_race_make_one_line(self, opened: Store) -> None:
        context = multiprocessing.get_context("spawn")
        workers = [context.Process(target=_append_many, args=(opened.url, name)) for name in ("a", "b", "c")]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(120)
        assert [worker.exitcode for worker in workers] == [0, 0, 0]
        events = opened.ledger.read()
        assert opened.ledger.verify() == len(events) == 3 * 5 + 1
        assert len({event.key for event in events if event.kind == "shared"}) == 1


@pytest.mark.parametrize("every", [20, pytest.param(ledger.COMPACT_EVERY, marks=pytest.mark.slow)])
def test_compaction_keeps_the_chain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every: int) -> None:
    monkeypatch.setattr(ledger, "COMPACT_EVERY", every)
    events = every + 10
    store = Store.open(tmp_path.as_uri())
    writer = Store.open(tmp_path.as_uri())
    for number in range(events):
        writer.ledger.append("a", "m", {"number": number})
        if number % (every // 4) == 0:
            assert len(store.ledger.read()) == number + 1
    assert store.ledger.verify() == events
    assert Store.open(tmp_path.as_uri()).ledger.verify() == events
    assert len(DeltaTable(str(tmp_path / "ledger")).file_uris()) < 15


def test_a_changed_event_is_found(tmp_path: Path) -> None:
    store = Store.open(tmp_path.as_uri())
    for number in range(3):
        store.ledger.append("a", "m", {"number": number})
    for file in sorted((tmp_path / "ledger").glob("*.parquet")):
        file.write_bytes(file.read_bytes().replace(b'{"number":1}', b'{"number":9}'))
    with pytest.raises(StoreError, match="event 2 is missing or was changed"):
        Store.open(tmp_path.as_uri()).ledger.verify()


@pytest.mark.parametrize("how", ["changed", "removed"])
def test_an_event_that_was_changed_and_hashed_again_is_found(tmp_path: Path, how: str) -> None:
    """Each event fits its own hash then: only the hash of the one before it, which the next one has, tells."""
    honest, forged = Store.open((tmp_path / "honest").as_uri()), Store.open((tmp_path / "forged").as_uri())
    for number in range(4):
        honest.ledger.append("a", "m", {"number": number})
    events = honest.ledger.read()
    if how == "changed":
        events[1] = replace(events[1], payload='{"number":9}')
    else:
        del events[1]
    hashed = [
        event.with_hash(chained(event))
        for event in (replace(event, seq=place) for place, event in enumerate(events, start=1))
    ]
    write_deltalake(forged.ledger.uri, pa.Table.from_pylist([asdict(event) for event in hashed]))
    with pytest.raises(StoreError, match=f"event {3 if how == 'changed' else 2} is missing or was changed") as caught:
        forged.ledger.verify()
    assert caught.value.code == "ledger_broken"


def chained(event: Event) -> str:
    """The hash that an event of this content has."""
    said = {name: value for name, value in asdict(event).items() if name != "hash"}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def test_a_ledger_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    Store.open(tmp_path.as_uri()).ledger.append("a", "m", {})
    for file in (tmp_path / "ledger").glob("*.parquet"):
        file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(StoreError, match="cannot be read") as caught:
        Store.open(tmp_path.as_uri()).ledger.state()
    assert caught.value.code == "storage_not_readable"


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "ledger").write_text("in the way")
    (tmp_path / "objects").write_text("in the way")
    (tmp_path / "tables").write_text("in the way")
    store = Store.open(tmp_path.as_uri())
    for write in (
        lambda: store.objects.put(b"x"),
        lambda: store.ledger.append("a", "m", {}),
        lambda: store.tables.append("m", "data", pa.table({"a": [1]}), "k"),
    ):
        with pytest.raises(StoreError, match=r"cannot be (written|read)") as caught:
            write()
        assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("url", ["", "var/store", "http://x/y", "s3://", "file://host/x", "s3://b/p?x=1"])
def test_a_wrong_url_is_refused(url: str) -> None:
    with pytest.raises(StoreError, match=r"write file:///absolute/folder or s3://bucket/prefix"):
        Store.open(url)


def test_an_unreachable_bucket_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-value")
    with pytest.raises(StoreError, match="Could not connect") as caught:
        Store.open("s3://bucket").objects.put(b"x")
    assert caught.value.code == "storage_unreachable"
    assert "secret-value" not in str(caught.value)


def _append_many(url: str, name: str) -> None:
    store = Store.open(url)
    for number in range(5):
        store.ledger.append("own", "m", {"by": name}, key=f"{name}{number}")
    store.ledger.append("shared", "m", {"by": name}, key="shared")


@pytest.mark.parametrize(
    ("needed", "said"),
    [(0, "no space (free "), (1500, "no space (need 1.5 kB, free "), (3 << 20, "no space (need 3.1 MB, free ")],
)
def test_a_full_disk_says_what_is_needed_in_a_unit_that_shows_it(needed: int, said: str) -> None:
    full = Path("/dev/full")
    with pytest.raises(StoreError, match=re.escape(said)), writable(full, needed):
        full.write_bytes(b"x")


def test_appends_at_once_each_return_what_they_added(tmp_path: Path) -> None:
    """The history of a Delta table counts its versions wrong where another writer commits meanwhile."""
    for turn in range(3):
        tables = Store.open((tmp_path / str(turn)).as_uri()).tables

        def append(number: int, tables: Any = tables) -> list[int]:
            data = pa.table({"x": [number] * (number + 1)})
            return [file.rows for file in tables.append("small", "data", data, f"key-{number}")]

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(append, range(8))) == [[number + 1] for number in range(8)]
