"""The DAGs of every model project: <model>__ingest, <model>__train, <model>__monitor (Airflow finds them by their ids)."""

from slipstream_airflow.dags import all_dags

globals().update(all_dags())
