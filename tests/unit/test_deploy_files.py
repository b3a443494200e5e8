"""The image, the set-up scripts and the cluster files agree with the code that they carry."""

from __future__ import annotations

import base64
import fnmatch
import importlib.util
import re
import shutil
import stat
import subprocess
import sys
import threading
import tomllib
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from slipstream.errors import StoreError
from slipstream.store.api_keys import KEY
from slipstream_stack.settings import COMMON, ENDPOINT_PORT

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PYTHON = "3.11"
HERE = {
    "python_version": PYTHON,
    "python_full_version": f"{PYTHON}.9",
    "sys_platform": "linux",
    "platform_machine": "x86_64",
}
CLUSTER = sorted((ROOT / "deploy/kubernetes").glob("*.yaml"))
KUBERNETES = [document for file in CLUSTER for document in yaml.safe_load_all(file.read_text())]
VALUES: dict[str, Any] = yaml.safe_load((ROOT / "deploy/helm/values.yaml").read_text())


def script(name: str) -> ModuleType:
    """A script of deploy/, loaded by its path."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "deploy" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def copied() -> list[str]:
    """Every path of the checkout that the Dockerfile copies."""
    lines = re.findall(r"^COPY (?!--from)(?:--\S+ )*(.+)$", DOCKERFILE, re.MULTILINE)
    return [path for line in lines for path in line.split()[:-1]]


def pins(lock: str) -> dict[str, str]:
    """Package -> version that the lock gives to the image's Python on Linux."""
    found = {}
    for line in re.findall(r"^([a-zA-Z0-9].*?) \\$", (ROOT / lock).read_text(), re.MULTILINE):
        requirement = Requirement(line)
        marker = requirement.marker
        if marker is None or marker.evaluate(HERE):
            found[requirement.name] = str(requirement.specifier)
    return found


def locks() -> list[str]:
    return sorted(set(re.findall(r"requirements[a-z-]*\.txt", DOCKERFILE)))


def test_the_image_copies_what_exists_and_is_not_ignored() -> None:
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for path in copied():
        assert (ROOT / path).exists(), path
        assert any(path == kept or path.startswith(f"{kept}/") for kept in allowed), f"{path} is ignored"
    for kept in allowed:
        assert any(kept == path or kept.startswith(f"{path}/") for path in copied()), f"{kept} is not used"


def test_the_image_runs_a_python_that_the_project_allows() -> None:
    version = re.search(r"ARG PYTHON=([\d.]+)", DOCKERFILE)
    assert version is not None
    assert version[1] == PYTHON
    assert f"{PYTHON}.0" in SpecifierSet(PROJECT["requires-python"])


def test_the_image_installs_by_hash_from_locks() -> None:
    assert locks() == ["requirements-data.txt", "requirements-scale.txt", "requirements-shap.txt"]
    assert "--require-hashes" in DOCKERFILE
    assert not re.search(r"https?://|index-url", DOCKERFILE)
    for lock in locks():
        assert not re.search(r"https?://|index-url", (ROOT / lock).read_text())


def test_the_locks_of_the_image_agree() -> None:
    scale, shap = pins("requirements-scale.txt"), pins("requirements-shap.txt")
    assert {name: (scale[name], shap[name]) for name in scale.keys() & shap.keys() if scale[name] != shap[name]} == {}


@pytest.mark.parametrize("lock", ["requirements-scale.txt", "requirements-shap.txt"])
def test_the_image_ships_what_was_tested(lock: str) -> None:
    tested, shipped = pins("requirements-dev.txt"), pins(lock)
    assert {n: (tested[n], shipped[n]) for n in tested.keys() & shipped.keys() if tested[n] != shipped[n]} == {}


def test_celery_is_one_that_its_provider_can_import() -> None:
    # celery 5.7 dropped a name that apache-airflow-providers-celery 3.26 imports: the scheduler would not start.
    assert not SpecifierSet(">=5.7").contains(pins("requirements-scale.txt")["celery"].removeprefix("=="))


def test_the_image_does_not_run_as_root() -> None:
    assert re.search(r"^USER 50000:0$", DOCKERFILE, re.MULTILINE)
    assert DOCKERFILE.rindex("\nUSER ") > DOCKERFILE.rindex("\nCOPY ")


def test_the_wheel_holds_every_file_of_both_packages(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for path in ("pyproject.toml", "README.md", "LICENSE"):
        source.mkdir(exist_ok=True)
        shutil.copy(ROOT / path, source / path)
    ignore = shutil.ignore_patterns("__pycache__", ".*_cache")
    for path in ("include/slipstream", "plugins/slipstream_airflow"):
        shutil.copytree(ROOT / path, source / path, ignore=ignore)
    build = "import sys; from setuptools.build_meta import build_wheel; build_wheel(sys.argv[1])"
    command = [sys.executable, "-W", "ignore", "-c", build, str(tmp_path)]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    wheel = next(tmp_path.glob("*.whl"))
    held = set(zipfile.ZipFile(wheel).namelist())
    folders = [source / "include", source / "plugins"]
    files = [(folder, file) for folder in folders for file in folder.rglob("*") if file.is_file()]
    # What the build itself leaves behind in the source is not due.
    due = {str(file.relative_to(folder)) for folder, file in files if ".egg-info" not in str(file)}
    assert sorted(due - held) == []
    assert not [name for name in held if name.startswith(("models/", "dags/", "tests/"))]


def test_env_has_every_secret_that_compose_asks_for(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    script("make_env").main(file)
    made = dict(line.split("=", 1) for line in file.read_text().splitlines())
    asked = set(re.findall(r"\$\{(\w+):\?", (ROOT / "docker-compose.yaml").read_text()))
    assert set(made) == asked
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(base64.urlsafe_b64decode(made["AIRFLOW_FERNET_KEY"])) == 32
    assert len(made["AIRFLOW_JWT_SECRET"]) >= 64
    assert all(re.fullmatch(r"[0-9a-zA-Z]+", made[name]) for name in ("POSTGRES_PASSWORD", "REDIS_PASSWORD"))


def test_env_is_never_overwritten(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("mine")
    with pytest.raises(SystemExit, match="exists and is kept"):
        script("make_env").main(file)
    assert file.read_text() == "mine"


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


@pytest.mark.server
@pytest.mark.usefixtures("s3")
def test_a_good_s3_server_passes_the_proof() -> None:
    check = script("check_store").check_store
    found = check("s3://fresh/store", rounds=2, writers=4)
    assert found == "s3://fresh/store: bucket made; 2 races of 4 writers had one winner each."
    assert "bucket found" in check("s3://fresh/store", rounds=1, writers=2)


class _Careless(BaseHTTPRequestHandler):
    """An S3 server that says yes to everything, as those do that ignore conditions."""

    def _yes(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.send_header("ETag", '"x"')
        self.end_headers()

    do_HEAD = do_PUT = do_DELETE = do_GET = _yes

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def careless() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Careless)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.usefixtures("credentials")
def test_a_server_that_ignores_conditions_is_refused(careless: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", careless)
    with pytest.raises(StoreError, match="4 of 4 writers created the same object"):
        script("check_store").check_store("s3://bucket/store", rounds=1, writers=4)


def test_a_local_store_needs_no_proof(tmp_path: Path) -> None:
    script("check_store").check_store((tmp_path / "store").as_uri())
    assert (tmp_path / "store").is_dir()


def test_shell_scripts_parse() -> None:
    for file in (ROOT / "deploy").glob("*.sh"):
        subprocess.run(["sh", "-n", str(file)], check=True)
        assert file.stat().st_mode & stat.S_IXUSR


def test_init_names_what_exists() -> None:
    text = (ROOT / "deploy/init.sh").read_text()
    for name in re.findall(r"/(\w+\.py)", text):
        assert (ROOT / "deploy" / name).exists()


def resource(kind: str) -> dict[str, Any]:
    return next(document for document in KUBERNETES if document.get("kind") == kind)


def test_the_cluster_runs_the_endpoint_as_the_image_does() -> None:
    pod = resource("Deployment")["spec"]["template"]["spec"]
    container = pod["containers"][0]
    assert pod["securityContext"]["runAsUser"] == 50000
    assert container["args"][:2] == ["slipstream", "serve"]
    assert container["args"][-1] == str(ENDPOINT_PORT)
    for mount in container["volumeMounts"]:
        assert mount["mountPath"] == "/tmp" or mount["mountPath"] in DOCKERFILE
    containers = pod["initContainers"] + pod["containers"]
    mounts = {mount["name"] for container in containers for mount in container["volumeMounts"]}
    assert mounts == {volume["name"] for volume in pod["volumes"]}


def test_the_cluster_s_endpoint_asks_everybody_for_a_key() -> None:
    pod = resource("Deployment")["spec"]["template"]["spec"]
    container, first = pod["containers"][0], pod["initContainers"][0]
    assert len(pod["containers"]) == 1
    environment = {one["name"]: one.get("value") for one in container["env"]}
    assert environment["SLIPSTREAM_AUTH"] == "required"
    assert environment["SLIPSTREAM_HOSTS"] == resource("Service")["metadata"]["name"]
    assert "ENDPOINT_KEY" not in environment
    secret = next(one["valueFrom"]["secretKeyRef"] for one in first["env"] if one["name"] == "ENDPOINT_KEY")
    assert VALUES["secret"] == [
        {"envName": "SLIPSTREAM_ENDPOINT_KEY", "secretName": secret["name"], "secretKey": secret["key"]}
    ]
    init = (ROOT / "deploy/init.sh").read_text()
    assert " ".join(first["args"]) in init


def test_the_keys_that_are_made_have_the_right_shape() -> None:
    made = dict(line.split("=", 1) for line in script("make_env").make_env().splitlines())
    assert KEY.fullmatch(made["ENDPOINT_KEY"])
    command = re.search(r'slipstream-endpoint --from-literal=key="(.*)"\n', (ROOT / "deploy/README.md").read_text())
    assert command is not None
    said = subprocess.run(["bash", "-c", f'printf %s "{command[1]}"'], check=True, capture_output=True, text=True)
    assert KEY.fullmatch(said.stdout)


def test_the_cluster_s_selectors_meet_the_pods() -> None:
    labels = resource("Deployment")["spec"]["template"]["metadata"]["labels"]
    assert resource("Deployment")["spec"]["selector"]["matchLabels"] == labels
    assert resource("Service")["spec"]["selector"] == labels
    assert resource("PodDisruptionBudget")["spec"]["selector"]["matchLabels"] == labels
    assert resource("NetworkPolicy")["spec"]["podSelector"]["matchLabels"] == labels
    assert resource("NetworkPolicy")["spec"]["ingress"][0]["ports"][0]["port"] == ENDPOINT_PORT


def test_kustomize_lists_every_file_and_the_version() -> None:
    kustomization = resource("Kustomization")
    files = {file.name for file in (ROOT / "deploy/kubernetes").glob("*.yaml")} - {"kustomization.yaml"}
    assert set(kustomization["resources"]) == files
    assert kustomization["images"][0]["newTag"] == PROJECT["version"]


def test_helm_values_run_this_image_and_this_airflow() -> None:
    assert VALUES["images"]["airflow"]["tag"] == PROJECT["version"]
    assert pins("requirements-scale.txt")["apache-airflow"] == f"=={VALUES['airflowVersion']}"
    service = f"http://slipstream-endpoint:{ENDPOINT_PORT}"
    assert {"name": "SLIPSTREAM_ENDPOINT", "value": service} in VALUES["env"]


def test_helm_values_set_airflow_as_on_one_machine() -> None:
    elsewhere = {"mp_forkserver_preload", "mp_start_method", "dags_are_paused_at_creation"}
    for (section, option), value in COMMON.items():
        if option not in elsewhere:
            assert str(VALUES["config"][section][option]) == value, f"[{section}] {option}"


def test_deploy_readme_names_every_file_and_secret() -> None:
    text = (ROOT / "deploy/README.md").read_text()
    for file in (ROOT / "deploy").rglob("*"):
        if file.is_file() and file.name != "README.md" and not fnmatch.fnmatch(str(file), "*__pycache__*"):
            assert file.name in text, file
    for secret in ("slipstream-airflow", "slipstream-s3", "slipstream-endpoint", "slipstream-signing-key"):
        assert secret in text
