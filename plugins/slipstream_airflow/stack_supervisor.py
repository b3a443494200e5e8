"""The process that keeps the components of a stack alive: circus, set up in code.

Run by ``stack.up`` as ``python -m slipstream_airflow.stack_supervisor RUN_FOLDER`` in a session of its own. Circus's
own ``circusd`` is not used: it opens a UDP multicast port by default, and its configuration file would take every
``$`` and ``%`` of a path for a variable. A component that exits is started again after a second.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path
from typing import Any

from slipstream_airflow.stack_settings import MARKER, ROLE

STARTS = "starts"
_LOG_BYTES = 20_000_000
_LOG_FILES = 3


def main(run: Path) -> None:
    """Start what ``stack.json`` in *run* lists and keep it running until SIGTERM or SIGINT."""
    from circus import logger
    from circus.arbiter import Arbiter
    from circus.util import configure_logger

    configure_logger(logger, "INFO", "-")
    plan = json.loads((run / "stack.json").read_text())
    # Relative, because a socket path may have some hundred characters only; the folder is closed to other users.
    os.chdir(run)
    arbiter = Arbiter(
        [_watcher(component, Path(plan["logs"]), plan["directory"]) for component in plan["components"]],
        endpoint="ipc://control.sock",
        pubsub_endpoint="ipc://events.sock",
        proc_name="slipstream supervisor",
    )
    arbiter.start()


def _watcher(component: dict[str, Any], logs: Path, directory: str) -> Any:
    from circus.stream import FileStream
    from circus.watcher import Watcher

    # One object for both streams: two would rotate the same file under each other.
    stream = {
        "stream": FileStream(str(logs / f"{component['name']}.log"), max_bytes=_LOG_BYTES, backup_count=_LOG_FILES)
    }
    program, *args = component["args"]
    return Watcher(
        component["name"],
        shlex.quote(program),
        args=args,
        env={**os.environ, **component["env"], ROLE: component["name"]},
        working_dir=directory,
        graceful_timeout=component["grace"],
        stdout_stream=stream,
        stderr_stream=stream,
        hooks={"after_spawn": (_note_start, False)},
    )


def _note_start(watcher: Any, **_: object) -> bool:
    """Note that a component was started (again): `up` and `status` count the lines."""
    with Path(STARTS).open("a") as file:
        file.write(f"{watcher.name}\n")
    return True


if __name__ == "__main__":
    if MARKER not in os.environ:
        sys.exit("the supervisor is started by `python -m slipstream_airflow.stack up`")
    if os.fork():  # a daemon belongs to init, not to the command that started it
        os._exit(0)
    main(Path(sys.argv[1]))
