"""The page about databases, followed as it stands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

PAGE = (Path(__file__).parents[4] / "docs/sql.md").read_text()


def test_the_page_can_be_followed(tmp_path: Path) -> None:
    for name in ("orders.py", "include/models/returns/model.yaml"):
        block = re.search(rf"```\w+\n# {re.escape(name)}\n(.*?)```", PAGE, re.DOTALL)
        assert block is not None, name
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(block[1])
    shells = re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)
    lines = [line.removeprefix("$ ").partition("#") for line in "".join(shells).splitlines()]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    environment |= {"SLIPSTREAM_MODELS": "include/models", "SLIPSTREAM_STORE": (tmp_path / "store").as_uri()}
    outputs = []
    for command, _, _ in lines:
        done = subprocess.run(
            command.split(), cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        outputs.append(done.stdout + done.stderr)
    expected = [remark.strip() for *_, remark in lines]
    assert expected[1:6:2] == ["400 rows", "empty: nothing new", "the 400 that came since"]
    assert re.search(r"rows\s+400", outputs[1]), outputs[1]
    assert re.search(r"empty\s+true", outputs[3]), outputs[3]
    assert re.search(r"rows\s+400", outputs[5]), outputs[5]
    assert re.search(r"added\s+400", outputs[6]), outputs[6]
    assert "800 rows" in outputs[7], outputs[7]
    assert "watermark: id" in (tmp_path / "include/models/back/model.yaml").read_text()
