"""What Airflow shows of a DAG to people: one sentence and one page, written from the model file."""

from __future__ import annotations

from typing import NamedTuple

from slipstream.spec.model import ModelSpec
from slipstream_airflow.links import page

_DOES = {
    "ingest": (
        "Brings the next batch and commits what keeps the contract.",
        "**ingest** asks the source for what is newer than the last committed batch and lands it typed. "
        "**validate** checks it against the contract and commits the good rows as a new dataset version.",
    ),
    "train": (
        "Trains a candidate, judges it beside the champion and deploys the better one.",
        "**train** fits a candidate on a dataset version, **evaluate** scores it and the champion on the same held-out "
        "rows, **explain** says which inputs move its answers, **package** makes the signed version, **replay** lets "
        "it answer captured requests where a gate asks for that, **gate** refuses what breaks a rule, **approve** asks "
        "a person where the model file says so, **deploy** gives it more and more requests, watches its answers, "
        "and lets it take over or takes it back.",
    ),
    "monitor": (
        "Compares what came since training with the training reference, and decides whether to retrain.",
        "**join** finds the labels of captured predictions, **monitor** measures drift of each input and, where truth "
        "is known, quality. **decide** holds what they found, the data and the clock against the policy `retrain` of "
        "the model file: it asks for a training, or keeps in one sentence why not.",
    ),
    "score": (
        "Answers the rows of the model's batch job with the champion and writes the predictions, once.",
        "**score** reads what `score.source` of the model file has that is new, answers it with the version that "
        "serves, and writes whole runs only to the file or the table that the model file names. The form names other "
        "files, another output or another version.",
    ),
    "rollback": (
        "Takes back what is being deployed, or goes back to the version that served before. By hand.",
        "**rollback** closes the deployment that is under way, so that the champion answers everything again. Without "
        "one the newest version that was champion before serves again; run once more, it goes one version further "
        "back. It ends when the endpoint answers so.",
    ),
}


class DagText(NamedTuple):
    """What people read of a DAG: one sentence, and a page of Markdown."""

    summary: str
    markdown: str


def dag_text(spec: ModelSpec, verb: str) -> DagText:
    """The texts of the DAG of that *verb*."""
    summary, does = _DOES[verb]
    facts = [
        ("Model", f"[{spec.name}]({page(f'models/{spec.name}')})"),
        ("Task", f"{spec.task}: `{spec.target}` from {len(spec.inputs)} inputs"),
        ("Owner", spec.owner),
        ("Approval", "a person decides" if spec.approval.mode == "manual" else "passing the gates is enough"),
        ("Gates", ", ".join(gate.type for gate in spec.gates) or "none"),
    ]
    table = "\n".join(f"| {name} | {value} |" for name, value in facts)
    return DagText(summary, f"{spec.description}\n\n{does}\n\n| | |\n|---|---|\n{table}\n")
