"""What Airflow loads of Slipstream: the pages, the entry in the navigation, the tab on our DAGs, the buttons on tasks."""

from __future__ import annotations

from typing import Any, ClassVar

from airflow.plugins_manager import AirflowPlugin

from slipstream_airflow.links import ModelLink, ReportLink, page


def _pages() -> list[dict[str, Any]]:
    """The pages are needed in the api-server only, and FastAPI costs a second to import in all other processes."""
    import sys

    if "airflow.api_fastapi" not in sys.modules:
        return []
    from slipstream_airflow.ui.app import create_app

    return [{"app": create_app(), "url_prefix": "/slipstream", "name": "Slipstream"}]


class SlipstreamPlugin(AirflowPlugin):
    """The Airflow face of Slipstream."""

    name = "slipstream"
    operator_extra_links: ClassVar[list[Any]] = [ModelLink(), ReportLink()]
    external_views: ClassVar[list[Any]] = [
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
