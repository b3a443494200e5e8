"""docker-compose.yaml cannot be run here, so it is held against what it names: schema, code, Airflow, image, .env."""

from __future__ import annotations

import configparser
import json
import re
import tomllib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import typer
import yaml

from slipstream.cli.main import app
from slipstream.store.location import Location
from slipstream_stack.settings import AIRFLOW_PORT, COMMON, ENDPOINT_PORT, Ports, components

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docker-compose.yaml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
AIRFLOW = Path(find_spec("airflow").submodule_search_locations[0])  # type: ignore[union-attr,index]
ONE_MACHINE = {"mp_forkserver_preload", "mp_start_method"}  # LocalExecutor's: Celery's pool forks from the worker


def airflow_options() -> set[str]:
    """Every ``AIRFLOW__SECTION__OPTION`` that Airflow, or a provider known to it, reads."""
    known = yaml.safe_load((AIRFLOW / "config_templates" / "config.yml").read_text())
    pairs = {(section, option) for section, about in known.items() for option in about["options"]}
    providers = configparser.RawConfigParser()
    providers.read(AIRFLOW / "config_templates" / "provider_config_fallback_defaults.cfg")
    pairs |= {(section, option) for section in providers.sections() for option in providers.options(section)}
    return {f"AIRFLOW__{section}__{option}".upper() for section, option in pairs}


def own_variables() -> set[str]:
    """Every ``SLIPSTREAM_*`` variable that the code reads."""
    code = [*(ROOT / "include/slipstream").rglob("*.py"), *(ROOT / "plugins").rglob("*.py")]
    return {name for file in code for name in re.findall(r'"(SLIPSTREAM_[A-Z_]+)"', file.read_text())}


def port_of(service: dict[str, Any]) -> str:
    """The port that the service's own command makes it listen on."""
    return str(service["command"][service["command"].index("--port") + 1])


def test_it_is_a_compose_file() -> None:
    schema = json.loads((ROOT / "tests/data/compose-spec.json").read_text())
    jsonschema.validate(COMPOSE, schema)


def test_the_schema_would_notice_a_mistake() -> None:
    schema = json.loads((ROOT / "tests/data/compose-spec.json").read_text())
    with pytest.raises(jsonschema.ValidationError, match="healthchek"):
        jsonschema.validate({"services": {"a": {"image": "b", "healthchek": {}}}}, schema)


def test_images_are_pinned() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    for name, service in SERVICES.items():
        tag = service["image"].partition(":")[2]
        assert re.search(r"\d+[.-]\d+", tag), f"{name}: {service['image']}"
    assert {service["image"] for service in OURS.values()} == {f"slipstream:{version}"}


@pytest.mark.parametrize("name", sorted(OURS))
def test_every_variable_is_one_that_somebody_reads(name: str) -> None:
    known = airflow_options() | own_variables() | {"OMP_NUM_THREADS", "TMPDIR", "BENTOML_HOME"}
    known |= {"AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"}
    if name == "init":
        known |= set(re.findall(r"\$\{(\w+)", (ROOT / "deploy/init.sh").read_text()))
    assert set(OURS[name]["environment"]) <= known


def test_airflow_is_set_as_on_one_machine() -> None:
    common = {f"AIRFLOW__{s}__{o}".upper(): value for (s, o), value in COMMON.items() if o not in ONE_MACHINE}
    for name, service in OURS.items():
        if name != "endpoint":
            assert {key: service["environment"].get(key) for key in common} == common, name


def test_the_endpoint_knows_no_secret_of_airflow() -> None:
    assert not [variable for variable in OURS["endpoint"]["environment"] if variable.startswith("AIRFLOW")]


def test_the_same_components_run_as_on_one_machine() -> None:
    local = {component.name for component in components(Ports())}
    assert local <= set(OURS)
    assert set(OURS) - local == {"init", "worker"}
    for component in components(Ports()):
        words = OURS[component.name]["command"]
        assert words[0] in {"airflow", "slipstream"}
        assert words[1] in component.args


def test_airflow_commands_exist() -> None:
    known = set(re.findall(r'name="([a-z-]+)"', (AIRFLOW / "cli" / "cli_config.py").read_text()))
    for name, service in OURS.items():
        if service["command"][0] == "airflow" and name != "worker":  # `airflow celery` comes with its provider
            assert service["command"][1] in known, name
        assert not [word for word in service["command"] if word.startswith("--") and word not in {"--host", "--port"}]
    assert {"db", "jobs", "migrate", "check"} <= known


def test_serve_takes_the_flags_it_is_given() -> None:
    command = typer.main.get_command(app).commands["serve"]  # type: ignore[attr-defined]
    flags = {flag for parameter in command.params for flag in parameter.opts}
    assert {word for word in OURS["endpoint"]["command"] if word.startswith("--")} <= flags


def test_ports_agree() -> None:
    for name, default in (("api-server", AIRFLOW_PORT), ("endpoint", ENDPOINT_PORT)):
        port = port_of(OURS[name])
        assert port == str(default)
        published = OURS[name]["ports"]
        assert len(published) == 1
        assert re.fullmatch(rf"127\.0\.0\.1:\$\{{SLIPSTREAM_\w+_PORT:-{port}\}}:{port}", published[0])
        assert f"127.0.0.1:{port}/" in OURS[name]["healthcheck"]["test"][-1]
    environment = OURS["worker"]["environment"]
    assert environment["SLIPSTREAM_ENDPOINT"] == f"http://endpoint:{port_of(OURS['endpoint'])}"
    assert (
        environment["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"]
        == f"http://api-server:{port_of(OURS['api-server'])}/execution/"
    )
    assert environment["AWS_ENDPOINT_URL"].rpartition(":")[2] == SERVICES["s3"]["command"][-1].strip(":")


def test_the_endpoint_asks_everybody_for_a_key() -> None:
    endpoint, worker = OURS["endpoint"], OURS["worker"]
    assert endpoint["environment"]["SLIPSTREAM_AUTH"] == "required"
    assert "0.0.0.0" in endpoint["command"]
    assert endpoint["environment"]["SLIPSTREAM_HOSTS"] in worker["environment"]["SLIPSTREAM_ENDPOINT"]
    assert worker["environment"]["SLIPSTREAM_ENDPOINT_KEY"] == OURS["init"]["environment"]["ENDPOINT_KEY"]
    assert {name for name, service in OURS.items() if "ENDPOINT_KEY" in str(service["environment"])} == {
        "init",
        "triggerer",
        "worker",
    }
    triggerer = OURS["triggerer"]["environment"]  # it watches deployments while they bake
    for name in ("SLIPSTREAM_ENDPOINT", "SLIPSTREAM_ENDPOINT_KEY", "SLIPSTREAM_STORE"):
        assert triggerer[name] == worker["environment"][name]


def test_the_endpoint_starts_when_its_key_is_registered() -> None:
    assert OURS["endpoint"]["depends_on"]["init"] == {"condition": "service_completed_successfully"}
    words = re.search(r"^slipstream (key add .*)$", (ROOT / "deploy/init.sh").read_text(), re.M)
    assert words is not None
    key = typer.main.get_command(app).commands["key"]  # type: ignore[attr-defined]
    flags = {flag for parameter in key.commands["add"].params for flag in parameter.opts}
    assert {word for word in words[1].split() if word.startswith("--")} <= flags


def test_the_endpoint_writes_only_where_it_may() -> None:
    endpoint = OURS["endpoint"]
    assert endpoint["read_only"]
    assert endpoint["environment"]["BENTOML_HOME"].startswith(f"{endpoint['tmpfs'][0]}/")


def test_the_store_is_in_the_s3_service() -> None:
    location = Location.parse(OURS["worker"]["environment"]["SLIPSTREAM_STORE"])
    assert (location.bucket, location.prefix) == ("slipstream", "store")


def test_nothing_is_published_beyond_this_machine() -> None:
    for name, service in SERVICES.items():
        for published in service.get("ports", ()):
            assert published.startswith("127.0.0.1:"), name
    assert COMPOSE["networks"]["inner"] == {"internal": True}
    for name in ("postgres", "redis", "s3"):
        assert SERVICES[name]["networks"] == ["inner"]


def test_there_are_no_default_secrets() -> None:
    secrets = re.compile(
        r"PASSWORD|SECRET|FERNET|ACCESS_KEY|ENDPOINT_KEY|ROOT_USER|REDISCLI_AUTH|SQL_ALCHEMY|BROKER|RESULT_BACKEND"
    )
    for name, service in SERVICES.items():
        for variable, value in service["environment"].items():
            if secrets.search(variable):
                assert re.search(r"\$\{[A-Z_0-9]+:\?[^}]+\}", value), f"{name}: {variable}"
    optional = {name for name, default in re.findall(r"\$\{(\w+):-([^}]*)\}", TEXT)}
    assert optional == {"SLIPSTREAM_AIRFLOW_PORT", "SLIPSTREAM_ENDPOINT_PORT"}


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_services_are_bounded_and_watched(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert "no-new-privileges:true" in service["security_opt"]
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory"}
    assert service["restart"] == ("no" if name == "init" else "unless-stopped")
    assert ("healthcheck" in service) == (name != "init")


@pytest.mark.parametrize("name", sorted(OURS))
def test_services_wait_for_what_they_need(name: str) -> None:
    for other, waited in OURS[name]["depends_on"].items():
        due = "service_completed_successfully" if other == "init" else "service_healthy"
        assert waited["condition"] == due
        assert other in SERVICES
        assert other == "init" or "healthcheck" in SERVICES[other]


def test_volumes_are_declared_and_used_and_writable() -> None:
    mounts = [mount.split(":") for service in SERVICES.values() for mount in service.get("volumes", ())]
    assert {mount[0] for mount in mounts if not mount[0].startswith(".")} == set(COMPOSE["volumes"])
    assert all((ROOT / mount[0]).is_file() and mount[-1] == "ro" for mount in mounts if mount[0].startswith("."))
    made = (ROOT / "Dockerfile").read_text()
    for name, service in OURS.items():
        for mount in service.get("volumes", ()):
            assert mount.split(":")[1] in made, f"{name}: {mount} has no folder in the image, so root would own it"


def test_only_the_worker_can_sign() -> None:
    assert {name for name, service in SERVICES.items() if "keys:" in str(service.get("volumes"))} == {"worker"}
