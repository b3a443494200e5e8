"""How Airflow and the endpoint are configured: the one place that tests, the demo and the containers take it from.

Everything here is a pure function of its arguments; nothing is read, written or started.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

HOST = "127.0.0.1"
AIRFLOW_PORT = 8080
ENDPOINT_PORT = 8900
USER = "admin"
LONGEST_GRACE = 10.0
MARKER = "SLIPSTREAM_STACK"
ROLE = "SLIPSTREAM_COMPONENT"

# What a task will need is imported once, in the server that all task processes are forked from: a task then starts
# with no import cost. A module that is not installed is skipped by Python's forkserver. skops comes first, because it
# looks for every ufunc of scipy in all modules that are there already.
PRELOADED = (
    "slipstream_stack.preload",
    "skops.io",
    "slipstream_stack.local_executor",
    "airflow.sdk.execution_time.supervisor",
    "airflow.sdk.execution_time.task_runner",
    "airflow.dag_processing.dagbag",
    "airflow.providers.standard.operators.hitl",
    "duckdb",
    "deltalake",
    "pyarrow.parquet",
    "pyarrow.dataset",
    "pandas",
    "sklearn.pipeline",
    "sklearn.compose",
    "sklearn.preprocessing",
    "sklearn.impute",
    "sklearn.linear_model",
    "sklearn.ensemble",
    "sklearn.metrics",
    "sklearn.inspection",
    "great_expectations",
    "evidently",
    "shap",
    "bentoml",
    "_bentoml_sdk.images",
    "bentoml._internal.bento",
    "jinja2.ext",
    "narwhals._pandas_like.namespace",
    "slipstream_airflow.dags",
    *(
        f"slipstream.stages.{stage}"
        for stage in (
            *("ingest", "validate", "train", "evaluate", "explain", "package", "gate", "deploy"),
            *("join", "monitor", "decide"),
        )
    ),
)

# Options that do not depend on where Slipstream stands: the containers set the same (section, option, value).
COMMON = {
    ("core", "load_examples"): "False",
    # A schedule fires as soon as its DAG is unpaused, so a fresh installation must not unpause by itself.
    ("core", "dags_are_paused_at_creation"): "True",
    ("core", "mp_forkserver_preload"): ",".join(PRELOADED),
    ("scheduler", "mp_start_method"): "forkserver",
    # The default of 1 s is the larger part of the gap between two tasks.
    ("scheduler", "scheduler_idle_sleep_time"): "0.1",
    # A task that ended while the scheduler was away is looked for this often, and is tried again so long after its last
    # heartbeat; the defaults are 300 s. An api-server may be away for 74 s (measured), which is no reason yet.
    ("scheduler", "orphaned_tasks_check_interval"): "30",
    ("scheduler", "task_instance_heartbeat_timeout"): "120",
    # A supervisor may sleep this long before it sees that its task's process has ended; until then the worker is taken,
    # and an answer to a question that the task has just asked would meet a task that seems to run still.
    ("workers", "min_heartbeat_interval"): "1",
    # A new or changed model.yaml shows as DAGs after at most this many seconds (of a parse that takes milliseconds).
    ("dag_processor", "min_file_process_interval"): "10",
    ("dag_processor", "refresh_interval"): "20",
    ("api", "instance_name"): "Slipstream",
    ("api", "expose_config"): "False",
}


@dataclass(frozen=True)
class Layout:
    """Where one installation keeps its things; all paths are absolute.

    Attributes:
        repo: The checkout, with ``dags/`` and ``plugins/``.
        var: Folder of everything that is made at run time.
        store: URL of the store.
        models: Folder of the model projects.
        airflow_home: Airflow's home.
        keys: Folder of the secrets, mode 0700.
        bentos: BentoML's home.
    """

    repo: Path
    var: Path
    store: str
    models: Path
    airflow_home: Path
    keys: Path
    bentos: Path

    @classmethod
    def under(cls, repo: Path, var: Path, models: Path | None = None) -> Layout:
        """The layout with everything that is written below *var*."""
        repo, var = repo.absolute(), var.absolute()
        return cls(
            repo=repo,
            var=var,
            store=(var / "store").as_uri(),
            models=(models or repo / "include" / "models").absolute(),
            airflow_home=var / "airflow",
            keys=var / "keys",
            bentos=var / "bentoml",
        )

    @classmethod
    def from_environment(cls, env: Mapping[str, str], repo: Path) -> Layout:
        """The layout of the checkout *repo*, with what ``SLIPSTREAM_*``, ``AIRFLOW_HOME``, ``BENTOML_HOME`` say."""
        plain = cls.under(repo, Path(env.get("SLIPSTREAM_VAR") or repo / "var"))
        store = env.get("SLIPSTREAM_STORE") or plain.store
        return cls(
            repo=plain.repo,
            var=plain.var,
            store=store if "://" in store else Path(store).absolute().as_uri(),
            models=Path(env.get("SLIPSTREAM_MODELS") or plain.models).absolute(),
            airflow_home=Path(env.get("AIRFLOW_HOME") or plain.airflow_home).absolute(),
            keys=Path(env.get("SLIPSTREAM_KEYS") or plain.keys).absolute(),
            bentos=Path(env.get("BENTOML_HOME") or plain.bentos).absolute(),
        )

    @property
    def run(self) -> Path:
        """Folder of what describes the running stack."""
        return self.var / "run"

    @property
    def logs(self) -> Path:
        """Folder of the logs: one file per component, and ``tasks/``."""
        return self.var / "log"

    @property
    def passwords(self) -> Path:
        """The password file of Airflow's SimpleAuthManager: ``{user: password}``."""
        return self.keys / "airflow_passwords.json"


@dataclass(frozen=True)
class Ports:
    """The two ports of a stack, both on the loopback interface."""

    airflow: int = AIRFLOW_PORT
    endpoint: int = ENDPOINT_PORT

    @property
    def airflow_url(self) -> str:
        """Where Airflow's UI and API answer."""
        return f"http://{HOST}:{self.airflow}"

    @property
    def endpoint_url(self) -> str:
        """Where the endpoint answers."""
        return f"http://{HOST}:{self.endpoint}"


@dataclass(frozen=True)
class Component:
    """One process of the stack.

    Attributes:
        name: What it is called; its log is ``<name>.log``.
        args: Its command.
        grace: Seconds from SIGTERM to SIGKILL. The scheduler would wait for running tasks without end, the triggerer
            for its triggers; both are made to be run again.
        left: Seconds from SIGTERM to SIGKILL for the processes that it leaves behind when it dies. Those of Airflow
            have none: a task that is asked to end would be reported as failed, one that is gone is run again.
        env: What its environment has beyond that of all.
    """

    name: str
    args: tuple[str, ...]
    grace: float = 5.0
    left: float = 0.0
    env: Mapping[str, str] = field(default_factory=dict)


def airflow_options(layout: Layout, ports: Ports) -> dict[tuple[str, str], str]:
    """Every Airflow option that Slipstream sets on one machine, except the secrets, by (section, option)."""
    return COMMON | {
        ("core", "executor"): "slipstream_stack.local_executor.LocalExecutor",
        # The default is 32 worker processes.
        ("core", "parallelism"): "4",
        # So long after its last heartbeat a triggerer counts as dead, and what it waited for is taken up by the next
        # one: there is no other, so the default of 30 s would only add to the time that its restart takes.
        ("triggerer", "triggerer_health_check_threshold"): "15",
        ("core", "dags_folder"): str(layout.repo / "dags"),
        ("core", "plugins_folder"): str(layout.repo / "plugins"),
        ("core", "auth_manager"): "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager",
        ("core", "simple_auth_manager_users"): f"{USER}:admin",
        ("core", "simple_auth_manager_passwords_file"): str(layout.passwords),
        ("core", "execution_api_server_url"): f"{ports.airflow_url}/execution/",
        ("database", "sql_alchemy_conn"): f"sqlite:///{layout.airflow_home / 'airflow.db'}",
        ("api", "host"): HOST,
        ("api", "port"): str(ports.airflow),
        ("api", "base_url"): ports.airflow_url,
        ("api", "workers"): "1",
        ("logging", "base_log_folder"): str(layout.logs / "tasks"),
        ("logging", "dag_processor_child_process_log_directory"): str(layout.logs / "dag-processor-files"),
    }


def airflow_environment(layout: Layout, ports: Ports) -> dict[str, str]:
    """Airflow's configuration as environment variables; the secrets stand in ``airflow.cfg`` (stack_home)."""
    options = airflow_options(layout, ports)
    names = {f"AIRFLOW__{section}__{option}".upper(): value for (section, option), value in options.items()}
    return {"AIRFLOW_HOME": str(layout.airflow_home), **names}


def slipstream_environment(layout: Layout, ports: Ports) -> dict[str, str]:
    """What the stages, the endpoint and the pages read."""
    return {
        "SLIPSTREAM_STORE": layout.store,
        "SLIPSTREAM_MODELS": str(layout.models),
        "SLIPSTREAM_KEYS": str(layout.keys),
        "SLIPSTREAM_ENDPOINT": ports.endpoint_url,
        "SLIPSTREAM_AIRFLOW_PORT": str(ports.airflow),
        "SLIPSTREAM_ENDPOINT_PORT": str(ports.endpoint),
        "BENTOML_HOME": str(layout.bentos),
        # Nothing of the stack reports home.
        "BENTOML_DO_NOT_TRACK": "True",
        "DO_NOT_TRACK": "1",
        "GX_ANALYTICS_ENABLED": "False",
        # Process titles must not overwrite the environment block: that is where `down` finds the marker.
        "SPT_NOENV": "1",
    }


def process_environment(layout: Layout, ports: Ports, base: Mapping[str, str]) -> dict[str, str]:
    """The whole environment of a process of the stack: *base* with ours on top.

    ``PYTHONDONTWRITEBYTECODE`` is dropped (it triples the cost of every import) and the interpreter's own folder leads
    ``PATH``, because BentoML looks for ``uv`` there.
    """
    inherited = {name: value for name, value in base.items() if name not in {"PYTHONDONTWRITEBYTECODE", MARKER, ROLE}}
    path = os.pathsep.join(part for part in (str(Path(sys.executable).parent), base.get("PATH", "")) if part)
    return {
        **inherited,
        "PATH": path,
        "PYTHONUNBUFFERED": "1",
        **airflow_environment(layout, ports),
        **slipstream_environment(layout, ports),
    }


def components(ports: Ports, names: tuple[str, ...] = ()) -> tuple[Component, ...]:
    """The processes of the stack, those called *names* or all.

    The triggerer's log server would listen on every interface whatever ``[logging] worker_log_server_host`` says, so
    it is switched off; that of the scheduler is by our executor. The api-server reads the log files themselves.
    """
    airflow = (sys.executable, "-m", "slipstream_stack.quick_start")
    serve = str(Path(sys.executable).with_name("slipstream"))
    known = (
        # When it has shut down, a thread of its database driver keeps the process for ever.
        Component("api-server", (*airflow, "api-server", "--host", HOST, "--port", str(ports.airflow)), grace=2.0),
        Component("scheduler", (*airflow, "scheduler")),
        Component("dag-processor", (*airflow, "dag-processor")),
        Component("triggerer", (*airflow, "triggerer", "--skip-serve-logs"), grace=2.0),
        # A worker writes its captured predictions before it goes. More BLAS threads make one-row predictions slower.
        Component(
            "endpoint",
            (serve, "serve", "--port", str(ports.endpoint)),
            grace=LONGEST_GRACE,
            left=LONGEST_GRACE / 2,
            env={"OMP_NUM_THREADS": "1"},
        ),
    )
    return tuple(component for component in known if not names or component.name in names)
