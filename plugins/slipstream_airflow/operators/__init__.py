"""One operator per stage. Each works alone in a hand-written DAG: give it a model and it does that stage's work.

The ids that a stage takes may be left out (then the newest is taken), given as text or template, or given as the
output of the operator before it::

    from slipstream_airflow.operators import IngestOperator, ValidateOperator

    batch = IngestOperator(task_id="ingest", model="flights")
    ValidateOperator(task_id="validate", model="flights", batch=batch.output)
"""

from __future__ import annotations

from slipstream_airflow.operators.approve import ApproveOperator
from slipstream_airflow.operators.decide import DecideOperator
from slipstream_airflow.operators.deploy import DeployOperator, RollbackOperator
from slipstream_airflow.operators.evaluate import EvaluateOperator
from slipstream_airflow.operators.explain import ExplainOperator
from slipstream_airflow.operators.gate import GateOperator
from slipstream_airflow.operators.ingest import IngestOperator
from slipstream_airflow.operators.labels import JoinOperator, LabelsOperator
from slipstream_airflow.operators.monitor import MonitorOperator
from slipstream_airflow.operators.package import PackageOperator
from slipstream_airflow.operators.rebuild import RebuildOperator
from slipstream_airflow.operators.replay import ReplayOperator
from slipstream_airflow.operators.score import ScoreOperator
from slipstream_airflow.operators.train import TrainOperator
from slipstream_airflow.operators.validate import ValidateOperator

__all__ = [
    "ApproveOperator",
    "DecideOperator",
    "DeployOperator",
    "EvaluateOperator",
    "ExplainOperator",
    "GateOperator",
    "IngestOperator",
    "JoinOperator",
    "LabelsOperator",
    "MonitorOperator",
    "PackageOperator",
    "RebuildOperator",
    "ReplayOperator",
    "RollbackOperator",
    "ScoreOperator",
    "TrainOperator",
    "ValidateOperator",
]
