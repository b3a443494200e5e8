"""A version in service, and the answer to one request."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from slipstream.scoring.bundle import Bundle
from slipstream.scoring.schema import notices
from slipstream.scoring.scorer import Answers, Scorer, load_scorer
from slipstream.serving.decode import Columns, Decoder


@dataclass(frozen=True)
class Served:
    """One loaded version.

    Attributes:
        version: Its number; in a Bento the Bento's version.
        capture: Whether its answers are kept.
    """

    model: str
    version: int | str
    bundle: str
    scorer: Scorer
    decoder: Decoder
    capture: bool


@dataclass(frozen=True)
class Answered:
    """An answered request: what goes back, and what may be captured."""

    served: Served
    time: datetime
    ids: list[str]
    columns: Columns
    answers: Answers
    unlike: int
    body: bytes


def load_served(bundle: Bundle, version: int | str, max_rows: int, *, capture: bool) -> Served:
    """Load a verified bundle, answer its golden rows and warm it.

    Raises:
        BundleError: it cannot be loaded, or a golden row is answered otherwise than at packaging.
    """
    scorer = load_scorer(bundle)
    scorer.check_golden()
    warm = {name: [scorer.golden[0]["row"][name]] for name in scorer.schema.names}
    scorer.predict(warm)
    return Served(bundle.model, version, bundle.digest, scorer, Decoder(scorer.schema, max_rows), capture)


def answer(served: Served, body: bytes) -> Answered:
    """Decode, score and encode one request.

    Raises:
        RequestError: the request is wrong.
        BundleError: ``answer_not_finite``.
    """
    columns, count = served.decoder.decode(body)
    answers = served.scorer.predict(columns)
    found, unlike = notices(served.scorer.schema, columns)
    now = datetime.now(UTC)
    ids = prediction_ids(count)
    reply: dict[str, Any] = {
        "model": served.model,
        "version": served.version,
        "predictions": answers.predictions,
        "ids": ids,
    }
    if answers.probabilities is not None:
        reply["probabilities"] = answers.probabilities
    if served.scorer.schema.task == "multiclass":
        reply["classes"] = served.scorer.schema.classes
    if found:
        reply["warnings"] = found
    return Answered(served, now, ids, columns, answers, unlike, msgspec.json.encode(reply))


def prediction_ids(count: int) -> list[str]:
    """Ids that nobody can guess and that sort by time: UUID version 7 (RFC 9562) in hexadecimal."""
    prefix = f"{time.time_ns() // 1_000_000:012x}7"
    noise = os.urandom(10 * count).hex()
    return [
        f"{prefix}{noise[at : at + 3]}{'89ab'[int(noise[at + 3], 16) & 3]}{noise[at + 4 : at + 19]}"
        for at in range(0, 20 * count, 20)
    ]
