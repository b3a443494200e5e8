#!/bin/sh
# Runs once before the components start, and may run again: Airflow's database, its first user, the store's bucket,
# the endpoint's first key.
set -eu
airflow db migrate
airflow users create --username admin --firstname Admin --lastname Slipstream --email admin@localhost.localdomain \
    --role Admin --password "${AIRFLOW_ADMIN_PASSWORD:?set the password of the user admin}"
python "$(dirname "$0")/check_store.py"
: "${ENDPOINT_KEY:?set the first key of the endpoint}"
slipstream key add --caller airflow --scopes predict,label,metrics --from-env ENDPOINT_KEY
