"""The pages inside Airflow's UI, at ``/slipstream``: what the ledger says, for people."""
