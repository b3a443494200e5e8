"""The board on which workers agree: nobody goes ahead alone, and nobody waits for the dead or for ever."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from slipstream.errors import BackendError
from slipstream.serving.models import cutover as module
from slipstream.serving.models.cutover import CutoverBarrier


def test_the_common_number_is_that_of_the_slowest(tmp_path: Path) -> None:
    one, two = CutoverBarrier(tmp_path / "board"), CutoverBarrier(tmp_path / "board")
    first, second = one.row("flights"), two.row("flights")
    first.prepared(3)
    second.prepared(2)
    assert (first.advance(), first.common, second.common) == (0, 2, 2)
    assert second.advance() is None
    second.prepared(5)
    assert (second.advance(), first.common) == (2, 3)


def test_models_are_apart(tmp_path: Path) -> None:
    one, two = CutoverBarrier(tmp_path / "board"), CutoverBarrier(tmp_path / "board")
    rows = [board.row(name) for board in (one, two) for name in ("a", "b")]
    for row, number in zip(rows, (1, 7, 2, 9), strict=True):
        row.prepared(number)
    rows[0].advance()
    rows[1].advance()
    assert [row.common for row in rows] == [1, 7, 1, 7]


def test_a_worker_that_left_or_died_is_not_waited_for(tmp_path: Path) -> None:
    place = tmp_path / "board"
    program = (
        "import sys, time; from pathlib import Path; from slipstream.serving.models.cutover import CutoverBarrier\n"
        "row = CutoverBarrier(Path(sys.argv[1])).row('m'); row.prepared(1); row.advance()\n"
        "print('x', flush=True); time.sleep(60)"
    )
    other = subprocess.Popen([sys.executable, "-c", program, str(place)], stdout=subprocess.PIPE)
    assert other.stdout is not None
    other.stdout.read(1)
    mine = CutoverBarrier(place)
    row = mine.row("m")
    row.prepared(2)
    assert (row.advance(), row.common) == (None, 1)
    other.kill()
    while " Z " not in Path(f"/proc/{other.pid}/stat").read_text():
        time.sleep(0.01)
    assert (row.advance(), row.common) == (1, 2), "it still stands in the list of processes"
    other.communicate()
    leaving = CutoverBarrier(place)
    leaving.row("m").prepared(2)
    row.prepared(3)
    assert row.advance() is None
    leaving.close()
    assert row.advance() == 2


def test_a_slow_worker_is_waited_for_so_long_and_no_longer(tmp_path: Path) -> None:
    quick, slow = CutoverBarrier(tmp_path / "board", seconds=0.2), CutoverBarrier(tmp_path / "board")
    slow.row("m").prepared(1)
    row = quick.row("m")
    row.prepared(2)
    began = time.monotonic()
    while row.common < 2:
        row.advance()
        time.sleep(0.01)
    assert 0.15 < time.monotonic() - began < 2


def test_more_models_than_there_is_room_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MODELS", 3)
    board = CutoverBarrier(tmp_path / "board")
    for name in "abc":
        board.row(name)
    with pytest.raises(BackendError) as caught:
        board.row("d")
    assert caught.value.code == "board_full"


def test_reading_it_costs_a_request_next_to_nothing(tmp_path: Path) -> None:
    row = CutoverBarrier(tmp_path / "board").row("m")
    began = time.perf_counter()
    for _ in range(100_000):
        row.common  # noqa: B018
    assert (time.perf_counter() - began) / 100_000 < 5e-6
