"""The forms of the DAGs: what a person who triggers one may say. Made and proved once, shared by all models."""

from __future__ import annotations

from airflow.sdk import Param
from airflow.sdk.definitions.param import ParamsDict

TRAIN_FORM = ParamsDict(
    {
        "dataset": Param(
            None,
            type=["null", "string"],
            pattern="^[0-9a-f]{64}$",
            title="Dataset version",
            description="Id of the dataset version to train on; empty for the newest.",
        ),
        "reason": Param(
            "",
            type="string",
            maxLength=500,
            title="Reason",
            description="Why you ask for a training, in one sentence; kept with the run.",
        ),
    }
)
INGEST_FORM = ParamsDict(
    {
        "rebuild": Param(
            False,
            type="boolean",
            title="Rebuild",
            description="Derive the data table anew first, after an edit of features.py, data.schema or data.join.",
        ),
    }
)
SCORE_FORM = ParamsDict(
    {
        "path": Param(
            "",
            type="string",
            maxLength=1000,
            title="Input",
            description="CSV or Parquet: a file, a folder or a glob, local or s3://; empty: what the model file says.",
        ),
        "destination": Param(
            "",
            type="string",
            maxLength=1000,
            title="Output",
            description="A .parquet or .csv file or a folder/, local or s3://; empty: what the model file says.",
        ),
        "version": Param(
            None,
            type=["null", "integer"],
            minimum=1,
            title="Version",
            description="Number of the version that answers; empty: the champion.",
        ),
        "every": Param(
            False,
            type="boolean",
            title="All rows",
            description="Answer all that the source of the model file has, not only what is new.",
        ),
    }
)
ROLLBACK_FORM = ParamsDict(
    {
        "reason": Param(
            "",
            type="string",
            maxLength=500,
            title="Reason",
            description="Why you go back, in one sentence; kept in the ledger.",
        ),
    }
)

for _form in (TRAIN_FORM, INGEST_FORM, SCORE_FORM, ROLLBACK_FORM):
    _form.validate()
