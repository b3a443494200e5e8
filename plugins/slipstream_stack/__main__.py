"""Start, stop and look at Slipstream on this machine: Airflow's four components and the endpoint.

``python -m slipstream_stack up | down | status | prepare | env``; ``make up`` and ``make down`` call it.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shlex
import sys
import time
from pathlib import Path
from typing import Any

from slipstream.errors import SlipstreamError
from slipstream_stack import processes
from slipstream_stack.health import HEALTHY
from slipstream_stack.home import prepare
from slipstream_stack.lifecycle import down, tell_password, up
from slipstream_stack.ports import choose
from slipstream_stack.settings import (
    Layout,
    Ports,
    airflow_environment,
    components,
    slipstream_environment,
)
from slipstream_stack.status import running_stack, status


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    args = _parser().parse_args(argv)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # progress is for now, also in a pipe
    layout = Layout.from_environment(os.environ, Path(__file__).resolve().parents[2])
    try:
        code: int = args.run(layout, args)
    except SlipstreamError as error:
        print(error, file=sys.stderr)
        return 1
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m slipstream_stack", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, run, text in (
        ("up", _up, "start Airflow and the endpoint in the background and wait until they are healthy"),
        ("down", _down, "stop them all and verify that no process is left"),
        ("status", _status, "show what runs; exit code 1 unless all is healthy"),
        ("prepare", _prepare, "make folders, secrets, the password and the database, and start nothing"),
        ("env", _env, 'print the settings as shell lines: eval "$(python -m slipstream_stack env)"'),
    ):
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(run=run)
        if name == "status":
            command.add_argument("--json", action="store_true", help="print JSON")
        if name == "up":
            command.add_argument(
                "--only",
                action="append",
                default=[],
                metavar="COMPONENT",
                choices=_names(),
                help="start only this component (repeatable)",
            )
    return parser


def _names() -> tuple[str, ...]:
    return tuple(component.name for component in components(Ports()))


def _up(layout: Layout, args: argparse.Namespace) -> int:
    begin = time.monotonic()
    running = running_stack(layout)
    if running is None:
        down(layout)  # what is left of a stack that cannot be read would still hold the ports
        ports, notes = choose(os.environ)
        for note in notes:
            print(note)
        print("starting Airflow and the endpoint ...")
    else:
        ports = running.ports
        print("Slipstream runs already")
    up(layout, ports, names=tuple(args.only))
    print(f"up after {time.monotonic() - begin:.1f} s")
    _show(status(layout))
    return 0


def _down(layout: Layout, _: argparse.Namespace) -> int:
    begin = time.monotonic()
    count = down(layout)
    print(
        f"stopped {count} processes in {time.monotonic() - begin:.1f} s; none is left"
        if count
        else "nothing was running"
    )
    return 0


def _status(layout: Layout, args: argparse.Namespace) -> int:
    now = status(layout)
    if args.json:
        print(json.dumps(now, indent=2))
    elif now:
        for name, component in ({"supervisor": now["supervisor"]} | now["components"]).items():
            print(f"  {name:<14} {component['state']}   restarts: {component['restarts']}")
        if now["supervisor"]["state"] != HEALTHY:
            print("without its supervisor nothing is started again: make up")
        _show(now)
    else:
        left = len(processes.members(layout.run))
        print(
            f"{left} processes are left of a stack that cannot be read: make down" if left else "nothing runs: make up"
        )
    return 0 if now.get("healthy") else 1


def _show(now: dict[str, Any]) -> None:
    print(f"Airflow    {now['airflow']}   user {now['user']}, password in {now['password_file']}")
    print(f"Endpoint   {now['endpoint']}")
    print(f"Logs       {now['logs']}   memory {now['memory_mb']} MB   stop with: make down")


def _prepare(layout: Layout, _: argparse.Namespace) -> int:
    tell_password(layout, prepare(layout, _ports(layout)), print)
    return 0


def _env(layout: Layout, _: argparse.Namespace) -> int:
    ports = _ports(layout)
    for name, value in (airflow_environment(layout, ports) | slipstream_environment(layout, ports)).items():
        print(f"export {name}={shlex.quote(value)}")
    return 0


def _ports(layout: Layout) -> Ports:
    """Where the stack listens, or would without further ado."""
    running = running_stack(layout)
    return running.ports if running else Ports()


if __name__ == "__main__":
    sys.exit(main())
