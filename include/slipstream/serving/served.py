"""A version in service, and the answer to one request."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from slipstream.errors import RequestError
from slipstream.scoring.bundle import Bundle
from slipstream.scoring.scorer import Answers, Columns, Scorer, load_scorer
from slipstream.serving.call import JSON, Call
from slipstream.serving.decode import Decoder
from slipstream.serving.notices import Found, Notice, Watch
from slipstream.serving.policy import ALL_KEPT, Policy

if TYPE_CHECKING:
    from slipstream.serving.routes import Routes

CHAMPION, CHALLENGER, SHADOW = "champion", "challenger", "shadow"
WARM = 20
"""Answers before the first request; the interpreter adapts to what it runs often."""

_log = logging.getLogger("slipstream")


@dataclass(frozen=True)
class Served:
    """One loaded version.

    Attributes:
        version: Its number; in a Bento the Bento's version.
        bundle: Id of its bundle.
        watch: Looks for values unlike those of training.
        policy: What of its answers is kept.
        card: Its model card.
        trained: Unix time when it was registered, in seconds; 0 if not known.
        background: Rows of its training to compare with in explanations, a Parquet file.
    """

    model: str
    version: int | str
    bundle: str
    scorer: Scorer
    decoder: Decoder
    watch: Watch
    policy: Policy = ALL_KEPT
    card: Mapping[str, Any] = field(default_factory=dict)
    trained: float = 0.0
    background: bytes = b""


@dataclass(frozen=True)
class Decoded:
    """The body of a request, understood.

    Attributes:
        columns: Input -> values, all of one length.
        rows: That length.
        asked: What the protocol needs to remember for its reply.
    """

    columns: Columns
    rows: int
    asked: Any = None


class Codec(Protocol):
    """How one protocol writes requests and replies."""

    def decode(self, decoder: Decoder, call: Call, body: bytes) -> Decoded:
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
        route: ``champion`` or ``challenger``.
        latency: Seconds from the request's arrival to its answer.
        work: Seconds that the version itself took for it.
        failed: The challenger that could not answer it, so that the champion did.
    """

    served: Served
    decoded: Decoded
    answers: Answers
    found: Found
    route: str
    ids: list[str]
    time: float
    call: Call
    latency: float = 0.0
    work: float = 0.0
    failed: Served | None = None
    body: bytes = b""
    kind: bytes = JSON

    @property
    def notices(self) -> list[Notice]:
        """The first values unlike those of training."""
        return self.found.notices


def load_served(bundle: Bundle, version: int | str, max_rows: int, policy: Policy, trained: float = 0.0) -> Served:
    """Load a verified bundle, answer its golden rows and warm it.

    Raises:
        BundleError: it cannot be loaded, or a golden row is answered otherwise than at packaging.
    """
    scorer = load_scorer(bundle)
    scorer.check_golden()
    served = Served(
        bundle.model,
        version,
        bundle.digest,
        scorer,
        Decoder(scorer.schema, max_rows),
        Watch(scorer.schema),
        policy,
        bundle.json("card.json"),
        trained,
        bundle.files["background.parquet"],
    )
    _warm(served)
    return served


def _warm(served: Served) -> None:
    """Answer a golden row the way requests are answered: what is made at first use is made now."""
    body = msgspec.json.encode({"rows": [served.scorer.golden[0]["row"]]})
    for _ in range(WARM):
        native_answer(served, body)


async def _nothing() -> dict[str, Any]:
    return {}


def native_answer(served: Served, body: bytes) -> bytes:
    """The native reply of one version to one request, in this process.

    Raises:
        RequestError: the request is wrong.
    """
    from slipstream.serving.routes import Routes

    return answer(Routes(served), Native(), Call({}, {}, _nothing, ""), body).body


def answer(routes: Routes, codec: Codec, call: Call, body: bytes) -> Answered:
    """Decode, choose the version, score and encode one request. What the challenger cannot answer, the champion does.

    Raises:
        RequestError: the request is wrong.
        BundleError: ``answer_not_finite``.
    """
    served, route = routes.champion, CHAMPION
    decoded = codec.decode(served.decoder, call, body)
    if routes.challenger is not None:
        served, route = routes.choose(call.headers, body, decoded.columns)
        if route == CHALLENGER:
            return _answer_on_trial(routes, codec, call, body, decoded)
    return _answer(served, route, codec, call, decoded)


def _answer_on_trial(routes: Routes, codec: Codec, call: Call, body: bytes, decoded: Decoded) -> Answered:
    """The challenger's answer; the champion's to a request that the challenger cannot read or answer."""
    champion, challenger, own = routes.champion, routes.challenger, decoded
    assert challenger is not None  # noqa: S101 - it was chosen
    try:
        if challenger.scorer.schema.takes != champion.scorer.schema.takes:
            own = codec.decode(challenger.decoder, call, body)
        return _answer(challenger, CHALLENGER, codec, call, own)
    except RequestError:  # written for the champion
        return _answer(champion, CHAMPION, codec, call, decoded)
    except Exception as error:  # whatever a version on trial does, who asks gets an answer
        answered = _answer(champion, CHAMPION, codec, call, decoded)
        answered.failed = challenger
        _log.warning("request %s: version %s could not answer: %r", call.request, challenger.version, error)
        return answered


def _answer(served: Served, route: str, codec: Codec, call: Call, decoded: Decoded) -> Answered:
    began = time.perf_counter()
    answers = served.scorer.predict(decoded.columns)
    found = served.watch.look(decoded.columns, decoded.rows)
    answered = Answered(served, decoded, answers, found, route, prediction_ids(decoded.rows), time.time(), call)
    answered.body, answered.kind = codec.encode(answered)
    ended = time.perf_counter()
    answered.work, answered.latency = ended - began, ended - call.started
    return answered


def native(answered: Answered) -> dict[str, Any]:
    """The answer as the native route gives it; other JSON protocols add to it or take from it."""
    served, answers = answered.served, answered.answers
    reply: dict[str, Any] = {
        "model": served.model,
        "version": served.version,
        "predictions": answers.predictions,
        "ids": answered.ids,
    }
    if answers.probabilities is not None:
        reply["probabilities"] = answers.probabilities
    if served.scorer.schema.positive is not None:
        reply["positive"] = served.scorer.schema.positive
    if served.scorer.schema.task == "multiclass":
        reply["classes"] = served.scorer.schema.classes
    if answered.found.notices:
        reply["warnings"] = answered.found.notices
    return reply


class Native:
    """``{"rows": [...]}`` or ``{"columns": {...}}``, answered in full."""

    def decode(self, decoder: Decoder, call: Call, body: bytes) -> Decoded:
        """The rows or columns of *body*."""
        return Decoded(*decoder.decode(body))

    def encode(self, answered: Answered) -> tuple[bytes, bytes]:
        """The native answer."""
        return msgspec.json.encode(native(answered)), JSON


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
