"""The DAGs of every model project, for Airflow: <model>__ingest, <model>__train and <model>__monitor."""

from slipstream_airflow.dags import all_dags

globals().update(all_dags())
