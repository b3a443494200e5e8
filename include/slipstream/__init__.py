"""Slipstream: from a table of data to a deployed model that is kept good. The library; it knows no Airflow."""
