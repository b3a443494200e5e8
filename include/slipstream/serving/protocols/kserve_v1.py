"""KServe's V1 protocol, which Vertex AI's is a copy of: ``{"instances": [...]}`` -> ``{"predictions": [...]}``."""

from __future__ import annotations

from slipstream.serving.message import Request
from slipstream.serving.version.answer import Decoded
from slipstream.serving.version.json_body import Body, Decoder
from slipstream.serving.version.native import Native
from slipstream.serving.version.row_formats import Inputs, Instances


class KServeV1(Native):
    """Reads ``instances``: objects, lists in the order of the inputs or, with one input, its values."""

    def decode(self, decoder: Decoder, request: Request, body: bytes) -> Decoded:
        """The rows of *body*."""
        return Decoded(*decoder.own(_instances).decode(body))


def _instances(inputs: Inputs) -> Body:
    return Body(inputs, {"instances": Instances}, empty=("parameters",))
