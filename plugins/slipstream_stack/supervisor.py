"""The process that keeps the components of a stack running.

Run by ``stack.up`` as ``python -m slipstream_stack.supervisor RUN_FOLDER`` in a session of its own. Whoever
holds the lock of the run folder supervises. A second process of the same kind, the stand-by, waits for that lock: when
the supervisor goes, however it went, the stand-by is the supervisor, and starts another stand-by.

Nothing ties a component to the supervisor that started it: it writes its log by itself, and is known by its mark and
number. So the next supervisor goes on with the same processes.
"""

from __future__ import annotations

import contextlib
import copy
import fcntl
import json
import logging
import os
import signal
import sys
import time
from pathlib import Path

from slipstream_stack.component import Supervised
from slipstream_stack.logs import rotate
from slipstream_stack.processes import SUPERVISOR
from slipstream_stack.settings import MARKER, Component
from slipstream_stack.state import ComponentState, beat, read_notes, write_notes

log = logging.getLogger(__name__)
_TICK, _BEAT = 0.2, 1.0
_STAND_BY = "--stand-by"


class Supervisor:
    """Keeps what ``stack.json`` in a run folder lists running until SIGTERM or SIGINT.

    Args:
        run: The run folder.
    """

    def __init__(self, run: Path) -> None:
        plan, notes = json.loads((run / "stack.json").read_text()), read_notes(run)
        stand_by = Component(SUPERVISOR, (sys.executable, "-m", "slipstream_stack.supervisor", str(run), _STAND_BY))
        wanted = [stand_by, *(Component(**component) for component in plan["components"])]
        self._run = run
        self._stopping = False
        self._written: dict[str, ComponentState] = {}
        self._components = [
            Supervised(
                component, run, Path(plan["logs"]), plan["directory"], notes.get(component.name, ComponentState())
            )
            for component in wanted
        ]

    def keep(self) -> None:
        """Look after all components until a signal comes, then end them."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        beaten = 0.0
        while not self._stopping:
            for one in self._components:
                one.tend()
            self._write()
            if time.monotonic() - beaten > _BEAT:
                beaten = time.monotonic()
                self._beat()
            time.sleep(_TICK)
        self._end()

    def _write(self) -> None:
        notes = {one.name: one.note for one in self._components}
        if notes != self._written:
            with contextlib.suppress(OSError):  # a full disk is no reason to restart nothing; it is tried again
                write_notes(self._run, notes)
                self._written = copy.deepcopy(notes)

    def _beat(self) -> None:
        with contextlib.suppress(OSError):
            beat(self._run)
        for one in self._components:
            with contextlib.suppress(OSError):
                rotate(one.log)

    def _stop(self, *_: object) -> None:
        self._stopping = True

    def _end(self) -> None:
        log.info("ending all")
        stand_by, *components = self._components
        stand_by.kill()  # or it would go on
        begin = time.monotonic()
        for one in components:
            one.terminate()
        while waiting := [one for one in components if one.lives()]:
            for one in waiting:
                if time.monotonic() - begin > one.component.grace:
                    one.kill()
            time.sleep(_TICK)
        for one in components:
            one.kill()


def main(run: Path, *, wait: bool) -> None:
    """Supervise the stack of *run*.

    Args:
        run: Its run folder.
        wait: Whether to wait for the end of a supervisor that is there, or to leave it alone.
    """
    with (run / "supervisor.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
        log.info("process %d supervises", os.getpid())
        Supervisor(run).keep()


if __name__ == "__main__":
    if MARKER not in os.environ:
        sys.exit("the supervisor is started by `python -m slipstream_stack up`")
    stand_by = _STAND_BY in sys.argv
    if not stand_by and os.fork():  # a daemon belongs to init, not to the command that started it
        os._exit(0)
    main(Path(sys.argv[1]), wait=stand_by)
