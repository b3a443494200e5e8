"""From a verified bundle to a version that is ready to answer."""

from __future__ import annotations

from typing import Any

import msgspec

from slipstream.bundle.bundle import Bundle
from slipstream.bundle.scorer import load_scorer
from slipstream.input_warnings import InputMonitor
from slipstream.serving.message import Request
from slipstream.serving.version.answer import answer_by
from slipstream.serving.version.capture_policy import Policy
from slipstream.serving.version.json_body import Decoder
from slipstream.serving.version.loaded import LoadedVersion
from slipstream.serving.version.native import Native
from slipstream.store.predictions import CHAMPION

WARM = 20
"""Answers before the first request; the interpreter adapts to what it runs often."""


def load_served(
    bundle: Bundle, version: int | str, max_rows: int, policy: Policy, trained: float = 0.0
) -> LoadedVersion:
    """Load a verified bundle, answer its golden rows and warm it.

    Raises:
        BundleError: it cannot be loaded, or a golden row is answered otherwise than at packaging.
    """
    scorer = load_scorer(bundle)
    scorer.check_golden()
    served = LoadedVersion(
        bundle.model,
        version,
        bundle.digest,
        scorer,
        Decoder(scorer.schema, max_rows),
        InputMonitor(scorer.schema),
        policy,
        bundle.json("card.json"),
        trained,
        bundle.files["background.parquet"],
    )
    _warm(served)
    return served


def _warm(served: LoadedVersion) -> None:
    """Answer a golden row the way requests are answered: what is made at first use is made now."""
    body = msgspec.json.encode({"rows": [served.scorer.golden[0]["row"]]})
    for _ in range(WARM):
        native_answer(served, body)


async def _nothing() -> dict[str, Any]:
    return {}


def native_answer(served: LoadedVersion, body: bytes) -> bytes:
    """The native reply of one version to one request, in this process.

    Raises:
        RequestError: the request is wrong.
    """
    codec, request = Native(), Request({}, {}, _nothing, "")
    return answer_by(served, CHAMPION, codec, request, codec.decode(served.decoder, request, body)).body
