"""Which tests are nearest to a module: those of its name or room, then those the fewest imports away from it."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

FAR = 99


def nearest(tree: Path, module: str, many: int) -> list[str]:
    """At most so *many* test files of *tree*, the nearest first."""
    modules = {
        _name(path.relative_to(tree / "include")): path for path in (tree / "include").glob("slipstream/**/*.py")
    }
    tests = {_name(path.relative_to(tree)): path for path in tree.glob("tests/**/*.py")}
    every = modules | tests
    graph = {name: _imported(path, every) for name, path in every.items()}
    words = set(module.split(".")[1:])
    ranked = []
    for name, path in tests.items():
        if path.stem.startswith("test_") and name.startswith(("tests.unit.", "tests.contract.")):
            own = {part for folder in path.with_suffix("").relative_to(tree).parts[2:] for part in folder.split("_")}
            named = sum(_named_alike(word, other) for word in words for other in own)
            steps = _steps(graph[name], module, graph)
            ranked.append((steps - named, path.stat().st_size, str(path.relative_to(tree)), steps))
    return [path for _, _, path, steps in sorted(ranked) if steps < FAR][:many]


def _named_alike(word: str, other: str) -> bool:
    """``monitoring`` and ``monitor`` are alike."""
    return min(len(word), len(other)) > 3 and (word.startswith(other) or other.startswith(word))


def _name(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imported(path: Path, modules: Mapping[str, Path]) -> set[str]:
    """Those of *modules* that a file names in an import, wherever it stands."""
    return {name for name in _named(ast.parse(path.read_text(encoding="utf-8"))) if name in modules}


def _named(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _steps(begin: set[str], module: str, graph: Mapping[str, set[str]]) -> int:
    """How many imports lead from *begin* to *module*."""
    seen, edge = set(begin), begin
    for steps in range(1, FAR):
        if module in edge:
            return steps
        edge = {name for one in edge for name in graph[one]} - seen
        if not edge:
            break
        seen |= edge
    return FAR
