"""KServe's V2 protocol (Open Inference): one tensor per input, in JSON or in Triton's binary extension."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from slipstream.errors import RequestError
from slipstream.scoring.schema import Schema
from slipstream.serving.call import JSON, Call, Reply
from slipstream.serving.decode import Decoder
from slipstream.serving.protocols import VERSION
from slipstream.serving.protocols.tensors import Infer, Tensors, read_request
from slipstream.serving.served import Answered, Decoded

if TYPE_CHECKING:
    from slipstream.serving.front import Front

_DATATYPES = {"number": "FP64", "integer": "INT64", "boolean": "BOOL", "string": "BYTES"}


class KServeV2:
    """Reads tensors; answers ``predictions``, ``probabilities`` and ``ids``, or those of them that are asked for."""

    def decode(self, decoder: Decoder, call: Call, body: bytes) -> Decoded:
        """The rows of *body*."""
        request = read_request(body, call.headers.get(b"inference-header-content-length"))
        _check_outputs(request, decoder.schema)
        return Decoded(*decoder.own(Tensors).columns(request), asked=request)

    def encode(self, answered: Answered) -> tuple[bytes, bytes]:
        """The outputs, as JSON."""
        served, request = answered.served, answered.decoded.asked
        reply: dict[str, Any] = {"model_name": served.model, "model_version": str(served.version)}
        if request.id is not msgspec.UNSET:
            reply["id"] = request.id
        wanted = _wanted(request)
        outputs = [
            {"name": one["name"], "datatype": one["datatype"], "shape": _shape(data), "data": data}
            for one, data in zip(_outputs(served.scorer.schema), _data(answered), strict=True)
            if not wanted or one["name"] in wanted
        ]
        return msgspec.json.encode({**reply, "outputs": outputs}), JSON


def flat(error: dict[str, Any]) -> dict[str, Any]:
    """The body of an error as V2 has it: ``error`` is a string, and its clients rely on that."""
    return {"error": error["message"], **{key: value for key, value in error.items() if key != "message"}}


def _wanted(request: Infer) -> set[str]:
    return {one.name for one in request.outputs or ()}


def _check_outputs(request: Infer, schema: Schema) -> None:
    known = [one["name"] for one in _outputs(schema)]
    for at, one in enumerate(request.outputs or ()):
        if one.name not in known:
            place = f"outputs[{at}].name"
            message = f"{place}: there is no such output; known: {', '.join(known)}"
            raise RequestError(message, code="field_unknown", field=place)


def _outputs(schema: Schema) -> list[dict[str, Any]]:
    labels = {bool: "BOOL", int: "INT64", str: "BYTES"}
    datatype = labels[type(schema.classes[0])] if schema.classes else "FP64"
    outputs: list[dict[str, Any]] = [{"name": "predictions", "datatype": datatype, "shape": [-1]}]
    if schema.task == "binary":
        outputs.append({"name": "probabilities", "datatype": "FP64", "shape": [-1]})
    if schema.task == "multiclass":
        outputs.append({"name": "probabilities", "datatype": "FP64", "shape": [-1, len(schema.classes)]})
    return [*outputs, {"name": "ids", "datatype": "BYTES", "shape": [-1]}]


def _data(answered: Answered) -> list[list[Any]]:
    answers = answered.answers
    found = [answers.predictions, answers.probabilities, answered.ids]
    return [data for data in found if data is not None]


def _shape(data: list[Any]) -> list[int]:
    return [len(data), len(data[0])] if isinstance(data[0], list) else [len(data)]


# What the other paths answer.


async def server(front: Front, call: Call) -> Reply:
    """What this server is."""
    about = {"name": "slipstream", "version": VERSION, "extensions": ["binary_tensor_data"]}
    return Reply(200, msgspec.json.encode(about))


async def live(front: Front, call: Call) -> Reply:
    """That it lives."""
    return Reply(200, msgspec.json.encode({"live": True}))


async def model(front: Front, call: Call) -> Reply:
    """The inputs and outputs of a model."""
    served = front.routes(call).champion
    schema = served.scorer.schema
    inputs = [{"name": field.name, "datatype": _DATATYPES[field.type], "shape": [-1]} for field in schema.inputs]
    about = {"name": served.model, "versions": [str(served.version)], "platform": "slipstream"}
    return Reply(200, msgspec.json.encode({**about, "inputs": inputs, "outputs": _outputs(schema)}))


async def model_ready(front: Front, call: Call) -> Reply:
    """Whether a model serves; 404 if it does not."""
    front.routes(call)
    return Reply(200, msgspec.json.encode({"name": call.model, "ready": True}))
