"""Buttons on a task in Airflow: to the model's page, and to the report that the task made."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from airflow.sdk import BaseOperatorLink
from airflow.sdk.configuration import conf

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey


def page(path: str) -> str:
    """The address of one of our pages as a browser needs it, with the path prefix that Airflow may be served under."""
    return f"{prefix()}/slipstream/{path}"


@cache
def prefix() -> str:
    """The path that Airflow is served under; "" for none."""
    return urlsplit(str(conf.get("api", "base_url", fallback=""))).path.rstrip("/")


class ModelLink(BaseOperatorLink):
    """To the page of the task's model."""

    name = "Model"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """The address of the page."""
        return page(f"models/{operator.model}")  # type: ignore[attr-defined]  # only our operators have this link


class ReportLink(BaseOperatorLink):
    """To the report that the task made; the model's page if it made none."""

    name = "Report"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """The address of the report, asked for in the task's process when it ends."""
        digest = operator.report  # type: ignore[attr-defined]  # set by SlipstreamOperator.post_execute
        return page(f"reports/{digest}") if digest else page(f"models/{operator.model}")  # type: ignore[attr-defined]
