"""What one batch scoring says of itself."""

from __future__ import annotations

from dataclasses import dataclass

from slipstream.runs import Result


@dataclass(frozen=True)
class BatchScored(Result):
    """What one batch scoring wrote.

    Attributes:
        version: The version that answered.
        input: The path, the table, or the dataset version, that the rows came from.
        output: Where the predictions are: a file, the address of the Delta table, or a table of a database.
        rows: Rows that were written.
        errors: Those of them without a prediction, because the endpoint would refuse them.
        warned: Those with a value unlike those of training.
        files: Files that were answered.
        sentence: The outcome in one sentence.
        skipped: Files that this version had answered into the table before.
        captured: Rows that the predictions table was given, for monitoring and labels.
        dataset: The dataset version; "" for files.
        source: What tells the source of the model file that was read; "" for what is no source.
        watermark: Where its next reading starts.
        wanted: Digest of what was asked for, the same whatever other runs did.
        problems: What is wrong with the first rows without a prediction.
        stamp: What tells the content of the output; "" for the store's table.
        details: Digest of the JSON record: every file with its checksum.
    """

    version: int
    input: str
    output: str
    rows: int
    errors: int
    warned: int
    files: int
    sentence: str
    skipped: int = 0
    captured: int = 0
    dataset: str = ""
    source: str = ""
    watermark: str = ""
    wanted: str = ""
    problems: tuple[str, ...] = ()
    stamp: str = ""
    details: str = ""
