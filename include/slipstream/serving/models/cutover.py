"""Lets the workers of one endpoint cut over together: a small file that all of them map into their memory.

For each model it holds one word, the number of the ledger event up to which *every* worker has prepared itself, and
for each worker the number up to which that one has. A worker answers by what it has prepared up to the common number,
so all change at one instant, however long each took to load. Reading the word costs a request some 50 ns.
"""

from __future__ import annotations

import fcntl
import hashlib
import mmap
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from slipstream.errors import BackendError

WORKERS, MODELS = 64, 2048
SECONDS = 30.0
"""So long the others wait for a worker that is slower than they are."""

_WORD = 8
_ROW = 2 + 2 * WORKERS
"""A model's words: the digest of its name, the common number, then for each worker its number and since when (ns)."""
_SIZE = _WORD * (WORKERS + MODELS * _ROW)


class CutoverBarrier:
    """One worker's place at the barrier, the file at *path*, which is made if there is none."""

    def __init__(self, path: Path, seconds: float = SECONDS) -> None:
        self.seconds = seconds
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with self._locked():
            if os.fstat(self._file).st_size < _SIZE:
                # Not sparse: to write into a hole of a full disk would kill the process.
                os.posix_fallocate(self._file, 0, _SIZE)
        self._words = memoryview(mmap.mmap(self._file, _SIZE)).cast("Q")
        self._slot = -1

    def row(self, model: str) -> ModelSlot:
        """The words of *model*.

        Raises:
            BackendError: ``board_full``.
        """
        name = int.from_bytes(hashlib.blake2b(model.encode(), digest_size=8).digest(), "big") | 1
        with self._locked():
            for number in range(MODELS):
                start = WORKERS + (name + number) % MODELS * _ROW
                if self._words[start] in {0, name}:
                    self._words[start] = name
                    return ModelSlot(self, start)
        raise BackendError(f"more than {MODELS} models at one endpoint; run another.", code="board_full")

    def close(self) -> None:
        """Leave: nobody waits for this worker any more."""
        with self._locked():
            if self._slot >= 0:
                self._words[self._slot] = 0
        self._slot = -1

    def _place(self) -> int:
        """This worker's place; taken when it first has prepared something."""
        if self._slot < 0:
            free = next((slot for slot in range(WORKERS) if not _lives(self._words[slot])), None)
            if free is None:
                raise BackendError(f"more than {WORKERS} workers at one endpoint.", code="board_full")
            for row in range(WORKERS, len(self._words), _ROW):
                if self._words[row]:
                    self._words[row + 2 + 2 * free] = 0
            self._words[free] = os.getpid()
            self._slot = free
        return self._slot

    def _others(self) -> Iterator[int]:
        """The places of the workers that live, this one's among them."""
        return (slot for slot in range(WORKERS) if _lives(self._words[slot]))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        # Held for microseconds; the system lets go of it when a process dies.
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)


class ModelSlot:
    """One model's words at the barrier."""

    def __init__(self, barrier: CutoverBarrier, start: int) -> None:
        self.barrier = barrier
        self._words = barrier._words
        self._common = start + 1
        self._first = start + 2

    @property
    def common(self) -> int:
        """The number up to which every worker is prepared."""
        return self._words[self._common]

    def prepared(self, seq: int) -> None:
        """Tell that this worker is prepared up to *seq*."""
        with self.barrier._locked():
            place = self._first + 2 * self.barrier._place()
            self._words[place], self._words[place + 1] = seq, time.monotonic_ns()

    def advance(self) -> int | None:
        """Raise the common number as far as the workers are prepared.

        Returns:
            The number before, if this call raised it; else None.
        """
        with self.barrier._locked():
            mine = self.barrier._place()
            numbers = {slot: self._words[self._first + 2 * slot] for slot in self.barrier._others()}
            waited = time.monotonic_ns() - self._words[self._first + 2 * mine + 1]
            late = waited > self.barrier.seconds * 1e9
            reached = numbers[mine] if late else min(numbers.values())
            before = self._words[self._common]
            if reached <= before:
                return None
            self._words[self._common] = reached
            return before


def _lives(pid: int) -> bool:
    """Whether that process can still do something; one that was killed stands in the system's list for a while."""
    if pid == 0:
        return False
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except ProcessLookupError:
        return False
    except (OSError, IndexError):  # another user's process, or a system without /proc
        return True
    return state not in {"Z", "X"}
