"""Asks a person whether a version may serve, where the model file wants one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import Param
from airflow.sdk.timezone import utcnow

from slipstream_airflow.links import page
from slipstream_airflow.operators.base import Given, Job, SlipstreamOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>()#+!|~])")


class ApproveOperator(SlipstreamOperator, ApprovalOperator):
    """Ask a person whether a version may serve (Airflow's Required Actions) and keep the decision in the ledger.

    Where the model file says ``approval: {mode: auto}``, nobody is asked and the policy's yes is kept. A no skips what
    comes after. No answer within ``response_timeout`` counts as no.

    Args:
        version: Number of the version, or the output of :class:`PackageOperator`; default: the newest.
        **kwargs: As for :class:`SlipstreamOperator` and Airflow's ``ApprovalOperator``.
    """

    template_fields = (*SlipstreamOperator.template_fields, "version", "subject", "body")

    def __init__(self, *, model: str, version: Given = None, **kwargs: Any) -> None:
        form = {"comment": Param("", type="string", maxLength=1000, title="Comment", description="Kept in the ledger.")}
        asks = {"subject": f"May the new version of {model} serve?", "params": form}
        super().__init__(model=model, **(asks | kwargs))
        self.version = version

    def execute(self, context: Context) -> Any:
        """The policy's decision; where a person decides, the task waits here without using a worker."""
        from slipstream.stages.approve import approve, request

        with self.job(context) as job:
            version = job.version_of(self.version)
            if job.spec.approval.mode == "auto":
                return approve(job.spec, job.store, version).figures()
            request(job.spec, job.store, version, asked=self._asked(context, version), actor=job.actor)
            self.subject = f"May {self.model}/{version} serve?"
            self.body = self.body or _question(job, version)
        return super().execute(context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Keep the person's answer, then go on or skip what comes after."""
        from slipstream.stages.approve import TIMEOUT, Answer, approve

        if event.get("error_type") == "timeout":
            nobody = {"id": TIMEOUT, "name": TIMEOUT}
            event = {"chosen_options": [self.REJECT], "params_input": {}, "responded_at": utcnow()} | {
                "responded_by_user": nobody
            }
        if "error" not in event:
            with self.job(context) as job:
                version = job.version_of(self.version)
                asked = f"{self._asked(context, version)} {event['responded_at'].isoformat()}"
                comment = str((event["params_input"] or {}).get("comment", ""))
                approved = event["chosen_options"] == [self.APPROVE]
                approve(job.spec, job.store, version, Answer(approved, _person(event), comment, asked))
        return super().execute_complete(context, event)

    @staticmethod
    def _asked(context: Context, version: int) -> str:
        ti: Any = context["ti"]
        return f"{ti.dag_id}/{ti.run_id}/{ti.task_id}/{version}"


def _person(event: Mapping[str, Any]) -> str:
    user = event.get("responded_by_user") or {}
    return str(user.get("name") or user.get("id") or "unknown")


def _question(job: Job, version: int) -> str:
    """What a person should know to decide, as Markdown: the gates' verdicts and where the reports are."""
    runs = job.store.ledger.read(model=job.spec.name)
    gates = (event.data["result"] for event in reversed(runs) if event.data.get("stage") == "gate")
    verdicts: list[dict[str, Any]] = next((found["verdicts"] for found in gates if found["version"] == version), [])
    lines = [f"- {'passed' if v['passed'] else '**refused**'}: {_plain(v['sentence'])}" for v in verdicts]
    serving = job.store.ledger.state().model(job.spec.name).champion
    now = f"Version {serving} serves now." if serving else "Nothing serves yet."
    link = f"[Scores, explanation and card of {job.spec.name}/{version}]({page(f'models/{job.spec.name}')})"
    return "\n".join([_plain(job.spec.description), "", now, "", *lines, "", link])


def _plain(text: str) -> str:
    """*text* with the characters escaped that mean something in Markdown: names and values come from data."""
    return _MARKDOWN.sub(r"\\\1", text)
