"""`slipstream verify` covers everything in a store, and mends what lies there a second time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from slipstream.cli.main import app
from slipstream.commands.verify.check import Verified, verify
from slipstream.commands.verify.mend import mend
from slipstream.spec.model import ModelSpec
from slipstream.store import Store
from slipstream.store.delta.heads import FILE

PREDICTIONS = pa.table({"prediction_id": [f"{number:032x}" for number in range(500)], "version": [1] * 500})


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(bytes(data))


@pytest.fixture
def released(store: Store, make_spec: Any, release: Any) -> Store:
    """A store with a dataset version, a version, predictions and labels."""
    spec: ModelSpec = make_spec()
    release(spec)
    store.tables.append(spec.name, "predictions", PREDICTIONS, "p")
    store.tables.append(spec.name, "labels", PREDICTIONS.select(["prediction_id"]), "l")
    return store


def root(store: Store) -> Path:
    return Path(store.url.removeprefix("file://"))


def fresh(store: Store) -> Verified:
    return verify(Store.open(store.url))


def test_a_sound_store_says_what_was_covered(released: Store) -> None:
    found = fresh(released)
    assert not found.findings
    assert (found.versions, found.datasets, found.tables) == (1, 1, 3)
    assert found.objects > 10
    assert found.files == 3
    assert found.bytes > 0


@pytest.mark.parametrize("table", ["data", "predictions", "labels"])
@pytest.mark.parametrize("what", ["flipped", "cut", "gone"])
def test_each_data_file(released: Store, table: str, what: str) -> None:
    (file,) = (root(released) / "tables" / "small" / table).glob("*.parquet")
    whole = file.read_bytes()
    if what == "flipped":
        flip(file)
    elif what == "cut":
        file.write_bytes(whole[: len(whole) // 2])
    else:
        file.unlink()
    (finding, *_) = fresh(released).findings
    assert file.name in finding.message
    assert "backup" in finding.message
    file.write_bytes(whole)
    assert not fresh(released).findings


def read_bytes() -> int:
    """What this process has read so far."""
    return int(dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())["rchar"])


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="only Linux counts what a process reads")
def test_each_file_is_read_once_and_what_is_unchanged_never(released: Store, committed: Any, make_spec: Any) -> None:
    noise = np.random.default_rng(0).random(1_000_000)
    committed(make_spec(name="large"), pa.table({"id": range(len(noise)), "noise": noise}))
    released.tables.append("large", "predictions", pa.table({"noise": noise}), "p")
    before = read_bytes()
    found = fresh(released)
    once = read_bytes() - before
    assert found.bytes > 10 << 20
    assert found.bytes <= once < 1.2 * found.bytes
    assert not verify(Store.open(released.url), known=found.stamps).findings
    assert read_bytes() - before - once < 0.2 * found.bytes


def test_a_new_process_leaves_out_what_is_unchanged(
    released: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A flipped bit changes no time: a look at what is new reads none of it, whatever else names the file."""
    monkeypatch.setenv("SLIPSTREAM_STORE", released.url)
    monkeypatch.setenv("BENTOML_HOME", str(tmp_path / "var" / "bentoml"))
    assert CliRunner().invoke(app, ["verify"]).exit_code == 0
    for file in (root(released) / "tables" / "small").glob("*/*.parquet"):
        facts = file.stat()
        flip(file)
        os.utime(file, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    command = [sys.executable, "-m", "slipstream.cli", "verify"]
    new = subprocess.run([*command, "--new"], capture_output=True, text=True, check=False)
    assert (new.returncode, new.stderr) == (0, "")
    every = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (every.returncode, every.stdout.count("[data_checksum_mismatch]")) == (1, 3)


def test_each_object_is_met_once_and_named(released: Store) -> None:
    for file in (root(released) / "objects").rglob("*"):
        if file.is_file():
            flip(file)
            assert file.name in {one.name for one in fresh(released).findings}
            flip(file)
    report = next(
        digest for event in released.ledger.read() if (digest := (event.data.get("result") or {}).get("report"))
    )
    (root(released) / "objects" / report[:2] / report).unlink()
    assert [(one.part, one.name, one.code) for one in fresh(released).findings] == [("objects", report, "not_found")]


def test_heads_are_mended_and_copies_put_back(released: Store) -> None:
    data = next((root(released) / "tables" / "small" / "data").glob("*.parquet"))
    released.objects.put_file(data)
    flip(data)
    flip(root(released) / "tables" / "small" / "labels" / FILE)
    store = Store.open(released.url)
    found = mend(store, verify(store))
    assert len(found.findings) == 2
    assert not found.open
    assert not fresh(released).findings


def test_a_ledger_whose_head_is_damaged_is_mended(released: Store) -> None:
    flip(root(released) / "ledger" / FILE)
    store = Store.open(released.url)
    found = verify(store)
    assert [one.code for one in found.findings] == ["head_damaged"]
    assert not mend(store, found).open
    assert not fresh(released).findings


def test_what_was_looked_at_is_left_out_when_asked(released: Store) -> None:
    first = fresh(released)
    again = verify(Store.open(released.url), known=first.stamps)
    assert again.skipped == first.objects + first.files
    assert again.bytes == 0
    file = next((root(released) / "tables" / "small" / "data").glob("*.parquet"))
    flip(file)
    assert verify(Store.open(released.url), known=first.stamps).findings


def test_the_command(released: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SLIPSTREAM_STORE", released.url)
    monkeypatch.setenv("BENTOML_HOME", str(tmp_path / "var" / "bentoml"))
    good = CliRunner().invoke(app, ["verify", "--json"])
    assert good.exit_code == 0, good.output
    assert json.loads(good.stdout)["findings"] == []
    file = next((root(released) / "tables" / "small" / "data").glob("*.parquet"))
    flip(file)
    bad = CliRunner().invoke(app, ["verify", "--repair"])
    assert bad.exit_code == 1
    (line, *_) = bad.stdout.splitlines()
    assert line.startswith("tables [data_checksum_mismatch]: ")
    assert file.name in line
