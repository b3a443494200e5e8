"""The reference of errors: every stable code that the source text gives to an error, with the sentences it is in."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from slipstream import errors as tree

ROOT = Path(__file__).parents[1]
FOLDERS = ("include/slipstream", "plugins/slipstream_airflow", "plugins/slipstream_stack")
CLASSES = {name: made for name, made in vars(tree).items() if isinstance(made, type) and issubclass(made, Exception)}
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_CODE = re.compile(r"^[a-z]+(_[a-z0-9]+)*$")


@dataclass(frozen=True)
class Use:
    """One place of the source where an error is made: its code, its class and its text, values as ``{name}``."""

    code: str
    kind: str
    text: str


def errors() -> Iterator[str]:
    """One section for each class of errors, in the order of the tree, with a row for each code."""
    for name, text in _kinds().items():
        rows: dict[str, list[str]] = {CLASSES[name].code: []} if hasattr(CLASSES.get(name), "code") else {}
        for use in found():
            if use.kind == name:
                rows.setdefault(use.code, []).append(use.text)
        yield f"### {name}\n\n{' '.join(text.split()).replace('``', '`')}\n"
        yield "| code | said as |\n|---|---|"
        for code, texts in sorted(rows.items()):
            yield f"| `{code}` | {'<br>'.join(_cell(text) for text in texts if _says(text))} |"
        yield ""


def _kinds() -> dict[str, str]:
    """Every class of errors with its meaning: the tree first, then those of the stack."""
    own = {use.kind: use.text for use in found() if use.kind not in CLASSES}
    return {name: made.__doc__ or "" for name, made in CLASSES.items()} | dict(sorted(own.items()))


def _says(text: str) -> bool:
    """Whether words are left when the values are taken out."""
    return bool(re.search(r"[a-z]{2}", re.sub(r"\{[^}]*\}", "", text)))


def codes() -> set[str]:
    """Every code that an error can have."""
    return {use.code for use in found()} | {made.code for made in CLASSES.values() if hasattr(made, "code")}


@cache
def found() -> tuple[Use, ...]:
    """Every use of an error in the source text, in its order."""
    return tuple(dict.fromkeys(_found()))


def _found() -> Iterator[Use]:
    for folder in FOLDERS:
        for file in sorted((ROOT / folder).rglob("*.py")):
            module = ast.parse(file.read_text())
            constants = {name: part.value for part in _assigned(module.body) for name in _names(part)}
            constants = {name: value for name, value in constants.items() if isinstance(value, ast.Constant)}
            for statement in module.body:
                if not isinstance(statement, _SCOPES):
                    yield from _in_function(statement, constants)
            for scope in ast.walk(module):
                if isinstance(scope, ast.FunctionDef | ast.AsyncFunctionDef):
                    yield from _in_function(scope, constants)
                elif isinstance(scope, ast.ClassDef) and scope.name.endswith("Error") and scope.name not in CLASSES:
                    yield from _own_class(scope)


def _own_class(scope: ast.ClassDef) -> Iterator[Use]:
    for part in scope.body:
        if isinstance(part, ast.Assign) and _names(part) == ["code"] and isinstance(part.value, ast.Constant):
            yield Use(str(part.value.value), scope.name, ast.get_docstring(scope) or "")


def _assigned(nodes: Iterable[ast.AST]) -> list[ast.Assign]:
    return [part for part in nodes if isinstance(part, ast.Assign)]


def _in_function(scope: ast.AST, constants: Mapping[str, ast.expr]) -> Iterator[Use]:
    assigned = _assigned(ast.walk(scope))
    for node in ast.walk(scope):
        line = getattr(node, "lineno", 0)
        before = sorted((part for part in assigned if part.lineno <= line), key=lambda part: part.lineno)
        said = {**constants, **{name: part.value for part in before for name in _names(part)}}
        if isinstance(node, ast.Call):
            yield from _call(node, said)
        elif isinstance(node, ast.Tuple) and len(node.elts) == 2 and _is_code(node.elts[1], "spec_"):
            yield Use(node.elts[1].value, "SpecError", _text(node.elts[0], said))  # type: ignore[attr-defined]


def _call(node: ast.Call, said: dict[str, ast.expr]) -> Iterator[Use]:
    name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
    given = next((key.value for key in node.keywords if key.arg == "code"), None)
    kind = {"SpecProblem": "SpecError", "unknown": "SpecError"}.get(name, name)
    if name == "unknown" and len(node.args) > 3 and _is_code(node.args[3]):
        yield Use(node.args[3].value, kind, "no {what} is called {value}; did you mean {near}?")  # type: ignore[attr-defined]
        return
    text = _text(node.args[0], said) if node.args else ""
    for code in _constants(given, said):
        yield Use(code, kind if kind in CLASSES else "SlipstreamError", text)
    if given is None and name in CLASSES and text:
        yield Use(CLASSES[name].code, name, text)  # type: ignore[attr-defined]


def _constants(given: ast.expr | None, said: dict[str, ast.expr]) -> list[str]:
    if isinstance(given, ast.Name):
        given = said.get(given.id)
    if isinstance(given, ast.IfExp):
        return _constants(given.body, said) + _constants(given.orelse, said)
    return [given.value] if given is not None and _is_code(given) else []  # type: ignore[attr-defined]


def _is_code(node: ast.expr, start: str = "") -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and bool(
        _CODE.match(node.value) and node.value.startswith(start)
    )  # fmt: skip


def _names(part: ast.Assign) -> list[str]:
    return [target.id for target in part.targets if isinstance(target, ast.Name)]


def _text(node: ast.expr | None, said: dict[str, ast.expr], depth: int = 0) -> str:
    """The sentence, with ``{name}`` where the value of an expression stands."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part, said, depth) for part in node.values)
    if isinstance(node, ast.FormattedValue):
        text = _text(node.value, said, depth) if isinstance(node.value, ast.Name) else ""
        return text if text and not text.startswith("{") else f"{{{_short(node.value)}}}"
    if isinstance(node, ast.BinOp):
        return _text(node.left, said, depth) + _text(node.right, said, depth)
    known = said.get(node.id) if isinstance(node, ast.Name) and depth < 3 else None
    if isinstance(known, ast.JoinedStr | ast.Constant | ast.BinOp):
        return _text(known, said, depth + 1)
    return f"{{{_short(node)}}}" if node is not None else ""


def _short(node: ast.expr) -> str:
    """A word for what an expression gives."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return node.attr
    if isinstance(node, ast.Call) and node.args:
        return _short(node.args[0])
    if isinstance(node, ast.Subscript):
        return _short(node.value)
    if isinstance(node, ast.IfExp):
        return _short(node.body)
    return _short(node.values[0]) if isinstance(node, ast.BoolOp) else "…"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
