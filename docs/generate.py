"""Write the parts of the documentation that the code already says: `python docs/generate.py`, or `--check` in CI.

A page keeps its prose; what stands between ``<!-- generated: NAME -->`` and ``<!-- end -->`` is replaced. Nothing heavy
is imported: operators and errors are read from the source text.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from reference_backends import alerts, backends, checks, estimators, expectations, metrics, slots, steps
from reference_errors import errors
from reference_figures import suites
from reference_spec import spec

from slipstream.spec.loader import json_schema

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
SCHEMA = DOCS / "schema" / "model.schema.json"
_BLOCK = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def operators() -> Iterator[str]:
    """One section for each operator: what it does, what it takes, what it gives."""
    files = sorted((ROOT / "plugins/slipstream_airflow/operators").glob("*.py"))
    classes = [node for file in files for node in ast.parse(file.read_text()).body if isinstance(node, ast.ClassDef)]
    found = [node for node in classes if node.name.endswith("Operator")]
    for node in sorted(found, key=lambda node: (node.name != "SlipstreamOperator", node.name)):
        text, arguments = documented(node)
        yield f"### {node.name}\n\n{text}\n"
        if arguments:
            yield "| argument | meaning |\n|---|---|"
            yield from (f"| `{name}` | {meaning} |" for name, meaning in arguments if not name.startswith("*"))
            yield ""
        gives = next((ast.get_docstring(part) for part in methods(node) if part.name == "execute"), None)
        if gives:
            yield f"Gives (XCom): {gives.partition(chr(10) * 2)[0]}\n"


def methods(node: ast.ClassDef) -> list[ast.FunctionDef]:
    """The methods of a class."""
    return [part for part in node.body if isinstance(part, ast.FunctionDef)]


def documented(node: ast.ClassDef) -> tuple[str, list[tuple[str, str]]]:
    """A class's docstring as text for Markdown, and its arguments with their meaning."""
    text, _, rest = (ast.get_docstring(node) or "").partition("\nArgs:\n")
    entries = re.findall(r"^    (\S+): (.+(?:\n {8}.+)*)", rest, re.MULTILINE)
    return plain(text.strip()), [(name, plain(" ".join(meaning.split()))) for name, meaning in entries]


def plain(text: str) -> str:
    """Docstring markup as Markdown: roles and double backticks become code."""
    text = re.sub(r":(?:class|func|data|meth|mod):`~?([\w.]+)`", lambda found: f"`{found[1].rpartition('.')[2]}`", text)
    return text.replace("``", "`")


def example() -> Iterator[str]:
    """The hand-written DAG, as it stands in dags/."""
    yield f"```python\n{(ROOT / 'dags/example_flow.py').read_text()}```"


def cli() -> Iterator[str]:
    """One section for each verb."""
    import typer

    from slipstream.cli.main import app

    for name, command in sorted(typer.main.get_command(app).commands.items()):  # type: ignore[attr-defined]
        if hasattr(command, "commands"):
            yield f"### {name}\n\n{command.help}\n"
            for verb, part in sorted(command.commands.items()):
                yield from _verb(f"{name} {verb}", part, "####")
        else:
            yield from _verb(name, command, "###")


def _verb(name: str, command: Any, heading: str) -> Iterator[str]:
    arguments = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
    options = [parameter for parameter in command.params if parameter.param_type_name == "option"]
    words = [f"[{(one.metavar or one.name)}]" if not one.required else (one.metavar or one.name) for one in arguments]
    yield f"{heading} {name}\n\n```console\n$ slipstream {' '.join([name, *words])}\n```\n\n{command.help}\n"
    if options:
        yield "| option | meaning |\n|---|---|"
        yield from (f"| `{option.opts[0]}` | {option.help or ''}{_default(option.default)} |" for option in options)
        yield ""


def _default(value: object) -> str:
    return "" if value in (None, False) or callable(value) else f" (default `{value}`)"


BLOCKS: dict[str, Callable[[], Iterator[str]]] = {
    "spec": spec,
    "slots": slots,
    "backends": backends,
    "checks": checks,
    "alerts": alerts,
    "expectations": expectations,
    "estimators": estimators,
    "steps": steps,
    "metrics": metrics,
    "operators": operators,
    "example": example,
    "cli": cli,
    "errors": errors,
    **suites(),
}


def fresh() -> dict[Path, str]:
    """Every file that this script keeps, with the text that it should have."""
    texts = {SCHEMA: json.dumps(json_schema(), indent=2) + "\n"}
    for page in (*sorted(DOCS.glob("*.md")), ROOT / "bench" / "README.md"):
        texts[page] = _BLOCK.sub(lambda found: f"{found[1]}\n{_text(found[2])}\n\n{found[3]}", page.read_text())
    return texts


def _text(name: str) -> str:
    return "\n".join(BLOCKS[name]()).strip()


def main(arguments: list[str]) -> int:
    """Write what is stale, or with ``--check`` only name it."""
    stale = [path for path, text in fresh().items() if not path.exists() or path.read_text() != text]
    if "--check" not in arguments:
        for path in stale:
            path.parent.mkdir(exist_ok=True)
            path.write_text(fresh()[path])
    for path in stale:
        sys.stdout.write(f"{path.relative_to(ROOT)} {'is stale' if '--check' in arguments else 'written'}\n")
    if stale and "--check" in arguments:
        sys.stdout.write("Run: python docs/generate.py\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
