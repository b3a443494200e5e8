"""The Airflow face of Slipstream: operators, DAG shapes, pages, and the stack that runs it all on one machine."""
