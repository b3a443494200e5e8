"""Asks a person whether a version may serve, where the model file wants one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import Param
from airflow.sdk.timezone import utcnow

from slipstream_airflow.links import page
from slipstream_airflow.operators.base import Given, Job, SlipstreamOperator, user_of

if TYPE_CHECKING:
    from airflow.sdk import Context

    from slipstream.rollout.approval import ApprovalQuestion

_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>()#+!|~])")


class ApproveOperator(SlipstreamOperator, ApprovalOperator):
    """Ask a person whether a version may serve (Airflow's Required Actions) and keep the decision in the ledger.

    Where the model file says ``approval: {mode: auto}``, nobody is asked and the policy's yes is kept. A no skips what
    comes after. No answer within ``response_timeout`` counts as no, whatever ``defaults`` says. With ``four_eyes`` the
    yes of who started the run fails the task (``approval_four_eyes``); clear it to ask again.

    Args:
        version: Number of the version, or the output of :class:`PackageOperator`; default: the newest.
        **kwargs: As for :class:`SlipstreamOperator` and Airflow's ``ApprovalOperator``.
    """

    takes = {"version": None}
    template_fields = (*SlipstreamOperator.template_fields, "subject", "body")

    def __init__(self, *, model: str, version: Given = None, **kwargs: Any) -> None:
        form = {"comment": Param("", type="string", maxLength=1000, title="Comment", description="Kept in the ledger.")}
        asks = {"subject": f"May the new version of {model} serve?", "params": form}
        super().__init__(model=model, version=version, **(asks | kwargs))

    def execute(self, context: Context) -> Any:
        """The policy's decision; where a person decides, the task waits here without using a worker."""
        from slipstream.rollout.approval import ApprovalQuestion
        from slipstream.stages.approve import approve, request

        with self.job(context) as job:
            version = job.version_of(self.version)
            if job.spec.approval.mode == "auto":
                return approve(job.spec, job.store, version).figures()
            params: Mapping[str, Any] = context.get("params") or {}
            question = ApprovalQuestion(
                self._asked(context, version), user_of(context), str(params.get("reason") or "")
            )
            request(job.spec, job.store, version, question, actor=job.actor)
            self.subject = f"May {self.model}/{version} serve?"
            self.body = self.body or _body(job, version, question)
        return super().execute(context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Keep the person's answer, then go on or skip what comes after."""
        from slipstream.rollout.approval import TIMEOUT, ApprovalAnswer
        from slipstream.stages.approve import approve

        if event.get("error_type") == "timeout" or event.get("timedout"):
            event = {"chosen_options": [self.REJECT], "params_input": {}, "responded_at": utcnow()}
            event["responded_by_user"] = {"id": TIMEOUT, "name": TIMEOUT}
        if "error" not in event:
            with self.job(context) as job:
                version = job.version_of(self.version)
                question = f"{self._asked(context, version)} {event['responded_at'].isoformat()}"
                comment = str((event["params_input"] or {}).get("comment", ""))
                approved = event["chosen_options"] == [self.APPROVE]
                approve(job.spec, job.store, version, ApprovalAnswer(approved, _person(event), comment, question))
        return super().execute_complete(context, event)

    @staticmethod
    def _asked(context: Context, version: int) -> str:
        ti: Any = context["ti"]
        return f"{ti.dag_id}/{ti.run_id}/{ti.task_id}/{version}"


def _person(event: Mapping[str, Any]) -> str:
    user = event.get("responded_by_user") or {}
    return str(user.get("name") or user.get("id") or "unknown")


def _body(job: Job, version: int, question: ApprovalQuestion) -> str:
    """What a person should know to decide, as Markdown."""
    from slipstream.rollout.approval_evidence import evidence

    name = job.spec.name
    gathered = evidence(job.spec, job.store, version, reason=question.reason, requester=question.requester)
    serving = job.store.ledger.state().model(name).champion
    lines = [f"Version {serving} serves now." if serving else "Nothing serves yet."]
    for part in gathered.parts:
        lines += ["", f"**{_plain(part.title)}**", "", *(f"- {_plain(line)}" for line in part.lines)]
    links = [f"[{report}]({page(f'reports/{digest}')})" for report, digest in gathered.reports.items()]
    links.append(f"[all of {name}]({page(f'models/{name}')})")
    return "\n".join([*lines, "", f"Reports: {', '.join(links)}"])


def _plain(text: str) -> str:
    """*text* on one line, with the characters escaped that mean something in Markdown: names and values come from
    data."""
    return _MARKDOWN.sub(r"\\\1", " ".join(text.split()))
