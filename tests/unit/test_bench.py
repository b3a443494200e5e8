"""What the benchmarks measure with: a real server, and wrk where it is installed."""

from __future__ import annotations

import json
import os
import shutil
import sys
from contextlib import closing
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "bench"))

import report  # noqa: E402 - scripts of bench/, which is no package
from load.lineup import uvicorn  # noqa: E402
from load.server import Running, Server, running, started  # noqa: E402
from load.slices import load  # noqa: E402

ONE_ROW = json.dumps({"rows": [{"distance": 1}]}).encode()
REFUSES = """
async def app(scope, receive, send):
    status = 200 if scope["method"] == "GET" else 418
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": b"{}"})
"""


def test_a_ratio_above_1_means_that_ours_is_better() -> None:
    assert report.row("1 row", "ms", [1, 2, 9], [4, 4, 4], "echo").ratio == 2
    assert report.row_more("1 row", "1/s", [8, 8, 1], [4, 4, 4], "echo").ratio == 2


def test_details_stand_beside_the_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(report, "ROOT", tmp_path)
    rows = [report.row("1 row", "ms", [1], [2], "echo")]
    said = json.loads(report.report("some", rows, {"loads": []}).read_text())
    assert (said["suite"], said["details"]) == ("some", {"loads": []})
    assert said["rows"][0] == {
        "case": "1 row", "unit": "ms", "ours": 1, "peer": 2, "peer_name": "echo", "ratio": 2.0
    }  # fmt: skip
    assert "details" not in json.loads(report.report("some", rows).read_text())
    assert "2.00x" in capsys.readouterr().out


def test_a_server_is_started_measured_and_gone(tmp_path: Path) -> None:
    server = Server("echo", uvicorn("echo:app"), os.environ, ready="/")
    with running() as up:
        up["echo"], start = started(server, tmp_path, ONE_ROW)
        pid = up["echo"].process.pid
        assert 0 < start.cpu < 10
        assert start.memory > 10
        assert start.cpu_beyond == start.memory_beyond == 0, "one process is all there is"
        if shutil.which("wrk"):
            (tmp_path / "body").write_bytes(ONE_ROW)
            seen = load(up["echo"], tmp_path / "body", 2, 1)
            assert seen.rate > 100
            assert seen.p50 <= seen.p99
            assert 0.01 < seen.cpu < 10
    assert not psutil.pid_exists(pid)


@pytest.mark.skipif(shutil.which("wrk") is None, reason="needs wrk")
def test_a_slice_with_a_refused_request_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "refuses.py").write_text(REFUSES)
    (tmp_path / "body").write_bytes(ONE_ROW)
    words = [*uvicorn("refuses:app"), "--app-dir", str(tmp_path)]
    with running() as up:
        up["refuses"] = Running.of(Server("refuses", words, os.environ, ready="/"), tmp_path)
        up["refuses"].wait()
        with pytest.raises(SystemExit, match=r"refuses at 1 connections: .*'status': [1-9]"):
            load(up["refuses"], tmp_path / "body", 1, 1)
        with closing(up["refuses"].connect()) as connection, pytest.raises(SystemExit, match="refuses answered 418"):
            up["refuses"].post(connection, ONE_ROW)
