"""The examples of own models: a pipeline in code, a booster, an import; trained, served and explained."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import Stack

pytestmark = pytest.mark.e2e

ROWS: dict[str, dict[str, Any]] = {
    "credit": {"student": False, "balance": 1800.0, "income": 30000.0},
    "wages": {
        "year": 2006,
        "age": 40,
        "marital": "Married",
        "education": "College Grad",
        "job": "Information",
        "health": "never heard of",
        "insured": "Yes",
    },
    "juice": {"loyalty": 0.2, "price_difference": -0.3, "special_ch": 0, "special_mm": 1, "store": 3},
}


def slipstream(stack: Stack, *words: str) -> Any:
    """What the command prints as JSON, run as somebody at the stack's machine would."""
    command = [str(Path(sys.executable).with_name("slipstream")), *words, "--json"]
    done = subprocess.run(command, env=stack.env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def answered(stack: Stack, model: str, verb: str, version: int) -> dict[str, Any]:
    """The endpoint's reply, once it serves that version."""
    deadline = time.monotonic() + 60
    body = {"rows": [ROWS[model]]}
    while True:
        reply = httpx.post(f"{stack.endpoint_url}/models/{model}/{verb}", json=body, trust_env=False, timeout=10)
        if reply.status_code == 200 and reply.json()["version"] == version:
            return dict(reply.json())
        assert time.monotonic() < deadline, reply.text
        time.sleep(0.5)


@pytest.mark.parametrize("model", ["credit", "wages"])
def test_one_command_leads_from_the_data_to_the_answer(stack: Stack, model: str) -> None:
    slipstream(stack, "plan", model)
    slipstream(stack, "run", model)
    reply = answered(stack, model, "predict", 1)
    assert slipstream(stack, "predict", model, json.dumps(ROWS[model]))["predictions"] == reply["predictions"]
    effects = answered(stack, model, "explain", 1)
    assert all(name in json.dumps(effects) for name in ROWS[model])


def test_an_imported_champion_stands_before_a_trained_challenger(stack: Stack) -> None:
    slipstream(stack, "ingest", "juice")
    slipstream(stack, "validate", "juice")
    file = stack.layout.models / "juice/trained_elsewhere.txt"
    candidate = slipstream(stack, "import", "juice", "--from", str(file))["candidate"]
    slipstream(stack, "run", "juice", "--candidate", candidate)
    champion = answered(stack, "juice", "predict", 1)
    assert champion["probabilities"][0] > 0.5
    assert "loyalty" in json.dumps(answered(stack, "juice", "explain", 1))
    lineage = slipstream(stack, "bundle", "juice", "--part", "lineage")
    assert lineage["imported"]["format"].startswith("LightGBM")

    trained = slipstream(stack, "train", "juice")["candidate"]
    evaluated = slipstream(stack, "evaluate", "juice", "--candidate", trained)
    assert evaluated["champion"] == 1
