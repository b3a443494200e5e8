"""Shows wrong model files as import errors of this file in Airflow's UI, so that they hide no DAG of a right one."""

from slipstream_airflow.dags import check

check()
