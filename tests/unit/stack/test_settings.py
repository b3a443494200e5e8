"""The stack's settings are pure functions: where things are, which Airflow options are set, what is started."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from slipstream.settings import Settings
from slipstream_stack.home import leave_address
from slipstream_stack.settings import (
    COMMON,
    MARKER,
    PRELOADED,
    ROLE,
    Layout,
    Ports,
    airflow_environment,
    airflow_options,
    components,
    process_environment,
    slipstream_environment,
)

REPO = Path(__file__).parents[3]
PORTS = Ports(airflow=18080, endpoint=18900)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout.under(REPO, tmp_path / "var")


def test_all_that_is_written_lies_below_var(layout: Layout) -> None:
    written = [layout.airflow_home, layout.keys, layout.bentos, layout.run, layout.logs, layout.passwords]
    assert all(path.is_relative_to(layout.var) for path in written)
    assert layout.store == (layout.var / "store").as_uri()


def test_the_environment_moves_what_it_names_and_nothing_else(tmp_path: Path) -> None:
    layout = Layout.from_environment(
        {"SLIPSTREAM_STORE": "s3://bucket/prefix", "SLIPSTREAM_MODELS": str(tmp_path), "AIRFLOW_HOME": "/elsewhere"},
        REPO,
    )
    assert (layout.store, layout.models, layout.airflow_home) == ("s3://bucket/prefix", tmp_path, Path("/elsewhere"))
    assert layout.keys == REPO / "var" / "keys"
    assert Layout.from_environment({"SLIPSTREAM_VAR": str(tmp_path)}, REPO).keys == tmp_path / "keys"


def test_a_relative_store_is_taken_from_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Layout.from_environment({"SLIPSTREAM_STORE": "mine"}, REPO).store == (tmp_path / "mine").as_uri()


def test_every_option_is_one_that_airflow_knows(layout: Layout) -> None:
    spec = find_spec("airflow")
    assert spec is not None
    config = Path(next(iter(spec.submodule_search_locations or ()))) / "config_templates" / "config.yml"
    known = yaml.safe_load(config.read_text())
    for section, option in airflow_options(layout, PORTS):
        # Each component may have a start method of its own, which the template gives for [core] only.
        place = "core" if option == "mp_start_method" else section
        assert option in known[place]["options"], (section, option)


def test_nothing_listens_beyond_this_machine(layout: Layout) -> None:
    options = airflow_options(layout, PORTS)
    assert options["api", "host"] == "127.0.0.1"
    assert options["core", "execution_api_server_url"] == "http://127.0.0.1:18080/execution/"
    commands = {component.name: component.args for component in components(PORTS)}
    assert "127.0.0.1" in commands["api-server"]
    assert "--skip-serve-logs" in commands["triggerer"]


def test_dags_wait_for_somebody_to_unpause_them() -> None:
    assert COMMON["core", "dags_are_paused_at_creation"] == "True"
    assert COMMON["core", "load_examples"] == "False"


def test_no_secret_is_in_the_environment(layout: Layout) -> None:
    environment = airflow_environment(layout, PORTS) | slipstream_environment(layout, PORTS)
    words = ("FERNET", "JWT_SECRET", "SECRET_KEY")
    assert not [name for name in environment if any(word in name for word in words)]


def test_a_process_keeps_the_users_environment_but_not_what_would_break_it(layout: Layout) -> None:
    base = {
        "PATH": "/usr/bin",
        "AWS_PROFILE": "mine",
        "PYTHONDONTWRITEBYTECODE": "1",
        "AIRFLOW__CORE__DAGS_FOLDER": "/another/project",
        "AIRFLOW__SMTP__SMTP_HOST": "mail",
        MARKER: "another stack",
        ROLE: "supervisor",
    }
    environment = process_environment(layout, PORTS, base)
    assert environment["AWS_PROFILE"] == "mine"
    assert environment["AIRFLOW__SMTP__SMTP_HOST"] == "mail"
    assert environment["AIRFLOW__CORE__DAGS_FOLDER"] == str(REPO / "dags")
    assert not {"PYTHONDONTWRITEBYTECODE", MARKER, ROLE} & environment.keys()
    assert environment["PATH"].split(":") == [str(Path(sys.executable).parent), "/usr/bin"]


def test_the_stages_and_the_endpoint_read_the_same_places(layout: Layout) -> None:
    environment = slipstream_environment(layout, PORTS)
    assert environment["SLIPSTREAM_STORE"] == layout.store
    assert environment["SLIPSTREAM_ENDPOINT"] == "http://127.0.0.1:18900"
    assert environment["SLIPSTREAM_AIRFLOW_PORT"] == "18080"


def test_the_command_line_looks_where_the_stack_put_the_endpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SLIPSTREAM_ENDPOINT", raising=False)
    assert Settings.from_environment().endpoint == "http://127.0.0.1:8900"
    (tmp_path / "var").mkdir()
    leave_address(Layout.under(tmp_path, tmp_path / "var"), PORTS)
    assert Settings.from_environment().endpoint == "http://127.0.0.1:18900"
    monkeypatch.setenv("SLIPSTREAM_ENDPOINT", "http://elsewhere/")
    assert Settings.from_environment().endpoint == "http://elsewhere"


def test_a_part_of_the_stack_can_be_started() -> None:
    assert [component.name for component in components(PORTS)] == [
        "api-server",
        "scheduler",
        "dag-processor",
        "triggerer",
        "endpoint",
    ]
    (only,) = components(PORTS, ("endpoint",))
    assert only.args[1:] == ("serve", "--port", "18900")
    assert only.env == {"OMP_NUM_THREADS": "1"}


@pytest.mark.parametrize("module", [name for name in PRELOADED if name != "shap"])
def test_what_is_imported_for_the_tasks_is_there(module: str) -> None:
    """A name that is not found is skipped in silence, and the first task pays for it."""
    package, *rest = module.split(".")
    spec = find_spec(package)
    assert spec is not None
    if rest:  # by its file, because finding a module imports the packages above it
        path = Path(next(iter(spec.submodule_search_locations or ()))).joinpath(*rest)
        assert path.with_suffix(".py").exists() or (path / "__init__.py").exists()
