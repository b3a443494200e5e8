"""The documentation names everything that there is, and nothing that there is not."""

from __future__ import annotations

import ast
import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import typer
import yaml

from slipstream.cli.main import app
from slipstream.serving.http.routes import PATHS
from slipstream.slots import SLOTS
from slipstream.spec.loader import parse_spec

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
sys.path.insert(0, str(DOCS))

import generate  # noqa: E402 - scripts of docs/, which is no package
import reference_errors  # noqa: E402
import reference_spec  # noqa: E402

PAGES = {page.name: page.read_text() for page in sorted(DOCS.glob("*.md"))}
README = ROOT / "README.md"
CODE = [*(ROOT / "include/slipstream").rglob("*.py"), *(ROOT / "plugins").rglob("*.py")]
_EVENT = re.compile(
    r'(?<!faultpoint\()"((?:dataset|validation|run|version|approval|deployment|drift|labels|joined|retrain|reproduction|key|model|schema)\.[a-z_]+)"'
)
FILES = (".py", ".yaml", ".json", ".jsonl", ".skops", ".parquet", ".html")


def anchors(text: str) -> set[str]:
    """The anchors that a page's headings get."""
    titles = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", title).strip().lower().replace(" ", "-") for title in titles}


@pytest.mark.slow  # `make check` does it too
def test_generated_parts_are_fresh() -> None:
    stale = [str(path.relative_to(ROOT)) for path, text in generate.fresh().items() if path.read_text() != text]
    assert stale == [], "run: python docs/generate.py"


def test_a_stale_page_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "page.md").write_text("before\n<!-- generated: slots -->\nstale\n<!-- end -->\nafter\n")
    monkeypatch.setattr(generate, "DOCS", tmp_path)
    text = generate.fresh()[tmp_path / "page.md"]
    assert "stale" not in text
    assert text.startswith("before\n")
    assert text.endswith("<!-- end -->\nafter\n")
    assert "| trainer | `sklearn`, `python`, `lightgbm`, `xgboost`, `catboost` |" in text


def test_every_spec_key_is_documented() -> None:
    keys = reference_spec.keys()
    assert len(keys) > 60
    assert {"train.window", "gates[].bound", "monitor.drift.threshold", "pool"} <= set(keys)
    assert [key for key in keys if f"`{key}`" not in PAGES["model-file.md"]] == []


def test_every_slot_word_is_documented() -> None:
    for slot in SLOTS:
        for word in slot.builtin:
            assert f"### {slot.name}: `{word}`" in PAGES["model-file.md"]


def test_every_error_code_is_documented() -> None:
    codes = reference_errors.codes()
    assert {"spec_invalid", "contract_failed", "bind_not_allowed", "spec_key_unknown", "setup_failed"} <= codes
    assert [code for code in sorted(codes) if f"| `{code}` |" not in PAGES["errors.md"]] == []


def test_every_code_that_the_source_writes_is_found() -> None:
    """A plain search, so that the parser of the reference cannot overlook a way to write a code."""
    text = "\n".join(file.read_text() for file in CODE)
    written = set(re.findall(r'\bcode(?:: str)? ?= ?"([a-z_0-9]+)"', text))
    assert written - reference_errors.codes() == set()


def test_every_endpoint_code_on_the_page_exists() -> None:
    table = PAGES["endpoint.md"].partition("| status |")[2].partition("## Capture")[0]
    named = set(re.findall(r"`([a-z_]+)`", table)) - {"retry-after"}
    assert named
    assert named - reference_errors.codes() == set()


def test_every_route_is_documented() -> None:
    for path in PATHS:
        for word in re.split(r"[/:]|\{\w+\}", path.pattern):
            assert f"/{word}" in PAGES["endpoint.md"] or f":{word}" in PAGES["endpoint.md"], path.pattern


def test_every_setting_is_documented() -> None:
    names = {name for file in CODE for name in re.findall(r'"(SLIPSTREAM_[A-Z]+(?:_[A-Z]+)*)"', file.read_text())}
    documented = set(re.findall(r"`(SLIPSTREAM_[A-Z_]+)`", PAGES["settings.md"]))
    assert names - documented == set()
    assert documented - names == set()


def test_every_operator_is_documented() -> None:
    names = re.findall(r'"(\w+Operator)"', (ROOT / "plugins/slipstream_airflow/operators/__init__.py").read_text())
    assert len(names) >= 10
    for name in names:
        assert f"### {name}\n" in PAGES["operators.md"]


def test_every_event_kind_is_documented() -> None:
    kinds = {kind for file in CODE for kind in _EVENT.findall(file.read_text())}
    kinds = {kind for kind in kinds if not kind.endswith(FILES)}
    documented = set(re.findall(r"^\| `([a-z]+\.[a-z_]+)` \|", PAGES["store.md"], re.M))
    documented = {kind for kind in documented if not kind.endswith(FILES)}
    assert kinds - documented == set()
    assert documented - kinds == set()


def test_every_verb_is_documented() -> None:
    for verb in typer.main.get_command(app).commands:  # type: ignore[attr-defined]
        assert f"### {verb}\n" in PAGES["cli.md"]


@pytest.mark.parametrize("name", [*PAGES, "README.md"])
def test_links_lead_somewhere(name: str) -> None:
    page = README if name == "README.md" else DOCS / name
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        path, _, anchor = target.partition("#")
        other = (page.parent / path).resolve() if path else page
        assert other.exists(), target
        assert not anchor or anchor in anchors(other.read_text()), target


@pytest.mark.parametrize("name", [*PAGES, "README.md"])
def test_commands_that_are_shown_exist(name: str) -> None:
    text = README.read_text() if name == "README.md" else PAGES[name]
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    verbs = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    for shell in re.findall(r"```(?:console|bash|sh)\n(.*?)```", text, re.DOTALL):
        assert set(re.findall(r"\bmake ([a-z]+)", shell)) <= targets
        assert set(re.findall(r"\bslipstream (?!serve\b)([a-z]+(?:-[a-z]+)*)\b", shell)) <= verbs
        for script in re.findall(r"python3? ((?:docs|deploy|demo)/\w+\.py)", shell):
            assert (ROOT / script).exists(), script


@pytest.mark.parametrize("name", [*PAGES, "README.md"])
def test_model_files_that_are_shown_are_right(name: str) -> None:
    text = README.read_text() if name == "README.md" else PAGES[name]
    for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL):
        if re.search(r"^name: ", block, re.M):
            parse_spec(block, allow_code=True)


def test_python_that_is_shown_parses() -> None:
    for text in PAGES.values():
        for block in re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.M):
            ast.parse(block)


def test_the_site_is_complete_and_takes_nothing_from_elsewhere() -> None:
    config = (ROOT / "mkdocs.yml").read_text()
    listed = {page for entry in yaml.safe_load(config)["nav"] for page in entry.values()}
    assert listed == set(PAGES)
    assert len(listed) <= 26
    assert "font: false" in config
    assert not re.search(r"https?://", config)


def test_the_picture_is_plain() -> None:
    text = (DOCS / "loop.svg").read_text()
    names = {element.tag.rpartition("}")[2] for element in ET.fromstring(text).iter()}
    assert names <= {"svg", "title", "desc", "defs", "marker", "path", "style", "rect", "text"}
    assert "href" not in text
    for word in [
        "ingest",
        "validate",
        "train",
        "evaluate",
        "explain",
        "package",
        "gate",
        "deploy",
        "monitor",
        "retrain",
    ]:
        assert word in text


@pytest.mark.parametrize("file", ["model.py", "ratio.py"])
def test_the_shown_model_is_the_one_that_is_there(file: str) -> None:
    name = f"include/models/credit/{file}"
    assert f"```python\n# {name}\n{(ROOT / name).read_text()}```" in PAGES["own-model.md"]
