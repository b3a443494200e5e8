"""The house keeps its walls: no circles, one name for one thing, no word of a room's own for what has a name."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOTS = {name: ROOT / folder / name for name, folder in (
    ("slipstream", "include"), ("slipstream_airflow", "plugins"), ("slipstream_stack", "plugins"),
)}  # fmt: skip
VAGUE = {"said", "told", "made", "found", "kept", "asked"}
"""What nothing should be called: it says neither what is in a variable nor what a function does."""
STORED = {("slipstream.cell_reading", "said")}
"""Module, name: of fields that records of every release hold under that name."""
OTHERS = {("slipstream_airflow.operators.approve", "_asked")}
"""Module, name: of functions that are called so until their room is laid anew."""


def modules() -> dict[str, Path]:
    """Module -> its file."""
    named = {}
    for name, folder in ROOTS.items():
        for file in folder.rglob("*.py"):
            parts = [name, *file.relative_to(folder).with_suffix("").parts]
            named[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return named


MODULES = modules()
TREES = {name: ast.parse(file.read_text()) for name, file in MODULES.items()}


def imports(name: str) -> set[str]:
    """The modules of ours that a module imports anywhere: at its top, inside a function, or for types only."""
    direct: set[str] = set()
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Import):
            direct |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            direct |= {
                inner if (inner := f"{node.module}.{alias.name}") in MODULES else node.module for alias in node.names
            }
    return direct & MODULES.keys() - {name}


def circle(graph: dict[str, set[str]]) -> list[str]:
    """Modules that import each other in a circle; none if there is no circle."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_a_circle_is_noticed() -> None:
    assert set(circle({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}})) == {"a", "b", "c"}


def test_no_module_imports_itself_by_way_of_others() -> None:
    assert circle({name: imports(name) for name in MODULES}) == []


def test_a_class_name_is_one_thing() -> None:
    where: dict[str, list[str]] = defaultdict(list)
    for name, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                where[node.name].append(name)
    assert {name: places for name, places in where.items() if len(places) > 1} == {}


def test_every_room_says_what_is_in_it() -> None:
    rooms = [name for name, file in MODULES.items() if file.name == "__init__.py"]
    assert [name for name in rooms if not ast.get_docstring(TREES[name])] == []


def test_files_are_short() -> None:
    lengths = {name: len(file.read_text().splitlines()) for name, file in MODULES.items()}
    assert {name: lines for name, lines in lengths.items() if lines > 300} == {}


def test_variables_say_what_they_hold() -> None:
    vague: dict[str, int] = defaultdict(int)
    for name, tree in TREES.items():
        for node in ast.walk(tree):
            bound = [node.id] if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) else []
            bound += [node.arg] if isinstance(node, ast.arg) else []
            vague[name] += sum(one in VAGUE and (name, one) not in STORED for one in bound)
    assert {name: count for name, count in vague.items() if count} == {}


def test_functions_say_what_they_do() -> None:
    vague = {
        (name, node.name)
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.strip("_") in VAGUE
    }
    assert vague == OTHERS


def test_paths_that_the_guides_name_are_there() -> None:
    for guide in ("docs/architecture.md", "CONTRIBUTING.md"):
        text = (ROOT / guide).read_text()
        paths = set(re.findall(r"`([a-z_.]+/[A-Za-z0-9_./-]*)`", text)) - {"var/"}
        assert len(paths) > 20, guide
        places = [ROOT, ROOT / "include/slipstream", ROOT / "plugins"]
        assert [path for path in sorted(paths) if not any((place / path).exists() for place in places)] == [], guide


OWNERS = {
    r"\bdifflib\b": {"slipstream.hints"},
    r"\bduckdb\.connect\b": {"slipstream.duck"},
    r"\b(boto3|botocore)\.?\w* import\b|\bimport boto3\b": {"slipstream.store.bucket"},
    r"\.replace\('\"', '\"\"'\)": {"slipstream.duck"},
    r"row_number\(\) OVER \(\) AS slipstream_row": {"slipstream.duck"},
}
"""What stands in these modules alone: the nearest name, DuckDB's bounds, S3 and its errors, quoting, even samples."""


def test_each_of_these_is_done_in_one_place() -> None:
    for pattern, owners in OWNERS.items():
        assert {name for name, file in MODULES.items() if re.search(pattern, file.read_text())} == owners, pattern
