"""One component under its supervisor: started, looked at, cleared away when it has ended, started again."""

from __future__ import annotations

import logging
import os
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import psutil

from slipstream_stack.processes import alive, members, role, signal_all
from slipstream_stack.settings import ROLE, Component
from slipstream_stack.state import ComponentState

log = logging.getLogger(__name__)
_FIRST_DELAY, _LONGEST_DELAY = 1.0, 10.0
_LONG_LIFE = 30.0


class Supervised:
    """A component that is kept running.

    Attributes:
        component: What it is.
        log: The file that it writes to.
        note: What is known of it, for others to read.
    """

    def __init__(self, component: Component, run: Path, logs: Path, directory: str, note: ComponentState) -> None:
        self.component = component
        self.log = logs / f"{component.name}.log"
        self.note = note
        self._run, self._directory = run, directory
        self._delay = _FIRST_DELAY / 2
        self._due = 0.0
        self._kill_at: float | None = None
        self._process = self._adopted()

    @property
    def name(self) -> str:
        """What the component is called."""
        return self.component.name

    def tend(self) -> None:
        """Look at it once: note its end, end what it left behind, start it again when that is due."""
        if self._process is not None:
            if not self.lives():
                self._note_end()
        elif self._cleared() and time.monotonic() >= self._due:
            self._start()

    def lives(self) -> bool:
        """Whether its process runs; a process of ours that has ended is reaped."""
        if self._process is None:
            return False
        try:
            self.note.code = self._process.wait(timeout=0)
        except psutil.TimeoutExpired:
            # A predecessor's child is not ours to reap: init does it or, in a bare container, nobody.
            return isinstance(self._process, psutil.Popen) or alive(self._process)
        return False

    def terminate(self) -> None:
        """Ask its process to end."""
        if self._process is not None:
            signal_all([self._process], force=False)

    def kill(self) -> None:
        """Kill its process and all that is left of it."""
        signal_all(self._remains(), force=True)

    def _adopted(self) -> psutil.Process | None:
        """The process that an earlier supervisor started, if it lives: this one goes on with it."""
        pid, self.note.pid = self.note.pid, None
        if pid is None:
            return None
        for process in self._remains():
            if process.pid == pid and role(process) == self.name:
                log.info("%s: process %d goes on", self.name, pid)
                self.note.pid = pid
                return process
        self.note.ended, self.note.code = self.note.ended + 1, None
        return None

    def _note_end(self) -> None:
        lived = time.time() - self.note.started
        self._delay = _FIRST_DELAY if lived > _LONG_LIFE else min(2 * self._delay, _LONGEST_DELAY)
        self._due = time.monotonic() + self._delay
        self._process = self._kill_at = self.note.pid = None
        self.note.ended += 1
        log.info("%s: %s after %.1f s; again in %.0f s", self.name, self.note.last_end, lived, self._delay)

    def _cleared(self) -> bool:
        """Whether nothing of an earlier process is left; what is, is ended.

        A worker that outlives its parent would hold the port, and an old task would run beside its next attempt.
        """
        remains = self._remains()
        now = time.monotonic()
        if remains and self._kill_at is None:
            log.info("%s: ending %d processes that it left", self.name, len(remains))
            self._kill_at = now + self.component.left
            if self.component.left:
                signal_all(remains, force=False)
        if remains and self._kill_at is not None and now >= self._kill_at:
            signal_all(remains, force=True)
        return not remains

    def _remains(self) -> list[psutil.Process]:
        return members(self._run, self.name)

    def _start(self) -> None:
        self.note.started, self.note.code = time.time(), None
        env: Mapping[str, str] = {**os.environ, **self.component.env, ROLE: self.name}
        try:
            with self.log.open("ab") as out:
                self._process = psutil.Popen(
                    list(self.component.args),
                    cwd=self._directory,
                    env=env,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=out,
                    start_new_session=True,
                )
        except OSError as error:
            log.error("%s: cannot be started: %s", self.name, error)
            self._note_end()
            return
        self.note.pid = self._process.pid
        log.info("%s: started as process %d", self.name, self.note.pid)
