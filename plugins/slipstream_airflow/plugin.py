"""What Airflow loads of Slipstream: the pages, the navigation entry, the tab on our DAGs, the buttons on tasks."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from airflow.plugins_manager import AirflowPlugin

from slipstream_airflow.links import ModelLink, ReportLink, page

PREFIX = "/slipstream"


class Pages:
    """The web app of the pages, made at the first request: every process loads plugins, only the api-server answers."""

    @cached_property
    def app(self) -> Any:
        """The FastAPI app."""
        from slipstream_airflow.ui.app import create_app

        return create_app()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        await self.app(scope, receive, send)


class Slash:
    """Sends who leaves out the slash at the end of ``/slipstream`` to the pages: Airflow's own answer is a 404."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request, or hand it on."""
        if scope["type"] != "http" or scope["path"] not in {PREFIX, scope.get("root_path", "") + PREFIX}:
            await self.app(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 307, "headers": [(b"location", page("").encode())]})
        await send({"type": "http.response.body"})


class SlipstreamPlugin(AirflowPlugin):
    """The Airflow face of Slipstream."""

    name = "slipstream"
    operator_extra_links: list[Any] = [  # noqa: RUF012 - Airflow declares it so
        ModelLink(),
        ReportLink(),
    ]
    fastapi_apps: list[Any] = [  # noqa: RUF012 - Airflow declares it so
        {"app": Pages(), "url_prefix": PREFIX, "name": "Slipstream"}
    ]
    fastapi_root_middlewares: list[Any] = [  # noqa: RUF012 - Airflow declares it so
        {"middleware": Slash, "args": [], "kwargs": {}, "name": "Slipstream"}
    ]
    external_views: list[Any] = [  # noqa: RUF012 - Airflow declares it so
        {
            "name": "Slipstream",
            "href": page(""),
            "destination": "nav",
            "url_route": "slipstream",
            "nav_top_level": True,
        },
        {
            "name": "Slipstream model",
            "href": page("dags/{DAG_ID}"),
            "destination": "dag",
            "url_route": "slipstream-model",
        },
    ]
