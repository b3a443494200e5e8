"""Proves a version in a process of its own: what crashes, hangs or eats memory does so there, not at the endpoint.

``python -m slipstream.serving.models.preflight_child`` reads what to prove from standard input and writes its verdict
to standard output, both as JSON.
"""

from __future__ import annotations

import os
import resource
import signal
import statistics
import sys
import time

import msgspec

from slipstream.bundle.bundle import open_bundle
from slipstream.bundle.scorer import Scorer, load_scorer
from slipstream.errors import SlipstreamError
from slipstream.store import Store
from slipstream.store.faultpoints import faultpoint

ANSWERS = 30
NICE = 5


class PreflightRequest(msgspec.Struct):
    """What to prove.

    Attributes:
        store: URL of the store.
        bundle: Id of the bundle.
        trusted: Names of the only signing keys to believe; empty: those that the ledger records.
        latency: Most milliseconds for one row.
        memory: Most bytes.
        seconds: When the process ends at the latest, also if nobody waits for it any more.
    """

    store: str
    bundle: str
    trusted: list[str]
    latency: float
    memory: int
    seconds: int


class PreflightVerdict(msgspec.Struct):
    """What came of it.

    Attributes:
        code: "" if the version may serve; ``again`` if it could not be read just now; else why it may not.
        reason: The reason in a sentence.
    """

    code: str = ""
    reason: str = ""


def judge(question: PreflightRequest) -> PreflightVerdict:
    """Load the version and answer with it."""
    try:
        bundle = open_bundle(Store.open(question.store), question.bundle, frozenset(question.trusted))
        faultpoint(f"serving.load.{question.bundle[:16]}")
        scorer = load_scorer(bundle)
        scorer.check_golden()
        took = _median_ms(scorer)
    except SlipstreamError as error:
        return PreflightVerdict("again" if error.retryable else error.code, str(error))
    except MemoryError:
        return PreflightVerdict("version_too_large", f"it needs more than {question.memory >> 20} MiB of memory.")
    except Exception as error:  # whatever the version does, it is a verdict
        return PreflightVerdict("version_unloadable", f"{type(error).__name__}: {str(error)[:300]}")
    if took > question.latency:
        reason = f"one row takes it {took:.1f} ms; at most {question.latency:g} ms are allowed."
        return PreflightVerdict("version_too_slow", reason)
    return PreflightVerdict()


def _median_ms(scorer: Scorer) -> float:
    took = []
    for number in range(ANSWERS):
        row = scorer.golden[number % len(scorer.golden)]["row"]
        columns = {name: [row[name]] for name in scorer.schema.names}
        began = time.perf_counter()
        scorer.predict(columns)
        took.append(time.perf_counter() - began)
    return statistics.median(took) * 1000


def main() -> None:
    """Answer the question on standard input."""
    os.nice(NICE)
    question = msgspec.json.decode(sys.stdin.buffer.read(), type=PreflightRequest)
    resource.setrlimit(resource.RLIMIT_DATA, (question.memory, question.memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.alarm(question.seconds)
    # What the version prints must not stand before the verdict.
    out, sys.stdout = os.fdopen(os.dup(1), "wb"), sys.stderr
    os.dup2(2, 1)
    with out:
        out.write(msgspec.json.encode(judge(question)))


if __name__ == "__main__":
    main()
