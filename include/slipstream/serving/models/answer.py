"""The answer of a model to one request: which version gives it, and who steps in for one on trial."""

from __future__ import annotations

import logging

from slipstream.errors import ValueProblem
from slipstream.serving.message import Request
from slipstream.serving.models.traffic_split import TrafficSplit
from slipstream.serving.version.answer import Answered, Codec, Decoded, answer_by
from slipstream.store.predictions import CHALLENGER, CHAMPION

_log = logging.getLogger("slipstream")


def answer(split: TrafficSplit, codec: Codec, request: Request, body: bytes) -> Answered:
    """Decode, choose the version, score and encode one request. What the challenger cannot answer, the champion does.

    Raises:
        RequestError: the request is wrong.
        BundleError: ``answer_not_finite``.
    """
    served, role = split.champion, CHAMPION
    decoded = codec.decode(served.decoder, request, body)
    if split.challenger is not None:
        served, role = split.choose(request.headers, body, decoded.columns)
        if role == CHALLENGER:
            return _answer_on_trial(split, codec, request, body, decoded)
    return answer_by(served, role, codec, request, decoded)


def _answer_on_trial(split: TrafficSplit, codec: Codec, request: Request, body: bytes, decoded: Decoded) -> Answered:
    """The challenger's answer; the champion's to a request that the challenger cannot read or answer."""
    champion, challenger, own = split.champion, split.challenger, decoded
    assert challenger is not None  # noqa: S101 - it was chosen
    try:
        if challenger.scorer.schema.takes != champion.scorer.schema.takes:
            own = codec.decode(challenger.decoder, request, body)
        return answer_by(challenger, CHALLENGER, codec, request, own)
    except ValueProblem:  # written for the champion
        return answer_by(champion, CHAMPION, codec, request, decoded)
    except Exception as error:  # whatever a version on trial does, who asks gets an answer
        answered = answer_by(champion, CHAMPION, codec, request, decoded)
        answered.failed = challenger
        _log.warning("request %s: version %s could not answer: %r", request.id, challenger.version, error)
        return answered
