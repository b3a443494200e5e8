"""The references of slots, back ends, alerts and the words that a model file may use."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from slipstream.slots import SLOTS
from slipstream.spec.estimators import CALIBRATED, CLASSIFIERS, LOWER_IS_BETTER, METRICS, REFUSED, REGRESSORS
from slipstream.spec.expectations import BATCH_EXPECTATIONS, REFUSED_EXPECTATIONS, ROW_EXPECTATIONS, TABLE_EXPECTATIONS
from slipstream.spec.prepare import STEPS
from slipstream.spec.signatures import table
from slipstream.testing import checks_of
from slipstream.testing.suite import SHARED_CHECKS

ROOT = Path(__file__).parents[1]


def slots() -> Iterator[str]:
    """One row for each slot."""
    yield "| slot | words | what fills it |\n|---|---|---|"
    for slot in SLOTS:
        words = ", ".join(f"`{word}`" for word in slot.builtin)
        yield f"| {slot.name} | {words} | {_first(slot.contract.__doc__)} |"


def backends() -> Iterator[str]:
    """One section for each back end: its arguments stand beside ``type``."""
    for slot in SLOTS:
        for word, path in slot.builtin.items():
            module, _, name = path.partition(":")
            made = getattr(importlib.import_module(module), name)
            yield f"### {slot.name}: `{word}`\n\n{_first(made.__doc__)}\n"
            yield from _arguments(inspect.signature(made), _meanings(made.__doc__ or ""))


def checks() -> Iterator[str]:
    """One row for each check of each slot's suite; those that all suites share stand first, once."""
    yield "| slot | check | what it proves |\n|---|---|---|"
    for check in SHARED_CHECKS:
        yield f"| every slot | `{check.__name__}` | {_first(check.__doc__)} |"
    for slot in SLOTS:
        for check in checks_of(slot.name)[len(SHARED_CHECKS) :]:
            yield f"| {slot.name} | `{check.__name__}` | {_first(check.__doc__)} |"


def alerts() -> Iterator[str]:
    """One row for each word of ``alerts``; read from the text, because the module needs Airflow."""
    tree = ast.parse((ROOT / "plugins/slipstream_airflow/notifiers.py").read_text())
    words = {value.value: key.value for key, value in _table(tree)}
    yield "| type | what it does | arguments |\n|---|---|---|"
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and (word := words.get(f"slipstream_airflow.notifiers:{node.name}")):
            text = ast.get_docstring(node) or ""
            meanings = _meanings(text)
            arguments = "; ".join(f"`{name}`: {meaning}" for name, meaning in meanings.items())
            yield f"| `{word}` | {_first(text)} | {arguments} |"


def _table(tree: ast.Module) -> Iterator[tuple[Any, Any]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            yield from ((k, v) for k, v in zip(node.keys, node.values, strict=True) if isinstance(v, ast.Constant))


def expectations() -> Iterator[str]:
    """The lists of expectations, and those that a contract cannot name."""
    kinds = (("Row", ROW_EXPECTATIONS), ("Batch", BATCH_EXPECTATIONS), ("Table", TABLE_EXPECTATIONS))
    for title, names in kinds:
        yield f"**{title}**: {', '.join(f'`{name}`' for name in names)}.\n"
    yield "Not in a contract:\n"
    for reason, refused in _by_reason(REFUSED_EXPECTATIONS).items():
        yield f"- {', '.join(f'`{name}`' for name in refused)}: {reason}."
    yield ""


def estimators() -> Iterator[str]:
    """The allow-list."""
    for title, names in (("Classification", CLASSIFIERS), ("Regression", REGRESSORS)):
        yield f"**{title}**: {', '.join(f'`{name}`' + ('*' if name in CALIBRATED else '') for name in names)}.\n"
    yield "`*`: tells no probability by itself; a sigmoid is fitted to its score in five folds.\n"
    yield "Not by name:\n"
    for reason, paths in _by_reason(REFUSED).items():
        names = [path.rpartition(".")[2] for path in paths]
        yield f"- {', '.join(f'`{name}`' for name in names)}: {reason}."
    yield ""


def _by_reason(refused: Mapping[str, str]) -> dict[str, list[str]]:
    reasons: dict[str, list[str]] = {}
    for name, reason in refused.items():
        reasons.setdefault(reason, []).append(name)
    return reasons


def steps() -> Iterator[str]:
    """The steps of ``prepare`` with their arguments."""
    yield "| step | scikit-learn's | takes | arguments |\n|---|---|---|---|"
    takes = {"number": "numbers", "word": "words", "any": "either"}
    for name, step in STEPS.items():
        known = ", ".join(f"`{argument}`" for argument in table()["steps"][name])
        holds = "dates" if name == "date_parts" else takes[step.takes]
        together = "; columns together" if step.together else ""
        yield f"| `{name}` | `{step.path.rpartition('.')[2]}` | {holds}{together} | {known} |"


def metrics() -> Iterator[str]:
    """The metrics of each task."""
    yield "| task | metrics |\n|---|---|"
    for task, names in METRICS.items():
        yield f"| `{task}` | {', '.join(f'`{name}`' + (' ↓' if name in LOWER_IS_BETTER else '') for name in names)} |"


def _arguments(signature: inspect.Signature, meanings: dict[str, str]) -> Iterator[str]:
    if not signature.parameters:
        yield "It takes no arguments.\n"
        return
    yield "| argument | default | meaning |\n|---|---|---|"
    for name, parameter in signature.parameters.items():
        yield f"| `{name}` | {_default(parameter)} | {meanings.get(name, '')} |"
    yield ""


def _default(parameter: inspect.Parameter) -> str:
    if parameter.default is inspect.Parameter.empty:
        return "**required**"
    value = parameter.default
    return "" if value in ("", None, ()) or "factory" in str(value) else f"`{value}`"


def _first(text: str | None) -> str:
    return _markdown(" ".join(inspect.cleandoc(text or "").partition("\n\n")[0].split()))


def _meanings(text: str) -> dict[str, str]:
    """The entries of the sections ``Attributes`` and ``Args`` of a docstring."""
    entries = re.findall(r"^    (\w+): (.+(?:\n {8}.+)*)", inspect.cleandoc(text), re.MULTILINE)
    return {name: _markdown(" ".join(meaning.split())) for name, meaning in entries}


def _markdown(text: str) -> str:
    text = re.sub(r":\w+:`~?([\w.]+)`", lambda found: f"`{found[1].rpartition('.')[2]}`", text)
    return text.replace("``", "`").replace("|", "\\|")
