"""What the plan says works anew after a change is what the stages' keys depend on."""

from __future__ import annotations

import ast
import inspect
import json
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType
from typing import Any

import pytest

import slipstream.stages
from slipstream.commands.plan import _changes, _touches, stage_reads
from slipstream.spec.model import ModelSpec, value_at

MODULES = {name: import_module(f"slipstream.stages.{name}") for _, name, _ in iter_modules(slipstream.stages.__path__)}
EDITS = {
    "name": "other",
    "description": "Another.",
    "owner": "ada",
    "target": "distance",
    "positive": "late",
    "inputs": ["carrier"],
    "data.source.path": "other/*.csv",
    "data.time": "date",
    "data.key": ["day"],
    "contract.on_failure": "warn",
    "train.seed": 8,
    "train.min_rows": 51,
    "evaluate.metric": "log_loss",
    "evaluate.metrics": ["accuracy"],
    "evaluate.bootstrap": 50,
    "gates.0.bound": 0.6,
    "gates.0.metric": "accuracy",
    "gates.1.metric": "accuracy",
    "explain": {"type": "shap"},
    "approval.mode": "manual",
    "deploy.timeout": "1h",
    "monitor.min_rows": 77,
    "monitor.window": "2d",
    "monitor.quality.maturity": "3d",
    "monitor.quality": None,
    "retrain.rows": 1000,
    "schedule.monitor": ["predictions"],
    "trackers": [{"type": "jsonl", "path": "runs.jsonl"}],
    "pool": "heavy",
}


def keyed_by(module: ModuleType) -> set[str]:
    """What stands where ``run_key`` is given the parts of the model file."""
    calls = [node for node in ast.walk(ast.parse(inspect.getsource(module))) if isinstance(node, ast.Call)]
    return {ast.unparse(one.args[1]) for one in calls if isinstance(one.func, ast.Name) and one.func.id == "run_key"}


def part(stage: str, spec: ModelSpec) -> Any:
    """What the keys of the stage's runs take of the model file."""
    module = MODULES[stage]
    return module._part(spec) if stage == "evaluate" else spec.part(*module.READS)


def edited(spec: ModelSpec, key: str, value: Any) -> ModelSpec:
    plain = spec.model_dump(mode="json")
    *path, last = [int(word) if word.isdigit() else word for word in key.split(".")]
    place: Any = plain
    for word in path:
        place = place[word]
    place[last] = value
    return ModelSpec.model_validate_json(json.dumps(plain))


@pytest.fixture
def spec(make_spec: Any) -> ModelSpec:
    gates = [{"type": "metric", "metric": "roc_auc", "bound": 0.5}, {"type": "slice", "bound": 0.5}]
    monitor = {"window": "1d", "quality": {"max_loss": 0.1, "maturity": "1d"}}
    evaluate = {"metric": "roc_auc", "slices": ["carrier"]}
    made: ModelSpec = make_spec(gates=gates, evaluate=evaluate, monitor=monitor)
    return made


def test_every_stage_keys_its_runs_by_what_it_reads() -> None:
    reading = {name: parts for name, module in MODULES.items() if (parts := keyed_by(module) - {"{}"})}
    assert reading.pop("rebuild") == {"spec.part(*READS)"}  # works anew when asked to only; reads what validate does
    assert reading.pop("import_model") == {"spec.part(*READS)"}  # no change of the model file brings the file again
    assert reading.pop("evaluate") == {"_part(spec)"}
    assert set(map(frozenset, reading.values())) == {frozenset({"spec.part(*READS)"})}
    assert stage_reads() == {name: MODULES[name].READS for name in (*reading, "evaluate")}


def test_what_stages_read_is_there(spec: ModelSpec) -> None:
    places = {place for reads in stage_reads().values() for place in reads}
    plain = spec.model_dump(mode="json")
    for place in places:
        *path, last = place.split(".")
        assert last in value_at(plain, path), place


@pytest.mark.parametrize("key", EDITS)
def test_the_plan_names_the_stages_whose_keys_change(key: str, spec: ModelSpec) -> None:
    after = edited(spec, key, EDITS[key])
    plain = [one.model_dump(mode="json") for one in (spec, after)]
    changes = list(_changes(*plain))
    assert changes
    for stage, reads in stage_reads().items():
        anew = part(stage, spec) != part(stage, after)
        within = any(_touches(one.key, one.before, one.after, place) for one in changes for place in reads)
        # Of the gates evaluate reads the metrics only; the plan does not tell them from bounds.
        assert within if anew else (not within or (stage == "evaluate" and key.startswith("gates.")))
        assert not anew or any(stage in change.anew for change in changes)
