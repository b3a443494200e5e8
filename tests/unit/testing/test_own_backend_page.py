"""The trainer of one's own that the documentation shows, run as shown: its test, by its path, and as an entry point."""

from __future__ import annotations

import csv
import json
import os
import random
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

PAGE = (Path(__file__).parents[3] / "docs/own-backend.md").read_text()
FILES = ("my_package/trainers.py", "test_trainers.py", "include/models/delivery/model.yaml", "pyproject.toml")


def shown(name: str) -> str:
    """The block of the page that begins with that file's name."""
    block = re.search(rf"```\w+\n# {re.escape(name)}\n(.*?)```", PAGE, re.DOTALL)
    assert block is not None, name
    return block[1]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the page, and 300 deliveries whose minutes follow from distance and stops."""
    root = tmp_path_factory.mktemp("own")
    for name in FILES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(shown(name))
    (root / "my_package/__init__.py").touch()
    draw = random.Random(5)
    with (root / "include/models/delivery/deliveries.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "distance", "stops", "weight", "minutes"])
        for number in range(300):
            distance, stops = round(draw.uniform(1, 30), 1), draw.randrange(1, 9)
            minutes = round(2 * distance + 4 * stops + draw.expovariate(0.1), 1)
            weight = "" if number % 9 == 0 else draw.randrange(1, 50)
            rows.writerow([number, distance, stops, weight, minutes])
    return root


def run(project: Path, *words: str, path: str = "", **env: str) -> subprocess.CompletedProcess[str]:
    places = {
        "SLIPSTREAM_MODELS": str(project / "include/models"),
        "SLIPSTREAM_STORE": (project / "store").as_uri(),
        "PYTHONPATH": os.pathsep.join(filter(None, [path, *sys.path])),
    }
    environment = {**os.environ, **places, **env}
    return subprocess.run(
        [sys.executable, "-m", *words], cwd=project, env=environment, capture_output=True, text=True, check=False
    )


def slipstream(project: Path, *words: str, path: str, **env: str) -> dict[str, Any]:
    """The JSON that a command prints."""
    done = run(project, "slipstream.cli", *words, "--json", path=path, **env)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_its_test_passes(project: Path) -> None:
    done = run(project, "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "test_trainers.py")
    assert done.returncode == 0, done.stdout
    assert re.search(r"\b1\d passed", done.stdout)


@pytest.mark.slow
def test_it_is_trained_by_its_path(project: Path) -> None:
    allowed = {"path": str(project), "SLIPSTREAM_ALLOW_CODE": "1"}
    verbs = re.findall(r"^\$ slipstream (\w+) delivery$", PAGE, re.MULTILINE)
    assert verbs == ["ingest", "validate", "train", "evaluate"]
    results = {verb: slipstream(project, verb, "delivery", **allowed) for verb in verbs}
    assert results["ingest"]["rows"] == results["validate"]["good"] == 300
    assert results["evaluate"]["candidate"] == results["train"]["candidate"]
    assert 5 < results["evaluate"]["scores"]["mae"] < 20, (
        "nine of ten deliveries take less, so it is off by some minutes"
    )
    planned = run(project, "slipstream.cli", "plan", "delivery", **allowed)
    assert planned.returncode == 0, planned.stderr
    slipstream(project, "explain", "delivery", **allowed)
    packaged = slipstream(project, "package", "delivery", **allowed)
    assert packaged["version"] == 1, "skops stores it, and its bundle is complete"


def test_its_path_is_refused_where_code_is_not_allowed(project: Path) -> None:
    done = run(project, "slipstream.cli", "train", "delivery", path=str(project), SLIPSTREAM_ALLOW_CODE="")
    assert done.returncode == 1
    assert "set SLIPSTREAM_ALLOW_CODE=1" in done.stderr


def test_it_is_trained_by_its_entry_point(project: Path, tmp_path: Path) -> None:
    assert "$ uv pip install --no-build-isolation . " in PAGE
    elsewhere = ("--offline", "--no-deps", "--python", sys.executable, "--target", str(tmp_path / "lib"))
    installed = run(project, "uv", "pip", "install", "--no-build-isolation", ".", *elsewhere)
    assert installed.returncode == 0, installed.stderr
    assert tomllib.loads(shown("pyproject.toml"))["project"]["entry-points"]["slipstream.trainer"].keys() == {
        "quantile"
    }
    word = re.search(r"```yaml\ntrain:\n  (trainer: .*)\n```", PAGE)
    assert word is not None
    model = tmp_path / "models/delivery/model.yaml"
    model.parent.mkdir(parents=True)
    model.write_text(re.sub(r"trainer: .*", word[1], shown("include/models/delivery/model.yaml")))
    rows = (project / "include/models/delivery/deliveries.csv").read_bytes()
    (model.parent / "deliveries.csv").write_bytes(rows)
    env = {"SLIPSTREAM_MODELS": str(tmp_path / "models"), "SLIPSTREAM_STORE": (tmp_path / "store").as_uri()}
    for verb in ("ingest", "validate", "train"):
        result = slipstream(tmp_path, verb, "delivery", path=str(tmp_path / "lib"), **env, SLIPSTREAM_ALLOW_CODE="")
    assert 200 < result["rows_train"] < 280
