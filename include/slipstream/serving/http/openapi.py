"""The description of the endpoint, OpenAPI 3.1, made of its paths and of the schemas of the models that serve.

It says only what is so: a body that it allows is answered, and one that it does not allow is refused. What JSON Schema
cannot say (columns of one length, a shape that fits its data, bytes) is left out of the schemas and told in words, and
so are the limits, which are settings.
"""

from __future__ import annotations

from typing import Any

import msgspec

from slipstream.model_schema import Schema
from slipstream.serving.http.context import Context
from slipstream.serving.http.router import Route
from slipstream.serving.http.schemas import (
    ERROR,
    ERROR_FLAT,
    ERROR_WITH_MESSAGE,
    FIXED,
    ID,
    answer_schema,
    instance_schema,
    label_schema,
    record,
    row_schema,
)
from slipstream.serving.message import Request, Response
from slipstream.serving.protocols import VERSION

_ABOUT = """Predictions by the models of this endpoint.

Beside what the schemas say, `POST /models/{model}/predict` takes `{"columns": {"input": [...]}}` with lists of one
length, and Arrow streams (`application/vnd.apache.arrow.stream`); `/invocations` takes MLflow's `dataframe_split` and
`inputs`, and `text/csv`; `POST /v2/models/{model}/infer` takes the tensors of the Open Inference Protocol."""

_WORDS = {
    "livez": "Whether the process answers.",
    "readyz": "Whether every model that should serve does.",
    "metrics": "Figures in Prometheus' text format.",
    "openapi": "This description.",
    "models": "All models.",
    "model": "One model.",
    "predict": "Predict.",
    "explain": "Predict, and say which inputs made the difference.",
    "labels": "Say what turned out to be true of predictions.",
    "v1_models": "The names of the models (KServe V1).",
    "v1_model": "Whether a model serves (KServe V1).",
    "v1_predict": "Predict (KServe V1, Vertex AI).",
    "v2_server": "What this server is (Open Inference).",
    "v2_live": "Whether the process answers (Open Inference).",
    "v2_ready": "Whether every model that should serve does (Open Inference).",
    "v2_model": "Inputs and outputs of a model (Open Inference).",
    "v2_model_ready": "Whether a model serves (Open Inference).",
    "ping": "Whether rows can be sent.",
    "version": "The version of the server.",
    "invocations": "Predict (MLflow, SageMaker).",
}
_REFUSALS = {
    400: "The body is wrong; `field` says where.",
    401: "A key is due, or this one is not good.",
    403: "The key may not do this.",
    404: "No such model serves.",
    409: "What is asked about was not kept, or nothing is kept here.",
    408: "The body came too slowly.",
    413: "The body is too large, or has too many rows.",
    415: "The content type or encoding is not taken.",
    421: "The endpoint is not served under this host name.",
    429: "Too many requests of this caller.",
    431: "The headers are too large.",
    500: "The model could not answer.",
    503: "Too many requests at once, or the store is in trouble.",
}
_ERRORS = {"Error": ERROR, "ErrorFlat": ERROR_FLAT, "ErrorWithMessage": ERROR_WITH_MESSAGE}


class OpenApi:
    """Answers with the description; made anew only when a model changed."""

    def __init__(self) -> None:
        self._built: tuple[Any, bytes] = (None, b"")

    async def __call__(self, context: Context, request: Request) -> Response:
        """The description as JSON."""
        serving = _serving(context)
        key = (serving, context.router, context.limits, context.access_mode, context.default_model)
        built_for, body = self._built
        if built_for != key:
            body = await context.apart(_document, context, serving)
            self._built = key, body
        return Response(200, body)


def _serving(context: Context) -> dict[str, tuple[str, Schema]]:
    """Model -> version and schema of its champion."""
    splits = {name: context.models.split(name) for name in context.models.names()}
    return {
        name: (str(split.champion.version), split.champion.scorer.schema)
        for name, split in splits.items()
        if split is not None
    }


def _document(context: Context, serving: dict[str, tuple[str, Schema]]) -> bytes:
    schemas: dict[str, Any] = {**_ERRORS, **FIXED}
    paths: dict[str, Any] = {}
    usual = context.default_model or (next(iter(serving)) if len(serving) == 1 else "")
    for name, (_, schema) in serving.items():
        schemas |= {f"{name}.Row": row_schema(schema), f"{name}.Answer": answer_schema(schema, context.limits.rows)}
    for path in context.router.all:
        if path.name not in _WORDS:
            continue
        for model in serving if "{model}" in path.pattern else [usual]:
            champion = serving.get(model)
            if champion is not None or path.method == "GET":
                concrete = path.pattern.replace("{model}", model).replace("{version}", champion[0] if champion else "")
                operation = _operation(context, path, model, champion[1] if champion else None)
                paths.setdefault(concrete, {})[path.method.lower()] = operation
    document = {
        "openapi": "3.1.0",
        "info": {"title": "Slipstream", "version": VERSION, "description": _ABOUT},
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            },
        },
    }
    return msgspec.json.encode(document)


def _operation(context: Context, path: Route, model: str, schema: Schema | None) -> dict[str, Any]:
    statuses = [431, 500]
    if path.scope is not None:
        statuses += [401, 403, 421, 429, 503]
    if "{model}" in path.pattern or path.method == "POST":
        statuses += [404]
    operation: dict[str, Any] = {"summary": _WORDS[path.name], "security": _security(context, path)}
    if path.method == "POST" and schema is not None:
        statuses += [400, 408, 413, 415, *([409] if path.name in {"explain", "labels"} else [])]
        body = {"application/json": {"schema": _body(path.name, model, schema, context)}}
        operation["requestBody"] = {"required": True, "content": body}
    error = {None: "Error", "flat": "ErrorFlat", "with_message": "ErrorWithMessage"}[
        getattr(path.error, "__name__", None)
    ]
    responses = {"200": {"description": "The answer.", "content": _answer(path.name, model)}}
    responses |= {str(status): _refusal(status, error) for status in sorted(statuses)}
    if path.name in {"readyz", "v2_ready", "ping"}:
        responses["503"] = {"description": "Not yet.", "content": _answer(path.name, model)}
    operation["responses"] = responses
    return operation


def _security(context: Context, path: Route) -> list[dict[str, list[str]]]:
    """Who may ask: anybody, whoever has a key, or both (who has none may ask from this machine)."""
    if path.scope is None or context.access_mode == "off":
        return []
    keys: list[dict[str, list[str]]] = [{"bearer": []}, {"key": []}]
    return keys if context.access_mode == "required" else [*keys, {}]


def _body(name: str, model: str, schema: Schema, context: Context) -> dict[str, Any]:
    most = context.limits.explained if name == "explain" else context.limits.rows
    # A setting, answered with a status of its own like the limit on bytes: told in words, no part of the shape.
    description = f"At most {most}; more get status 413."
    rows = {"type": "array", "items": _ref(f"{model}.Row"), "minItems": 1, "description": description}
    listed = {**rows, "items": instance_schema(schema, _ref(f"{model}.Row"))}
    nothing = {"type": ["object", "null"], "maxProperties": 0}
    if name == "v1_predict":
        return record({"instances": listed}, {"parameters": nothing})
    if name == "invocations":
        words = {"dataframe_records": rows, "instances": listed, "rows": rows}
        return {"anyOf": [record({word: kind}, {"params": nothing}) for word, kind in words.items()]}
    if name == "explain":
        return {"anyOf": [record({"rows": rows}), record({"ids": {**rows, "items": ID}})]}
    if name == "labels":
        return record({"labels": {**rows, "items": label_schema(schema)}})
    return record({"rows": rows})


def _answer(name: str, model: str) -> dict[str, Any]:
    if name in {"metrics", "version"}:
        return {"text/plain": {"schema": {"type": "string"}}}
    if name in FIXED_ANSWERS:
        return {"application/json": {"schema": _ref(FIXED_ANSWERS[name])}}
    content: dict[str, Any] = {"application/json": {"schema": _ref(f"{model}.Answer")}}
    if name == "predict":
        content["application/vnd.apache.arrow.stream"] = {}
    if name == "invocations":
        content["text/csv"] = {"schema": {"type": "string"}}
    return content


FIXED_ANSWERS = {
    "livez": "Nothing",
    "readyz": "Readiness",
    "ping": "Ready",
    "openapi": "Object",
    "models": "Models",
    "model": "Model",
    "explain": "Explanations",
    "labels": "Kept",
    "v1_models": "V1Models",
    "v1_model": "ModelReady",
    "v2_server": "V2Server",
    "v2_live": "Live",
    "v2_ready": "Readiness",
    "v2_model": "V2Model",
    "v2_model_ready": "ModelReady",
}


def _refusal(status: int, error: str) -> dict[str, Any]:
    reply: dict[str, Any] = {
        "description": _REFUSALS[status],
        "content": {"application/json": {"schema": _ref(error)}},
    }
    if status in {429, 503}:
        seconds = {"type": "integer", "minimum": 1}
        reply["headers"] = {"retry-after": {"schema": seconds, "description": "Seconds to wait.", "required": True}}
    return reply


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}
