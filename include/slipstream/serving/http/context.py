"""What handlers work with: the models, the limits, the figures, and the body of a request."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from slipstream.errors import RequestError, ValueProblem
from slipstream.serving.http.body_timeout import BodyTimeout
from slipstream.serving.http.request_limits import RequestLimits
from slipstream.serving.http.router import Router
from slipstream.serving.message import Request, Response
from slipstream.serving.metrics.metrics import Metrics
from slipstream.serving.metrics.version_metrics import FOLDER, instance_id
from slipstream.serving.models.answer import answer
from slipstream.serving.models.catalogue import Catalogue
from slipstream.serving.models.traffic_split import TrafficSplit
from slipstream.serving.protocols.sagemaker import TARGET_MODEL, target_model
from slipstream.serving.version.answer import Codec

INLINE_BYTES = 16 << 10
"""A body up to this size is answered on the event loop, if its model is compiled: a thread would cost more than it."""


class Context:
    """One for each process of an endpoint.

    Args:
        models: What is served.
        metrics: Where requests are counted.
        limits: What a request may ask.
        access_mode: Who may ask: ``auto``, ``required`` or ``off``.
        default_model: The model that paths without one mean; "": the only one.
        router: What can be asked.
    """

    def __init__(
        self,
        models: Catalogue,
        metrics: Metrics,
        limits: RequestLimits,
        access_mode: str,
        default_model: str,
        router: Router,
    ) -> None:
        self.models = models
        self.metrics = metrics
        self.limits = limits
        self.access_mode = access_mode
        self.default_model = default_model
        self.router = router
        self.instance = instance_id(os.environ.get(FOLDER))
        self._patience = BodyTimeout(limits.seconds)
        # Large batches leave the event loop free, so that probes answer.
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="score")

    def close(self) -> None:
        """Let go of the threads."""
        self._pool.shutdown(wait=True)

    async def predict(self, request: Request, codec: Codec) -> Response:
        """Answer rows."""
        split = self.split(request)
        body = await self.body(request)
        request.size = len(body)
        try:
            if len(body) <= INLINE_BYTES and split.quick:
                answered = answer(split, codec, request, body)
            else:
                answered = await self.apart(answer, split, codec, request, body)
        except ValueProblem:
            raise
        except Exception:  # what no version could answer says nothing against the challenger
            self.metrics.count_failure(split.champion.model, split.champion.version)
            raise
        self.metrics.count(answered)
        self.models.keep(answered, split)
        return Response(200, answered.body, answered.kind)

    async def apart(self, work: Any, *arguments: Any) -> Any:
        """What *work* returns, done in a thread, so that the event loop stays free."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work, *arguments)

    def split(self, request: Request) -> TrafficSplit:
        """The versions of the model that the request names; if it names none, of the only one.

        Raises:
            RequestError: ``model_not_found``, ``model_retired`` or ``model_ambiguous``.
        """
        split = self.models.split(request.model or self._only(request))
        if split is None:
            names = self.models.names()
            message = f"no model {request.model!r} serves here; known: {', '.join(names[:20]) or 'none'}"
            raise RequestError(message, code="model_not_found", status=404)
        if not request.version:
            return split
        loaded = split.loaded(request.version)
        if loaded is None:
            message = (
                f"version {request.version[:20]!r} of {request.model!r} is not loaded; {split.champion.version} serves"
            )
            raise RequestError(message, code="version_not_found", status=404)
        return TrafficSplit(loaded)

    def _only(self, request: Request) -> str:
        chosen = request.headers.get(b"x-slipstream-model", b"").decode("latin-1")
        chosen = chosen or target_model(request.headers.get(TARGET_MODEL, b"")) or self.default_model
        names = self.models.names()
        if not chosen and len(names) == 1:
            chosen = names[0]
        if not chosen:
            message = f"which model? send x-slipstream-model: {' or '.join(names[:20]) or '(none serves yet)'}"
            raise RequestError(message, code="model_ambiguous", status=404)
        request.model = chosen
        return chosen

    async def body(self, request: Request) -> bytes:
        """The whole body; refused as soon as it is known to be too large or too slow."""
        limit = self.limits.body
        length = request.headers.get(b"content-length", b"")
        if length.isdigit() and (len(length) > 12 or int(length) > limit):
            raise _too_large(limit)
        if request.headers.get(b"content-encoding", b"identity").lower() != b"identity":
            raise RequestError("send the body without content-encoding", code="content_encoding", status=415)
        try:
            # Nearly always the whole body has come with the headers.
            message = await self._patience.wait(request.receive())
            whole: bytes = message.get("body", b"")
            if message.get("more_body") or message["type"] != "http.request":
                return await self._patience.wait(self._rest(request, message, limit))
        except TimeoutError as error:
            text = f"the body did not come within {self.limits.seconds:g} s"
            raise RequestError(text, code="body_too_slow", status=408) from error
        if len(whole) > limit:
            raise _too_large(limit)
        return whole

    async def _rest(self, request: Request, message: Mapping[str, Any], limit: int) -> bytes:
        taken = bytearray()
        while True:
            if message["type"] == "http.disconnect":
                raise RequestError("the client went away", code="client_gone", status=499)
            taken += message.get("body", b"")
            if len(taken) > limit:
                raise _too_large(limit)
            if not message.get("more_body"):
                return bytes(taken)
            message = await request.receive()


def _too_large(limit: int) -> RequestError:
    return RequestError(f"body too large; limit {limit} bytes", code="body_too_large", status=413)
