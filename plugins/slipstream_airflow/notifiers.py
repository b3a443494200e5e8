"""Who is told of a failed task: what ``alerts`` of a model file may name. Each is an Airflow notifier.

``{type: log}`` writes a line to the task's log; ``{type: webhook, connection: id}`` posts JSON that Slack, Mattermost
and others take; ``{type: smtp, to: address}`` sends mail through Airflow's connection ``smtp_default``. A failure to
tell is written to the task's log and changes nothing. An installed notifier can be named too: it is an entry point of
group ``slipstream.alert``.
"""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook, BaseNotifier

from slipstream.slot import Slot
from slipstream.spec.model import ModelSpec

if TYPE_CHECKING:
    from airflow.sdk import Context

_TIMEOUT = 10.0

ALERT: Slot[BaseNotifier] = Slot(
    "alert",
    BaseNotifier,
    {
        "log": "slipstream_airflow.notifiers:LogAlert",
        "webhook": "slipstream_airflow.notifiers:WebhookAlert",
        "smtp": "slipstream_airflow.notifiers:SmtpAlert",
    },
)


def alerts(spec: ModelSpec) -> list[BaseNotifier]:
    """The notifiers that the model file names; raises BackendError for one that there is not."""
    return [ALERT.build(config, allow_code=spec.allow_code) for config in spec.alerts]


def sentence(context: Context) -> str:
    """Which task failed and why, in one sentence."""
    ti: Any = context["ti"]
    return f"{ti.dag_id}: task {ti.task_id} of run {ti.run_id} failed: {context.get('exception') or 'no reason given'}"


class LogAlert(BaseNotifier):
    """Writes a line to the task's log."""

    def notify(self, context: Context) -> None:
        """Write the line."""
        self.log.error("ALERT %s", sentence(context))


class WebhookAlert(BaseNotifier):
    """Posts ``{"text": ...}`` to the URL of an Airflow connection; its password is sent as a bearer token.

    Args:
        connection: Id of the connection, e.g. made by ``AIRFLOW_CONN_<ID>=https://host/path``.
    """

    def __init__(self, connection: str) -> None:
        super().__init__()
        self.connection = connection

    def notify(self, context: Context) -> None:
        """Post it, with a timeout and without following redirects."""
        import httpx

        connection = BaseHook.get_connection(self.connection)
        port = f":{connection.port}" if connection.port else ""
        url = f"{connection.conn_type or 'https'}://{connection.host}{port}/{connection.schema or ''}"
        headers = {"Authorization": f"Bearer {connection.password}"} if connection.password else {}
        try:
            answer = httpx.post(url, json={"text": sentence(context)}, headers=headers, timeout=_TIMEOUT)
        except httpx.HTTPError as error:
            # The URL may hold a secret: it is not written anywhere.
            self.log.warning("alert %r was not sent: %s", self.connection, type(error).__name__)
            return
        if answer.is_error:
            self.log.warning("alert %r was not taken: HTTP %d", self.connection, answer.status_code)


class SmtpAlert(BaseNotifier):
    """Sends mail through Airflow's SMTP connection.

    The provider's own notifier renders its texts as templates, and an error's text is not ours: so the hook is used.

    Args:
        to: The address.
        connection: Id of the connection.
    """

    def __init__(self, to: str, connection: str = "smtp_default") -> None:
        super().__init__()
        self.to = to
        self.connection = connection

    def notify(self, context: Context) -> None:
        """Send it."""
        from airflow.providers.smtp.hooks.smtp import SmtpHook

        ti: Any = context["ti"]
        with SmtpHook(smtp_conn_id=self.connection) as smtp:
            smtp.send_email_smtp(
                to=self.to,
                subject=f"{ti.dag_id}: task {ti.task_id} failed",
                html_content=f"<pre>{html.escape(sentence(context))}</pre>",
            )
