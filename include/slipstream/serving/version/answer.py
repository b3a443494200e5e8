"""The answer of one version to one request."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Any, Protocol

from slipstream.bundle.scorer import Answers, Columns
from slipstream.input_warnings import InputCheck, InputWarning
from slipstream.serving.message import JSON, Request
from slipstream.serving.version.json_body import Decoder
from slipstream.serving.version.loaded import LoadedVersion


@dataclass(frozen=True)
class Decoded:
    """The body of a request, understood.

    Attributes:
        columns: Input -> values, all of one length.
        rows: That length.
        memo: What the protocol needs to remember for its reply.
    """

    columns: Columns
    rows: int
    memo: Any = None


class Codec(Protocol):
    """How one protocol writes requests and replies."""

    def decode(self, decoder: Decoder, request: Request, body: bytes) -> Decoded:
        """What is asked; raises RequestError with the place of the mistake."""
        ...

    def encode(self, answered: Answered) -> tuple[bytes, bytes]:
        """The reply's body and its content type."""
        ...


@dataclass
class Answered:
    """An answered request: what goes back, and what may be captured.

    Attributes:
        time: Unix time of the answer, in seconds.
        ids: One id a row.
        role: ``champion`` or ``challenger``.
        latency: Seconds from the request's arrival to its answer.
        work: Seconds that the version itself took for it.
        failed: The challenger that could not answer it, so that the champion did.
    """

    served: LoadedVersion
    decoded: Decoded
    answers: Answers
    check: InputCheck
    role: str
    ids: list[str]
    time: float
    request: Request
    latency: float = 0.0
    work: float = 0.0
    failed: LoadedVersion | None = None
    body: bytes = b""
    kind: bytes = JSON

    @property
    def warnings(self) -> list[InputWarning]:
        """The first values unlike those of training."""
        return self.check.warnings


def answer_by(served: LoadedVersion, role: str, codec: Codec, request: Request, decoded: Decoded) -> Answered:
    """What one version answers to a decoded request, encoded.

    Raises:
        BundleError: ``answer_not_finite``.
    """
    began = time.perf_counter()
    answers = served.scorer.predict(decoded.columns)
    check = served.monitor.look(decoded.columns, decoded.rows)
    answered = Answered(served, decoded, answers, check, role, prediction_ids(decoded.rows), time.time(), request)
    answered.body, answered.kind = codec.encode(answered)
    ended = time.perf_counter()
    answered.work, answered.latency = ended - began, ended - request.started
    return answered


_SUFFIXES = [f"{number:04x}" for number in range(1 << 12)]


def prediction_ids(count: int) -> list[str]:
    """Ids that nobody can guess and that sort by time: UUID version 7 (RFC 9562) in hexadecimal.

    The ids of one request share 58 random bits and end in the number of the row.
    """
    noise = os.urandom(8).hex()
    start = f"{time.time_ns() // 1_000_000:012x}7{noise[:3]}{'89ab'[int(noise[3], 16) & 3]}{noise[4:15]}"
    if count <= len(_SUFFIXES):
        return [start + suffix for suffix in _SUFFIXES[:count]]
    return [f"{start[: 32 - 6]}{number:06x}" for number in range(count)]
