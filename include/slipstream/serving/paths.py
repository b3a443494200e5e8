"""Every path of the endpoint: its method, who may ask, and what answers. The first pattern that fits wins."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

import msgspec

from slipstream.errors import BackendError, RequestError
from slipstream.serving.call import JSON, Call, Reply
from slipstream.serving.explain import Explaining
from slipstream.serving.labels import Labelling
from slipstream.serving.openapi import OpenApi
from slipstream.serving.protocols import kserve_v1, kserve_v2, mlflow, sagemaker, vertex
from slipstream.serving.protocols.arrow import ARROW, Arrow
from slipstream.serving.protocols.sagemaker import CSV, Csv
from slipstream.serving.served import Answered, Codec, Decoded, Native
from slipstream.serving.traffic import traffic

if TYPE_CHECKING:
    from slipstream.serving.decode import Decoder
    from slipstream.serving.front import Front

Handler = Callable[["Front", Call], Awaitable[Reply]]

_NAME = re.compile(r"^[a-z0-9][a-z0-9._-]{0,63}$")
_FIELD = re.compile(r"\{(\w+)\}")
_JSON_KINDS = {b"", b"utf-8"}


@dataclass(frozen=True)
class Path:
    """One path.

    Attributes:
        pattern: Segments; ``{model}``, ``{version}`` and ``{item}`` stand for names.
        method: The one that it takes; GET takes HEAD too.
        name: What metrics and logs call it.
        scope: What a caller's key must allow; None: anybody may ask.
        handle: Answers.
        error: Rewrites the ``error`` of a reply into the body that the clients of this path understand; None: they
            take it as it is.
    """

    pattern: str
    method: str
    name: str
    scope: str | None
    handle: Handler
    error: Callable[[dict[str, Any]], dict[str, Any]] | None = None

    def failed(self, reply: Reply) -> Reply:
        """An error *reply*, as the clients of this path understand it."""
        if self.error is not None:
            said = json.loads(reply.body)
            reply.body = json.dumps(self.error(said["error"])).encode() if "error" in said else reply.body
        return reply


class Paths:
    """Finds paths.

    Args:
        paths: In the order in which they are tried.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        self.all = tuple(paths)
        self._matchers = [(_matcher(path.pattern), path) for path in self.all]

    def find(self, raw: bytes) -> tuple[Path, dict[str, str]]:
        """The path that the bytes of a URL's path mean, with the names in it.

        Raises:
            RequestError: ``route_not_found`` or ``name_invalid``.
        """
        parts = (unquote_to_bytes(part).decode("utf-8", "replace").replace("/", "%2F") for part in raw.split(b"/"))
        text = "/".join(parts)
        for matcher, path in self._matchers:
            found = matcher.fullmatch(text)
            if found:
                named = found.groupdict()
                if not all(map(_NAME.match, named.values())):
                    message = "a name in a path is lower case, digits, '.', '_' and '-'"
                    raise RequestError(message, code="name_invalid", status=404)
                return path, named
        raise RequestError("there is no such route", code="route_not_found", status=404)


# What answers.


async def _live(front: Front, call: Call) -> Reply:
    return Reply(200, b"{}")


async def _ready(front: Front, call: Call) -> Reply:
    ready, since = front.models.ready(), front.models.unread_since()
    said = None if since is None else datetime.fromtimestamp(since, UTC).isoformat(timespec="seconds")
    return Reply(200 if ready else 503, msgspec.json.encode({"ready": ready, "unread_since": said}))


async def _metrics(front: Front, call: Call) -> Reply:
    front.meters.settle()
    return Reply(200, await front.apart(front.meters.text), front.meters.content_type)


async def _models(front: Front, call: Call) -> Reply:
    known = [front.models.describe(name) or {} for name in front.models.names()]
    return Reply(200, msgspec.json.encode({"models": [{**one, "schema": None} for one in known]}))


async def _model(front: Front, call: Call) -> Reply:
    known = front.models.describe(call.model)
    if known is None:
        front.routes(call)
    routes, meters = front.models.routes(call.model), front.meters
    meters.settle()
    # Not in the front's own thread: a slow version on trial, of all, must not delay what tells of it.
    told = await asyncio.to_thread(traffic, meters.registry, routes) if routes is not None else []
    return Reply(200, msgspec.json.encode({**(known or {}), "instance": front.instance, "traffic": told}))


async def _explain(front: Front, call: Call) -> Reply:
    check_kind(call, (JSON,))
    routes = front.routes(call)
    body = await front.body(call)
    work = Explaining(routes, front.limits.explained, front.models.past)
    return Reply(200, await front.apart(work.answer, body))


async def _labels(front: Front, call: Call) -> Reply:
    check_kind(call, (JSON,))
    served = front.routes(call).champion
    body = await front.body(call)
    work = Labelling(served, front.limits.rows, front.models.labels)
    # Not in the front's own thread: large batches of rows would wait there for the store.
    return Reply(200, await asyncio.to_thread(work.answer, body, call.caller.name))


@dataclass(frozen=True)
class Both:
    """Reads as one protocol and writes as another."""

    reads: Codec
    writes: Codec

    def decode(self, decoder: Decoder, call: Call, body: bytes) -> Decoded:
        """As the one reads."""
        return self.reads.decode(decoder, call, body)

    def encode(self, answered: Answered) -> tuple[bytes, bytes]:
        """As the other writes."""
        return self.writes.encode(answered)


def predicting(readers: Mapping[bytes, Codec], writers: Mapping[bytes, Codec] | None = None) -> Handler:
    """A handler that predicts.

    Args:
        readers: Content type of a body -> what reads it, and writes the reply too if no other is asked for.
        writers: Content type that the ``accept`` header asks for -> what writes the reply.
    """
    plain = readers[JSON]
    codecs: dict[tuple[bytes, bytes], Codec] = {(kind, JSON): Both(reader, plain) for kind, reader in readers.items()}
    codecs[JSON, JSON] = plain
    for kind, reader in readers.items():
        codecs |= {(kind, accepted): Both(reader, writer) for accepted, writer in (writers or {}).items()}

    async def handle(front: Front, call: Call) -> Reply:
        kind = check_kind(call, readers)
        accept = call.headers.get(b"accept")
        wanted = JSON if accept is None or accept == b"*/*" else _accepted(accept, writers or ())
        return await front.predict(call, codecs[kind, wanted])

    return handle


def _accepted(accept: bytes, kinds: Collection[bytes]) -> bytes:
    """The first of *kinds*, or JSON, that the header names."""
    for one in accept.lower().split(b","):
        kind = one.partition(b";")[0].strip()
        if kind == JSON or kind in kinds:
            return kind
    return JSON


def check_kind(call: Call, kinds: Collection[bytes]) -> bytes:
    """The content type of the body, if it is one of *kinds*.

    Raises:
        RequestError: ``content_type``.
    """
    whole = call.headers.get(b"content-type", b"")
    if whole in kinds:
        return whole
    kind, _, parameters = whole.lower().partition(b";")
    charset = parameters.strip().removeprefix(b"charset=").strip(b'"')
    if kind.strip() not in kinds or charset not in _JSON_KINDS:
        said = " or ".join(sorted(one.decode() for one in kinds if one))
        raise RequestError(f"send content-type: {said}", code="content_type", status=415)
    return kind.strip()


def _matcher(pattern: str) -> re.Pattern[str]:
    # A name is whatever stands between slashes and colons: whether it is a good one is told afterwards.
    parts: list[Any] = _FIELD.split(pattern)
    made = "".join(f"(?P<{part}>[^/]*?)" if place % 2 else re.escape(part) for place, part in enumerate(parts))
    return re.compile(made)


_PREDICT = predicting({JSON: Native(), ARROW: Arrow()}, {ARROW: Arrow()})
_INSTANCES = predicting({JSON: kserve_v1.KServeV1()})
_TENSORS = predicting(dict.fromkeys((JSON, b"application/octet-stream", b""), kserve_v2.KServeV2()))
_INVOKE = predicting({JSON: mlflow.Invocations(), CSV: Csv()}, {CSV: Csv()})

PATHS: tuple[Path, ...] = (
    Path("/livez", "GET", "livez", None, _live),
    Path("/readyz", "GET", "readyz", None, _ready),
    Path("/metrics", "GET", "metrics", "metrics", _metrics),
    Path("/openapi.json", "GET", "openapi", "predict", OpenApi()),
    Path("/models", "GET", "models", "predict", _models),
    Path("/models/{model}", "GET", "model", "predict", _model),
    Path("/models/{model}/predict", "POST", "predict", "predict", _PREDICT),
    Path("/models/{model}/explain", "POST", "explain", "predict", _explain),
    Path("/models/{model}/labels", "POST", "labels", "label", _labels),
    # KServe V1
    Path("/v1/models", "GET", "v1_models", "predict", kserve_v1.models),
    Path("/v1/models/{model}:predict", "POST", "v1_predict", "predict", _INSTANCES),
    Path("/v1/models/{model}", "GET", "v1_model", "predict", kserve_v1.model),
    # KServe V2
    Path("/v2", "GET", "v2_server", "predict", kserve_v2.server, kserve_v2.flat),
    Path("/v2/health/live", "GET", "v2_live", None, kserve_v2.live, kserve_v2.flat),
    Path("/v2/health/ready", "GET", "v2_ready", None, _ready, kserve_v2.flat),
    *(
        path
        for model in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}")
        for path in (
            Path(model, "GET", "v2_model", "predict", kserve_v2.model, kserve_v2.flat),
            Path(f"{model}/ready", "GET", "v2_model_ready", "predict", kserve_v2.model_ready, kserve_v2.flat),
            Path(f"{model}/infer", "POST", "v2_infer", "predict", _TENSORS, kserve_v2.flat),
        )
    ),
    # MLflow and SageMaker
    Path("/ping", "GET", "ping", None, mlflow.ping),
    Path("/version", "GET", "version", "predict", mlflow.version),
    Path("/invocations", "POST", "invocations", "predict", _INVOKE),
    Path("/models/{model}/ping", "GET", "ping", None, mlflow.ping),
    Path("/models/{model}/invocations", "POST", "invocations", "predict", _INVOKE),
    Path("/endpoints/{model}/invocations", "POST", "invocations", "predict", _INVOKE, sagemaker.with_message),
)
OWN = Paths(PATHS)


def paths_from(environment: Mapping[str, str]) -> Paths:
    """All paths, with those that Vertex AI asks for by ``AIP_HEALTH_ROUTE`` and ``AIP_PREDICT_ROUTE``.

    Raises:
        BackendError: ``setting_invalid``.
    """
    asked = (
        (vertex.HEALTH, Path(vertex.route(environment, vertex.HEALTH), "GET", "ping", None, mlflow.ping)),
        (vertex.PREDICT, Path(vertex.route(environment, vertex.PREDICT), "POST", "v1_predict", "predict", _INSTANCES)),
    )
    return Paths([*PATHS, *(path for name, path in asked if path.pattern and not _is_there(name, path))])


def _is_there(name: str, path: Path) -> bool:
    """Whether one of our own paths serves for *path* already; one that would not is an error."""
    try:
        own = OWN.find(path.pattern.encode())[0]
    except RequestError:
        return False
    if own.name not in {"ping": {"ping", "livez", "readyz"}, "v1_predict": {"v1_predict", "invocations"}}[path.name]:
        message = f"{name}: {path.pattern} is a path of the endpoint's own, for something else; choose another."
        raise BackendError(message, code="setting_invalid")
    return True
