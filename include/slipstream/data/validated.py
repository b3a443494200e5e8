"""How a batch fared: the result of the stage *validate*."""

from __future__ import annotations

from dataclasses import dataclass

from slipstream.runs import Result


@dataclass(frozen=True)
class Validated(Result):
    """How a batch fared.

    Attributes:
        batch: Id of the batch.
        dataset: Id of the dataset version that it made; ``""`` if it was refused.
        rows: Rows of the batch; ``good + quarantined`` if it was not refused.
        good: Rows that met the contract, or all where the contract only warns.
        quarantined: Rows that were set aside, because they broke the contract or cannot be read.
        aside: Why they were, the most frequent reasons first, at most 5, each with its rows.
        added: Good rows that are new in the dataset version.
        known: Good rows left out, because their key was already in the table.
        success: Whether the good rows were committed.
        failed: Names of the expectations that were not met, also where the contract says ``quarantine`` or ``warn``.
        code: Stable code of what made the batch be refused; ``""`` if it was not.
        message: The same in a sentence.
        rejected: Digest of the list of rows that broke the contract and were set aside.
        notes: What is to be said of the batch's columns, at most 20 sentences.
        details: Digest of the JSON result.
        report: Digest of the HTML report.
    """

    batch: str
    dataset: str = ""
    rows: int = 0
    good: int = 0
    quarantined: int = 0
    added: int = 0
    known: int = 0
    success: bool = False
    failed: tuple[str, ...] = ()
    code: str = ""
    message: str = ""
    rejected: str = ""
    details: str = ""
    report: str = ""
    notes: tuple[str, ...] = ()
    aside: tuple[str, ...] = ()
