"""KServe's V2 protocol (Open Inference): one tensor per input, in JSON or in Triton's binary extension."""

from __future__ import annotations

from typing import Any

import msgspec

from slipstream.errors import RequestError
from slipstream.model_schema import Schema
from slipstream.serving.message import JSON, Request
from slipstream.serving.protocols.tensors import Infer, Tensors, read_request
from slipstream.serving.version.answer import Answered, Decoded
from slipstream.serving.version.json_body import Decoder
from slipstream.serving.version.loaded import LoadedVersion

_DATATYPES = {"number": "FP64", "integer": "INT64", "boolean": "BOOL", "string": "BYTES"}


class KServeV2:
    """Reads tensors; answers ``predictions``, ``probabilities`` and ``ids``, or those of them that are asked for."""

    def decode(self, decoder: Decoder, request: Request, body: bytes) -> Decoded:
        """The rows of *body*."""
        infer = read_request(body, request.headers.get(b"inference-header-content-length"))
        _check_outputs(infer, decoder.schema)
        return Decoded(*decoder.own(Tensors).columns(infer), memo=infer)

    def encode(self, answered: Answered) -> tuple[bytes, bytes]:
        """The outputs, as JSON."""
        served, infer = answered.served, answered.decoded.memo
        reply: dict[str, Any] = {"model_name": served.model, "model_version": str(served.version)}
        if infer.id is not msgspec.UNSET:
            reply["id"] = infer.id
        wanted = _wanted(infer)
        outputs = [
            {"name": one["name"], "datatype": one["datatype"], "shape": _shape(data), "data": data}
            for one, data in zip(_outputs(served.scorer.schema), _data(answered), strict=True)
            if not wanted or one["name"] in wanted
        ]
        return msgspec.json.encode({**reply, "outputs": outputs}), JSON


def flat(error: dict[str, Any]) -> dict[str, Any]:
    """The body of an error as V2 has it: ``error`` is a string, and its clients rely on that."""
    return {"error": error["message"], **{key: value for key, value in error.items() if key != "message"}}


def _wanted(infer: Infer) -> set[str]:
    return {one.name for one in infer.outputs or ()}


def _check_outputs(infer: Infer, schema: Schema) -> None:
    known = [one["name"] for one in _outputs(schema)]
    for at, one in enumerate(infer.outputs or ()):
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
    columns = [answers.predictions, answers.probabilities, answered.ids]
    return [data for data in columns if data is not None]


def _shape(data: list[Any]) -> list[int]:
    return [len(data), len(data[0])] if isinstance(data[0], list) else [len(data)]


# What the other paths answer.


def described(served: LoadedVersion) -> dict[str, Any]:
    """The inputs and outputs of a version, as V2 tells of a model."""
    schema = served.scorer.schema
    inputs = [{"name": field.name, "datatype": _DATATYPES[field.type], "shape": [-1]} for field in schema.inputs]
    about = {"name": served.model, "versions": [str(served.version)], "platform": "slipstream"}
    return {**about, "inputs": inputs, "outputs": _outputs(schema)}
