"""What answers on the routes of other platforms, beside their predictions."""

from __future__ import annotations

import msgspec

from slipstream.serving.http.context import Context
from slipstream.serving.message import Request, Response
from slipstream.serving.protocols import VERSION, kserve_v2


async def v1_models(context: Context, request: Request) -> Response:
    """The names of the models (KServe V1)."""
    return Response(200, msgspec.json.encode({"models": context.models.names()}))


async def model_ready(context: Context, request: Request) -> Response:
    """That the model serves (KServe V1 and V2); 404 if it does not."""
    context.split(request)
    return Response(200, msgspec.json.encode({"name": request.model, "ready": True}))


async def v2_server(context: Context, request: Request) -> Response:
    """What this server is (KServe V2)."""
    about = {"name": "slipstream", "version": VERSION, "extensions": ["binary_tensor_data"]}
    return Response(200, msgspec.json.encode(about))


async def v2_live(context: Context, request: Request) -> Response:
    """That it lives (KServe V2)."""
    return Response(200, msgspec.json.encode({"live": True}))


async def v2_model(context: Context, request: Request) -> Response:
    """The inputs and outputs of a model (KServe V2)."""
    return Response(200, msgspec.json.encode(kserve_v2.described(context.split(request).champion)))


async def ping(context: Context, request: Request) -> Response:
    """Whether rows can be sent: 200 or 503 (MLflow, SageMaker, Vertex AI)."""
    ready = context.models.ready() if not request.model else context.models.split(request.model) is not None
    return Response(200 if ready else 503, msgspec.json.encode({"ready": ready}))


async def version(context: Context, request: Request) -> Response:
    """The server's version, as text (MLflow)."""
    return Response(200, VERSION.encode(), b"text/plain; charset=utf-8")
