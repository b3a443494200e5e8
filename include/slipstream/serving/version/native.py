"""The native form of requests and replies, which the protocols of other platforms add to or take from."""

from __future__ import annotations

from typing import Any

import msgspec

from slipstream.serving.message import JSON, Request
from slipstream.serving.version.answer import Answered, Decoded
from slipstream.serving.version.json_body import Decoder


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
    if answered.check.warnings:
        reply["warnings"] = answered.check.warnings
    return reply


class Native:
    """``{"rows": [...]}`` or ``{"columns": {...}}``, answered in full."""

    def decode(self, decoder: Decoder, request: Request, body: bytes) -> Decoded:
        """The rows or columns of *body*."""
        return Decoded(*decoder.decode(body))

    def encode(self, answered: Answered) -> tuple[bytes, bytes]:
        """The native answer."""
        return msgspec.json.encode(native(answered)), JSON
