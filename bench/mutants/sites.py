"""Every place of a file at which one small mistake can be made: a bound that moves, a condition that goes, and such."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

_COMPARED: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
}
_COUNTED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
}


@dataclass(frozen=True)
class Mutation:
    """One mistake.

    Attributes:
        path: The file, relative to the tree.
        line: Where it begins.
        start: Its first byte in the file.
        end: The byte after its last.
        before: What stands there.
        after: What the mistake puts in its place.
    """

    path: str
    line: int
    start: int
    end: int
    before: str
    after: str

    def applied(self, source: bytes) -> bytes:
        """The file with the mistake in it."""
        return source[: self.start] + self.after.encode() + source[self.end :]


def mutations(path: str, source: str) -> list[Mutation]:
    """All mistakes that can be made in *source*, in its order.

    Not in what says nothing of behaviour (annotations, decorators, docstrings, the words of messages and logs), and not
    in the constants of a module: they are settings, of which a test could only be a copy.
    """
    offsets = _offsets(source)
    found = []
    for node, changed in _mistakes(ast.parse(source)):
        assert isinstance(node, ast.expr | ast.stmt)
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        start = offsets[node.lineno - 1] + node.col_offset
        end = offsets[node.end_lineno - 1] + node.end_col_offset
        after = f"({changed})" if isinstance(node, ast.expr) else changed
        before = source.encode()[start:end].decode()
        found.append(Mutation(path, node.lineno, start, end, " ".join(before.split()), after))
    return sorted(found, key=lambda one: (one.start, one.end, one.after))


def _offsets(source: str) -> list[int]:
    """The byte at which each line begins."""
    offsets = [0]
    for line in source.encode().splitlines(keepends=True):
        offsets.append(offsets[-1] + len(line))
    return offsets


def _mistakes(tree: ast.Module) -> Iterator[tuple[ast.AST, str]]:
    for function in _functions(tree):
        for statement in function.body:
            for node in _walk(statement):
                for changed in _changed(node):
                    yield node, ast.unparse(changed)


def _functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """The outermost functions, methods among them."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
        elif isinstance(node, ast.ClassDef):
            yield from _functions(node)


def _walk(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes below *node* that behave."""
    if isinstance(node, _SILENT) or _logs(node) or (isinstance(node, ast.keyword) and node.arg == "strict"):
        return
    yield node
    for field, value in ast.iter_fields(node):
        if field in {"annotation", "returns", "decorator_list", "type_params"}:
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _walk(child)


def _logs(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and ast.unparse(node).startswith("_log.")


def _changed(node: ast.AST) -> Iterator[ast.AST]:
    """What *node* may become by a mistake."""
    return _MISTAKES.get(type(node), lambda _: iter(()))(node)


def _compare(node: ast.Compare) -> Iterator[ast.AST]:
    for other in _COMPARED[type(node.ops[0])]:
        yield ast.Compare(node.left, [other(), *node.ops[1:]], node.comparators)


def _both(node: ast.BoolOp) -> Iterator[ast.AST]:
    yield ast.BoolOp(ast.And() if isinstance(node.op, ast.Or) else ast.Or(), node.values)
    for place in range(len(node.values)):
        kept = node.values[:place] + node.values[place + 1 :]
        yield kept[0] if len(kept) == 1 else ast.BoolOp(node.op, kept)


def _arithmetic(node: ast.BinOp) -> Iterator[ast.AST]:
    if type(node.op) in _COUNTED:
        yield ast.BinOp(node.left, _COUNTED[type(node.op)](), node.right)


def _negated(node: ast.UnaryOp) -> Iterator[ast.AST]:
    if isinstance(node.op, ast.Not):
        yield node.operand


def _constant(node: ast.Constant) -> Iterator[ast.AST]:
    if isinstance(node.value, bool):
        yield ast.Constant(not node.value)
    elif isinstance(node.value, int | float):
        # One more than a thousand is often as good as a thousand.
        yield ast.Constant(node.value + 1 if abs(node.value) < 100 else node.value * 2)


def _call(node: ast.Call) -> Iterator[ast.AST]:
    for place, one in enumerate(node.keywords):
        if one.arg != "strict":  # it only says that two lists are as long as each other
            yield ast.Call(node.func, node.args, node.keywords[:place] + node.keywords[place + 1 :])


def _statement(node: ast.AST) -> Iterator[ast.AST]:
    if not isinstance(node, ast.Expr) or isinstance(node.value, ast.Call):
        yield ast.Pass()


_SILENT = (ast.JoinedStr, ast.Import, ast.ImportFrom, ast.Raise, ast.Assert)
_MISTAKES: dict[type[ast.AST], Callable[[Any], Iterator[ast.AST]]] = {
    ast.Compare: _compare,
    ast.BoolOp: _both,
    ast.BinOp: _arithmetic,
    ast.UnaryOp: _negated,
    ast.IfExp: lambda node: iter([ast.IfExp(node.test, node.orelse, node.body)]),
    ast.Constant: _constant,
    ast.Call: _call,
    ast.AugAssign: _statement,
    ast.Expr: _statement,
    ast.Break: _statement,
    ast.Continue: _statement,
}
