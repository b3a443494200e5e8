"""Answers many rows with a version: batch scoring."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slipstream_airflow.operators.base import SlipstreamOperator

if TYPE_CHECKING:
    from airflow.sdk import Context


class ScoreOperator(SlipstreamOperator):
    """Answer the rows of files, or what is new in the model's data, and write the predictions whole and once.

    Args:
        path: CSV or Parquet: a file, a folder or a glob, local (relative to the model's folder) or ``s3://``; default:
            the newest data of the model.
        destination: A .parquet or .csv file or a folder/, local or ``s3://``; default: the store's table ``scores``.
        version: Number of the version, or the output of :class:`PackageOperator`; default: the champion.
        **kwargs: As for :class:`SlipstreamOperator`.
    """

    takes = {"path": "", "destination": "", "version": None}

    def execute(self, context: Context) -> dict[str, Any]:
        """How many rows were answered, how many not, and where the predictions are."""
        from slipstream.stages.score import score

        with self.job(context) as job:
            version = None if self.version in (None, "") else job.version_of(self.version)
            return score(
                job.spec, job.store, path=self.path, output=self.destination, version=version, actor=job.actor
            ).figures()
