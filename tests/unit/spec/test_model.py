"""What model.yaml may say, and what it says when it may not."""

from __future__ import annotations

import contextlib
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipstream.errors import SpecError
from slipstream.spec.loader import find_spec, json_schema, load_spec, load_specs, parse_spec
from slipstream.spec.model import ModelSpec

SMALL = """\
name: small
task: binary
target: late
inputs: [a, b]
data:
  source: {type: files, path: "*.csv"}
  time: t
train:
  trainer: {type: sklearn, estimator: sklearn.linear_model.LogisticRegression}
  holdout: 14d
evaluate: {metric: roc_auc}
"""


def test_a_small_file_is_enough() -> None:
    spec = parse_spec(SMALL)
    assert spec.name == "small"
    assert spec.train.holdout == timedelta(days=14)
    assert spec.contract.on_failure == "fail"
    assert spec.schedule.monitor == ("data",)
    assert spec.explain == {"type": "permutation"}


# tests/data/wrong_models.md has the whole texts of a hundred mistakes; these are the stable codes.
BAD = [
    # (text to replace, replacement, code, part of the message)
    ("task: binary", "task: binry", "spec_invalid", "model.yaml:2:7: task: expected binary, multiclass or regression"),
    ("holdout: 14d", "holdout: 14dd", "spec_invalid", "model.yaml:10:12: train.holdout: expected a duration such as"),
    ("holdout: 14d", "holdut: 14d", "spec_key_unknown", "model.yaml:10:3: train.holdut: unknown key; did you mean"),
    ("target: late", "target: 1.10", "spec_string_expected", "model.yaml:3:9: target: expected a text, got 1.1"),
    ("name: small", "name: ../x", "spec_invalid", "model.yaml:1:7: name: a name has small letters"),
    ("LogisticRegression", "LogistcRegression", "spec_estimator_unknown", "model.yaml:9:39: train.trainer.estimator: "),
    (
        "sklearn.linear_model.LogisticRegression",
        "os.system",
        "spec_estimator_unknown",
        "'os.system' is not an estimator",
    ),
    ("LogisticRegression", "Ridge", "spec_invalid", "'sklearn.linear_model.Ridge' does not do task binary"),
    ("metric: roc_auc", "metric: auc", "spec_metric_unknown", "model.yaml:11:20: evaluate.metric: no binary metric is"),
    ("task: binary\n", "", "spec_key_missing", "task: this key is missing"),
    ("inputs: [a, b]", "inputs: [a, slipstream_x]", "spec_column_reserved", "inputs.1: column 'slipstream_x'"),
    ("type: files", "typ: files", "unknown_backend", "data.source: needs a 'type' that names the source"),
    ("{type: files", "{type: fils", "unknown_backend", "no source is called 'fils'; did you mean 'files'?"),
    (
        "{type: files",
        "{size: 1, type: files",
        "backend_argument",
        "source 'files' takes no 'size'; it takes path, format",
    ),
    ("{type: files", "{type: 'a.b:C'", "backend_code_forbidden", "'a.b:C' names code"),
    (
        "evaluate:",
        "contract: {expectations: [{type: expect_foo}]}\nevaluate:",
        "spec_expectation_unknown",
        "'expect_foo'",
    ),
    ("evaluate:", "explain: null\nevaluate:", "spec_invalid", "explain: expected keys and values such as {type: perm"),
    ("evaluate:", "retrain: {windows: 101}\nevaluate:", "spec_invalid", "expected a number of at most 100, got 101"),
    (
        "inputs: [a, b]",
        f"inputs: [a, {'x' * 200}]",
        "spec_invalid",
        "expected a text of at most 128 characters, got 200",
    ),
    # The YAML itself.
    ("target: late", "target: &x late", "spec_alias", "model.yaml:3:9: aliases (& and *) are not allowed"),
    (
        "target: late",
        "target: !!python/object:os.system late",
        "spec_yaml_tag",
        "tag '!!python/object:os.system' is not",
    ),
    ("target: late", "target: late\ntarget: z", "spec_duplicate_key", "key 'target' repeated (lines 3 and 4)"),
    ("target: late", "target: [late", "spec_yaml", "not YAML: a list that is not closed by ]"),
    ("target: late", "target: late\n1: late", "spec_yaml", "model.yaml:4:1: 1: a key must be a text"),
    ("target: late", "target: late\n[a, b]: late", "spec_yaml", "model.yaml:4:1: file: a key must be a text"),
    ("target: late", "target: \x01", "spec_yaml", "not YAML: "),
    ("inputs: [a, b]", "inputs: " + "[" * 30 + "]" * 30, "spec_too_large", "nested deeper than 20 levels"),
    ("inputs: [a, b]", "description: " + "x" * 300_000, "spec_too_large", "larger than 262144 bytes"),
    ("inputs: [a, b]", "inputs: " + "9" * 5000, "spec_yaml", "model.yaml:4:9: inputs: a number of 5000 digits"),
]


@pytest.mark.parametrize(
    ("old", "new", "code", "text"), BAD, ids=[f"{bad[2]}-{number}" for number, bad in enumerate(BAD)]
)
def test_what_is_wrong_is_named(old: str, new: str, code: str, text: str) -> None:
    assert old in SMALL
    with pytest.raises(SpecError) as caught:
        parse_spec(SMALL.replace(old, new, 1))
    assert caught.value.code == code
    assert text in str(caught.value)
    assert len(str(caught.value)) < 2500


def test_plain_words_stay_words() -> None:
    spec = parse_spec(
        SMALL.replace("inputs: [a, b]", "inputs: [no, 'on', 12:30:45]")
        .replace("late", "{{ x }}", 1)
        .replace("{{ x }}", '"{{ x }}"')
    )
    assert spec.inputs == ("no", "on", "12:30:45")
    assert spec.target == "{{ x }}"


@pytest.mark.parametrize("text", ["", "[]", "just words", "3"])
def test_a_file_that_is_no_mapping(text: str) -> None:
    with pytest.raises(SpecError, match="expected keys and values"):
        parse_spec(text)


def test_one_bad_file_does_not_hide_the_others(tmp_path: Path) -> None:
    for name in ("alpha", "beta", "gamma"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.yaml").write_text(SMALL.replace("small", name))
    (tmp_path / "beta" / "model.yaml").write_text("name: [")
    found = list(load_specs(tmp_path))
    assert [type(spec).__name__ for spec in found] == ["ModelSpec", "SpecError", "ModelSpec"]
    assert found[0].folder == (tmp_path / "alpha").resolve()
    (tmp_path / "gamma" / "model.yaml").write_text(SMALL)
    with pytest.raises(SpecError, match="name is 'small' but the folder is 'gamma'"):
        load_spec(tmp_path / "gamma")
    with pytest.raises(SpecError, match=r"No model is called 'alhpa'\. Did you mean 'alpha'"):
        find_spec(tmp_path, "alhpa")
    with pytest.raises(SpecError, match="no such model file"):
        load_spec(tmp_path / "delta")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "model.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SpecError, match="cannot be read"):
        load_spec(tmp_path / "model.yaml")


def test_the_schema_knows_every_key() -> None:
    schema = json_schema()
    assert set(schema["properties"]) == set(ModelSpec.model_fields)
    assert schema["additionalProperties"] is False
    undocumented = [
        name for name, field in ModelSpec.model_fields.items() if not field.description and name not in _OBVIOUS
    ]
    assert undocumented == []


_OBVIOUS = {"data", "contract", "train", "evaluate", "gates", "approval", "deploy", "monitor", "retrain", "schedule"}


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=200))
def test_any_text_is_a_spec_or_a_spec_error(text: str) -> None:
    with contextlib.suppress(SpecError):
        parse_spec(text)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 400), st.sampled_from("mhdw"), st.floats(0.01, 0.99), st.integers(0, 2**31))
def test_what_is_dumped_is_what_was_read(number: int, unit: str, share: float, seed: int) -> None:
    import json

    text = SMALL.replace("holdout: 14d", f"holdout: {share}\n  window: {number}{unit}\n  seed: {seed}")
    spec = parse_spec(text)
    dumped = json.dumps(spec.model_dump(mode="json", exclude_defaults=True))
    assert parse_spec(dumped) == spec
