"""KServe's V1 protocol, which Vertex AI's is a copy of: ``{"instances": [...]}`` -> ``{"predictions": [...]}``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from slipstream.serving.call import Call, Reply
from slipstream.serving.decode import Body, Decoder
from slipstream.serving.forms import Inputs, Instances
from slipstream.serving.served import Decoded, Native

if TYPE_CHECKING:
    from slipstream.serving.front import Front


class KServeV1(Native):
    """Reads ``instances``: objects, lists in the order of the inputs or, with one input, its values."""

    def decode(self, decoder: Decoder, call: Call, body: bytes) -> Decoded:
        """The rows of *body*."""
        return Decoded(*decoder.own(_instances).decode(body))


def _instances(inputs: Inputs) -> Body:
    return Body(inputs, {"instances": Instances}, empty=("parameters",))


async def models(front: Front, call: Call) -> Reply:
    """The names of the models."""
    return Reply(200, msgspec.json.encode({"models": front.models.names()}))


async def model(front: Front, call: Call) -> Reply:
    """Whether the model serves; 404 if it does not."""
    front.routes(call)
    return Reply(200, msgspec.json.encode({"name": call.model, "ready": True}))
