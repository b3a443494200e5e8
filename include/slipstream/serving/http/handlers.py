"""What answers on our own routes."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from slipstream.errors import RequestError
from slipstream.serving.capture.labels import Labelling
from slipstream.serving.http.context import Context
from slipstream.serving.http.router import Handler
from slipstream.serving.message import JSON, Request, Response
from slipstream.serving.metrics.version_metrics import traffic
from slipstream.serving.models.explain import Explaining
from slipstream.serving.version.answer import Answered, Codec, Decoded
from slipstream.serving.version.json_body import Decoder

_JSON_KINDS = {b"", b"utf-8"}


async def live(context: Context, request: Request) -> Response:
    """That the process answers."""
    return Response(200, b"{}")


async def ready(context: Context, request: Request) -> Response:
    """Whether every model that should serve does, and since when the ledger cannot be read."""
    ready, since = context.models.ready(), context.models.unread_since()
    unread_since = None if since is None else datetime.fromtimestamp(since, UTC).isoformat(timespec="seconds")
    return Response(200 if ready else 503, msgspec.json.encode({"ready": ready, "unread_since": unread_since}))


async def metrics(context: Context, request: Request) -> Response:
    """The figures of all workers."""
    context.metrics.settle()
    return Response(200, await context.apart(context.metrics.text), context.metrics.content_type)


async def models(context: Context, request: Request) -> Response:
    """All models."""
    known = [context.models.describe(name) or {} for name in context.models.names()]
    return Response(200, msgspec.json.encode({"models": [{**one, "schema": None} for one in known]}))


async def model(context: Context, request: Request) -> Response:
    """One model, and what its versions have answered."""
    known = context.models.describe(request.model)
    if known is None:
        context.split(request)
    split, metrics = context.models.split(request.model), context.metrics
    metrics.settle()
    # Not in the event loop's thread: a slow version on trial, of all, must not delay what tells of it.
    records = await asyncio.to_thread(traffic, metrics.registry, split.answering()) if split is not None else []
    return Response(200, msgspec.json.encode({**(known or {}), "instance": context.instance, "traffic": records}))


async def explain(context: Context, request: Request) -> Response:
    """Predictions, and which inputs made the difference."""
    check_kind(request, (JSON,))
    split = context.split(request)
    body = await context.body(request)
    work = Explaining(split, context.limits.explained, context.models.lookup)
    return Response(200, await context.apart(work.answer, body))


async def labels(context: Context, request: Request) -> Response:
    """Labels of predictions, kept."""
    check_kind(request, (JSON,))
    served = context.split(request).champion
    body = await context.body(request)
    work = Labelling(served, context.limits.rows, context.models.labels)
    # Not in the event loop's thread: large batches of rows would wait there for the store.
    return Response(200, await asyncio.to_thread(work.answer, body, request.caller.name))


@dataclass(frozen=True)
class Both:
    """Reads as one protocol and writes as another."""

    reads: Codec
    writes: Codec

    def decode(self, decoder: Decoder, request: Request, body: bytes) -> Decoded:
        """As the one reads."""
        return self.reads.decode(decoder, request, body)

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

    async def handle(context: Context, request: Request) -> Response:
        kind = check_kind(request, readers)
        accept = request.headers.get(b"accept")
        wanted = JSON if accept is None or accept == b"*/*" else _accepted(accept, writers or ())
        return await context.predict(request, codecs[kind, wanted])

    return handle


def _accepted(accept: bytes, kinds: Collection[bytes]) -> bytes:
    """The first of *kinds*, or JSON, that the header names."""
    for one in accept.lower().split(b","):
        kind = one.partition(b";")[0].strip()
        if kind == JSON or kind in kinds:
            return kind
    return JSON


def check_kind(request: Request, kinds: Collection[bytes]) -> bytes:
    """The content type of the body, if it is one of *kinds*.

    Raises:
        RequestError: ``content_type``.
    """
    whole = request.headers.get(b"content-type", b"")
    if whole in kinds:
        return whole
    kind, _, parameters = whole.lower().partition(b";")
    charset = parameters.strip().removeprefix(b"charset=").strip(b'"')
    if kind.strip() not in kinds or charset not in _JSON_KINDS:
        listed = " or ".join(sorted(one.decode() for one in kinds if one))
        raise RequestError(f"send content-type: {listed}", code="content_type", status=415)
    return kind.strip()
