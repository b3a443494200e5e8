"""Has versions proved in child processes, beside what serves; of several workers one proves for all."""

from __future__ import annotations

import fcntl
import logging
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import msgspec

from slipstream.serving.models.model_limits import ModelLimits
from slipstream.serving.models.preflight_child import PreflightRequest, PreflightVerdict

AT_ONCE = 2
LONGEST = 10
"""A version is waited for so many times its seconds on a machine that has no time for it."""
PAUSE = 5.0
STILL = 0.005
"""A process that uses less than this share of a processor stands still."""

_log = logging.getLogger("slipstream")
_Key = tuple[str, int]


class _StoredVerdict(msgspec.Struct):
    """A verdict as workers share it; *attempt* is the event that asked for the version."""

    attempt: int
    verdict: PreflightVerdict


class Preflight:
    """Asks and remembers.

    Args:
        store: URL of the store.
        limits: What a version must keep to.
        shared: Folder where the workers keep verdicts; None for a single worker.
    """

    def __init__(self, store: str, limits: ModelLimits, shared: Path | None = None) -> None:
        self.store = store
        self.limits = limits
        self.shared = shared
        self._pending: dict[_Key, Future[PreflightVerdict]] = {}
        self._proved: set[str] = set()
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="prove")
        self._children: set[subprocess.Popen[bytes]] = set()

    def verdict(self, bundle: str, attempt: int) -> PreflightVerdict | None:
        """The verdict on *bundle*; None as long as there is none. What was proved once need not be again."""
        if bundle in self._proved:
            return PreflightVerdict()
        pending = self._pending.get((bundle, attempt))
        if pending is None:
            self._pending[bundle, attempt] = self._pool.submit(self._shared, bundle, attempt)
            return None
        if not pending.done():
            return None
        del self._pending[bundle, attempt]
        verdict = pending.result()
        if not verdict.code:
            self._proved.add(bundle)
        return verdict

    def close(self) -> None:
        """End the children."""
        for child in list(self._children):
            child.kill()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _shared(self, bundle: str, attempt: int) -> PreflightVerdict:
        if self.shared is None:
            return self._prove(bundle)
        try:
            with _locked(self.shared, bundle) as file:
                stored = _stored_verdict(file)
                if stored is not None and (not stored.verdict.code or stored.attempt == attempt):
                    return stored.verdict
                verdict = self._prove(bundle)
                if verdict.code != "again":
                    os.ftruncate(file, 0)
                    os.pwrite(file, msgspec.json.encode(_StoredVerdict(attempt, verdict)), 0)
                return verdict
        except OSError as error:  # a full disk: each worker proves for itself
            _log.warning("verdicts cannot be shared: %s", error)
            return self._prove(bundle)

    def _prove(self, bundle: str) -> PreflightVerdict:
        limits = self.limits
        longest = int(LONGEST * limits.seconds) + 5
        question = PreflightRequest(self.store, bundle, sorted(limits.trusted), limits.latency, limits.memory, longest)
        # One thread: the child stands beside what serves.
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
        environment.pop("PROMETHEUS_MULTIPROC_DIR", None)
        words = [sys.executable, "-m", "slipstream.serving.models.preflight_child"]
        with subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
        ) as child:
            self._children.add(child)
            try:
                output, complaint = awaited(child, msgspec.json.encode(question), limits.seconds)
            except subprocess.TimeoutExpired:
                child.kill()
                return PreflightVerdict(
                    "version_too_slow", f"it was not loaded and proved within {limits.seconds:g} s."
                )
            finally:
                self._children.discard(child)
        return _read(output, complaint, child.returncode)


def awaited(child: subprocess.Popen[bytes], question: bytes, seconds: float) -> tuple[bytes, bytes]:
    """What the child says. On a busy machine it gets its seconds of processor time, as long as it uses what it gets.

    Raises:
        TimeoutExpired: it had its time, stands still, or takes :data:`LONGEST` times as long.
    """
    ends, pause, spent = time.monotonic() + LONGEST * seconds, seconds, 0.0
    data: bytes | None = question
    while True:
        try:
            return child.communicate(data, timeout=pause)
        except subprocess.TimeoutExpired:
            used = _processor_time(child.pid)
            if used >= seconds or used - spent < STILL * pause or time.monotonic() >= ends:
                raise
            data, spent, pause = None, used, min(seconds, PAUSE)


def _processor_time(pid: int) -> float:
    """Seconds of processor time that a process has used; endless for one that has ended."""
    import psutil  # not for a Bento alone, which proves nothing

    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.NoSuchProcess:
        return math.inf
    return float(times.user + times.system)


def _read(output: bytes, complaint: bytes, code: int) -> PreflightVerdict:
    try:
        return msgspec.json.decode(output, type=PreflightVerdict)
    except msgspec.DecodeError:
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        last = complaint.decode("utf-8", "replace").strip().rpartition("\n")[2][:200]
        return PreflightVerdict(
            "version_crashed", f"the process that tried it ended with {how}{': ' if last else ''}{last}."
        )


@contextmanager
def _locked(folder: Path, bundle: str) -> Iterator[int]:
    folder.mkdir(exist_ok=True, mode=0o700)
    file = os.open(folder / bundle, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file
    finally:
        os.close(file)


def _stored_verdict(file: int) -> _StoredVerdict | None:
    try:
        return msgspec.json.decode(os.pread(file, 1 << 16, 0), type=_StoredVerdict)
    except msgspec.DecodeError:
        return None
