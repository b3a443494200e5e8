"""Airflow and the endpoint on one machine: ``python -m slipstream_stack up | down | status``."""
