"""A DAG written by hand from single operators: what to copy when the generated DAGs are not what you need.

It brings the next month of the bikes data, trains on it and stops there: no version is made, nothing is deployed. Each
operator takes the output of the one before it, or an id as text or template, or nothing for the newest.
"""

from airflow.sdk import DAG

from slipstream_airflow.operators import EvaluateOperator, IngestOperator, TrainOperator, ValidateOperator

with DAG("example_flow", schedule=None, catchup=False, tags=["slipstream", "example"], doc_md=__doc__) as dag:
    batch = IngestOperator(task_id="ingest", model="bikes")
    checked = ValidateOperator(task_id="validate", model="bikes", batch=batch.output)
    candidate = TrainOperator(task_id="train", model="bikes", dataset=checked.output)
    (
        EvaluateOperator(task_id="evaluate", model="bikes", candidate="{{ ti.xcom_pull('train')['candidate'] }}")
        << candidate
    )
