"""The page about workbooks, Delta tables and files on the web, followed as it stands."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from typer.testing import CliRunner

from slipstream.cli.main import app

if TYPE_CHECKING:
    import pytest

PAGE = (Path(__file__).parents[3] / "docs/sources.md").read_text()


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)


REMARKS = {
    "400 rows": r"rows\s+400",
    "empty: nothing new": r"empty\s+true",
    "the 400 that were appended": r"rows\s+400",
}


def test_the_page_can_be_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("flats.py", "include/models/rents/model.yaml"):
        block = re.search(rf"```\w+\n# {re.escape(name)}\n(.*?)```", PAGE, re.DOTALL)
        assert block is not None, name
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(block[1])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SLIPSTREAM_MODELS", "include/models")
    monkeypatch.setenv("SLIPSTREAM_STORE", (tmp_path / "store").as_uri())
    seen = 0
    for line in "".join(blocks("console")).splitlines():
        words, _, remark = line.removeprefix("$ ").partition("#")
        program, *arguments = shlex.split(words)
        if program == "python":
            subprocess.run([sys.executable, *arguments], check=True)
            continue
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 0, f"{words}: {done.output} {done.exception}"
        if remark:
            assert re.search(REMARKS[remark.strip()], done.output), f"{words}: {done.output}"
            seen += 1
    assert seen == 4
