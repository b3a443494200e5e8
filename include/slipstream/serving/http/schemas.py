"""JSON Schemas of what the endpoint takes and gives, for its description."""

from __future__ import annotations

from typing import Any

import msgspec

from slipstream.input_warnings import AT_MOST, InputWarning
from slipstream.model_schema import MAX_TEXT, Field, Schema
from slipstream.serving.metrics.version_metrics import Traffic

_KINDS: dict[str, dict[str, Any]] = {
    "number": {"type": "number"},
    "integer": {"type": "integer", "minimum": -(1 << 63), "maximum": (1 << 63) - 1},
    "boolean": {"type": "boolean"},
    "string": {"type": "string", "maxLength": MAX_TEXT},
}
_TEXT: dict[str, Any] = {"type": "string"}
ID: dict[str, Any] = {"type": "string", "pattern": "^[0-9a-f]{32}$"}


def value_schema(field: Field) -> dict[str, Any]:
    """What a value of *field* may be. What training saw is told in words: other values are answered with a warning."""
    kind: dict[str, Any] = dict(_KINDS[field.type])
    if field.nullable:
        kind["type"] = [kind["type"], "null"]
    if field.date:
        kind["description"] = f"{field.reading.said_as} or as ISO 8601.".capitalize() if field.reading else ""
    if field.low is not None and field.type != "boolean":
        unit = f" {field.unit}" if field.unit else ""
        kind["description"] = f"In training from {field.low:g} to {field.high:g}{unit}."
    if field.categories:
        kind["description"] = f"In training: {', '.join(field.categories[:20])}{' …' * (len(field.categories) > 20)}"
    return kind


def row_schema(schema: Schema) -> dict[str, Any]:
    """A row: an object with every input."""
    return record({field.name: value_schema(field) for field in schema.inputs})


def instance_schema(schema: Schema, row: dict[str, Any]) -> dict[str, Any]:
    """A row as the protocols of others write it: also as a list, and with one input as its value."""
    values = [value_schema(field) for field in schema.inputs]
    count = len(values)
    listed = {"type": "array", "prefixItems": values, "items": False, "minItems": count, "maxItems": count}
    return {"anyOf": [row, listed, *(values if count == 1 else [])]}


def label_schema(schema: Schema) -> dict[str, Any]:
    """A label with the id of its prediction."""
    time = {"type": "string", "format": "date-time", "description": "Since when it is true; without it since now."}
    return record({"id": ID, "label": _label(schema)}, {"time": time})


def _label(schema: Schema) -> dict[str, Any]:
    """What a label may be: with more than two classes a new one can come up."""
    if schema.task == "binary":
        return {"enum": list(schema.classes)}
    kinds: dict[type, str] = {bool: "boolean", int: "integer", str: "string"}
    return _KINDS[kinds[type(schema.classes[0])] if schema.classes else "number"]


def answer_schema(schema: Schema, rows: int) -> dict[str, Any]:
    """The answer of the native route."""
    labels: dict[type, str] = {bool: "boolean", int: "integer", str: "string"}
    label = {"type": labels[type(schema.classes[0])]} if schema.classes else {"type": "number"}
    share = {"type": "number", "minimum": 0, "maximum": 1}
    properties: dict[str, Any] = {
        "model": _TEXT,
        "version": {"type": ["integer", "string"]},
        "predictions": many(label, rows),
        "ids": many(ID, rows),
    }
    if schema.task == "binary":
        properties["probabilities"] = many(share, rows)
        properties["positive"] = {"const": schema.positive, "description": "The label that probabilities are of."}
    if schema.task == "multiclass":
        count = len(schema.classes)
        properties["probabilities"] = many({**many(share, count), "minItems": count}, rows)
        properties["classes"] = {"const": list(schema.classes)}
    return record(properties, {"warnings": many(schema_of(InputWarning), AT_MOST)})


def schema_of(kind: type) -> dict[str, Any]:
    """What the records of that class look like in JSON: msgspec writes both by the same annotations."""
    (_,), parts = msgspec.json.schema_components([kind])
    return {name: value for name, value in parts[kind.__name__].items() if name not in {"title", "description"}}


def many(item: dict[str, Any], most: int) -> dict[str, Any]:
    """A list of one to *most* items."""
    return {"type": "array", "items": item, "minItems": 1, "maxItems": most}


def record(properties: dict[str, Any], optional: dict[str, Any] | None = None) -> dict[str, Any]:
    """An object with these properties, and no other than the *optional* ones beside."""
    return {
        "type": "object",
        "properties": {**properties, **(optional or {})},
        "required": list(properties),
        "additionalProperties": False,
    }


def _listed(item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": item}


_TOLD = {"code": _TEXT, "field": {"type": ["string", "null"]}, "request_id": _TEXT}
_INNER = record({**_TOLD, "message": _TEXT})
ERROR = record({"error": _INNER})
ERROR_FLAT = record({"error": _TEXT, **_TOLD})
ERROR_WITH_MESSAGE = record({"error": _INNER, "code": _TEXT, "message": _TEXT})

_YES = {"type": "boolean"}
_TENSOR = record(
    {
        "name": _TEXT,
        "datatype": {"enum": ["FP64", "INT64", "BOOL", "BYTES"]},
        "shape": _listed({"type": "integer", "minimum": -1}),
    }
)
_MODEL: dict[str, Any] = {
    "type": "object",
    "properties": {"model": _TEXT, "version": {"type": ["integer", "string", "null"]}},
    "required": ["model", "version"],
}
_WATCHED = {
    "type": "object",
    "properties": {
        **_MODEL["properties"],
        "instance": _TEXT,
        "traffic": {**_listed(schema_of(Traffic)), "maxItems": 3},
    },
    "required": [*_MODEL["required"], "instance", "traffic"],
}
FIXED = {
    "Nothing": record({}),
    "Object": {"type": "object"},
    "Ready": record({"ready": _YES}),
    "Readiness": record({"ready": _YES, "unread_since": {"type": ["string", "null"], "format": "date-time"}}),
    "Live": record({"live": _YES}),
    "ModelReady": record({"name": _TEXT, "ready": _YES}),
    "Model": _WATCHED,
    "Models": record({"models": _listed(_MODEL)}),
    "Explanations": record(
        {
            "model": _TEXT,
            "version": {"type": ["integer", "string", "null"]},
            "unit": {"type": ["string", "null"]},
            "base": {"type": ["number", "null"]},
            "explanations": _listed({"type": "object"}),
        }
    ),
    "Kept": record({"model": _TEXT, "received": {"type": "integer"}, "new": {"type": "integer"}}),
    "V1Models": record({"models": _listed(_TEXT)}),
    "V2Server": record({"name": _TEXT, "version": _TEXT, "extensions": _listed(_TEXT)}),
    "V2Model": record(
        {
            "name": _TEXT,
            "versions": _listed(_TEXT),
            "platform": _TEXT,
            "inputs": _listed(_TENSOR),
            "outputs": _listed(_TENSOR),
        }
    ),
}
"""What is the same for all models."""
