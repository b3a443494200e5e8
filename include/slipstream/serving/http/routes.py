"""Every route of the endpoint: its method, who may ask, and what answers. The first pattern that fits wins."""

from __future__ import annotations

from collections.abc import Mapping

from slipstream.errors import BackendError, RequestError
from slipstream.serving.http import handlers, platform_handlers
from slipstream.serving.http.openapi import OpenApi
from slipstream.serving.http.router import Route, Router
from slipstream.serving.message import JSON
from slipstream.serving.protocols import kserve_v1, kserve_v2, mlflow, sagemaker, vertex
from slipstream.serving.protocols.arrow import ARROW, Arrow
from slipstream.serving.protocols.sagemaker import CSV, Csv
from slipstream.serving.version.native import Native

_PREDICT = handlers.predicting({JSON: Native(), ARROW: Arrow()}, {ARROW: Arrow()})
_INSTANCES = handlers.predicting({JSON: kserve_v1.KServeV1()})
_TENSORS = handlers.predicting(dict.fromkeys((JSON, b"application/octet-stream", b""), kserve_v2.KServeV2()))
_INVOKE = handlers.predicting({JSON: mlflow.Invocations(), CSV: Csv()}, {CSV: Csv()})

PATHS: tuple[Route, ...] = (
    Route("/livez", "GET", "livez", None, handlers.live),
    Route("/readyz", "GET", "readyz", None, handlers.ready),
    Route("/metrics", "GET", "metrics", "metrics", handlers.metrics),
    Route("/openapi.json", "GET", "openapi", "predict", OpenApi()),
    Route("/models", "GET", "models", "predict", handlers.models),
    Route("/models/{model}", "GET", "model", "predict", handlers.model),
    Route("/models/{model}/predict", "POST", "predict", "predict", _PREDICT),
    Route("/models/{model}/explain", "POST", "explain", "predict", handlers.explain),
    Route("/models/{model}/labels", "POST", "labels", "label", handlers.labels),
    # KServe V1
    Route("/v1/models", "GET", "v1_models", "predict", platform_handlers.v1_models),
    Route("/v1/models/{model}:predict", "POST", "v1_predict", "predict", _INSTANCES),
    Route("/v1/models/{model}", "GET", "v1_model", "predict", platform_handlers.model_ready),
    # KServe V2
    Route("/v2", "GET", "v2_server", "predict", platform_handlers.v2_server, kserve_v2.flat),
    Route("/v2/health/live", "GET", "v2_live", None, platform_handlers.v2_live, kserve_v2.flat),
    Route("/v2/health/ready", "GET", "v2_ready", None, handlers.ready, kserve_v2.flat),
    *(
        path
        for model in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}")
        for path in (
            Route(model, "GET", "v2_model", "predict", platform_handlers.v2_model, kserve_v2.flat),
            Route(f"{model}/ready", "GET", "v2_model_ready", "predict", platform_handlers.model_ready, kserve_v2.flat),
            Route(f"{model}/infer", "POST", "v2_infer", "predict", _TENSORS, kserve_v2.flat),
        )
    ),
    # MLflow and SageMaker
    Route("/ping", "GET", "ping", None, platform_handlers.ping),
    Route("/version", "GET", "version", "predict", platform_handlers.version),
    Route("/invocations", "POST", "invocations", "predict", _INVOKE),
    Route("/models/{model}/ping", "GET", "ping", None, platform_handlers.ping),
    Route("/models/{model}/invocations", "POST", "invocations", "predict", _INVOKE),
    Route("/endpoints/{model}/invocations", "POST", "invocations", "predict", _INVOKE, sagemaker.with_message),
)
OWN = Router(PATHS)


def paths_from(environment: Mapping[str, str]) -> Router:
    """All paths, with those that Vertex AI asks for by ``AIP_HEALTH_ROUTE`` and ``AIP_PREDICT_ROUTE``.

    Raises:
        BackendError: ``setting_invalid``.
    """
    requested = (
        (vertex.HEALTH, Route(vertex.route(environment, vertex.HEALTH), "GET", "ping", None, platform_handlers.ping)),
        (vertex.PREDICT, Route(vertex.route(environment, vertex.PREDICT), "POST", "v1_predict", "predict", _INSTANCES)),
    )
    return Router([*PATHS, *(path for name, path in requested if path.pattern and not _is_there(name, path))])


def _is_there(name: str, path: Route) -> bool:
    """Whether one of our own paths serves for *path* already; one that would not is an error."""
    try:
        own = OWN.find(path.pattern.encode())[0]
    except RequestError:
        return False
    if own.name not in {"ping": {"ping", "livez", "readyz"}, "v1_predict": {"v1_predict", "invocations"}}[path.name]:
        message = f"{name}: {path.pattern} is a path of the endpoint's own, for something else; choose another."
        raise BackendError(message, code="setting_invalid")
    return True
