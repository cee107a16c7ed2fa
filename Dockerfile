# One image for every process: `tasktape api`, `tasktape worker`, `tasktape migrate`.
# With its digest, if you like: docker compose build --build-arg PYTHON_IMAGE=python:3.11-slim@sha256:…
ARG PYTHON_IMAGE=python:3.11-slim

FROM ${PYTHON_IMAGE} AS build
WORKDIR /src
RUN python -m venv /opt/tasktape
COPY requirements-prod.lock ./
RUN /opt/tasktape/bin/pip install --no-cache-dir --require-hashes -r requirements-prod.lock
COPY pyproject.toml README.md LICENSE ./
COPY scripts/build_backend.py scripts/
COPY client client
COPY app app
COPY projections projections
COPY streams streams
COPY api api
COPY tasktape tasktape
RUN /opt/tasktape/bin/pip install --no-cache-dir --no-deps --no-build-isolation ./client .

FROM ${PYTHON_IMAGE}
RUN useradd --system --uid 10001 --no-create-home tasktape \
    && install --directory --owner=tasktape --mode=700 /var/lib/tasktape
COPY --from=build /opt/tasktape /opt/tasktape
ENV PATH=/opt/tasktape/bin:$PATH \
    HOST=0.0.0.0 \
    PORT=8000 \
    LOG_FORMAT=json
USER 10001
EXPOSE 8000
# Healthy means alive; whether it may get traffic is for the proxy to ask of /readyz.
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f'http://127.0.0.1:{os.environ[\"PORT\"]}/healthz', timeout=2)"]
CMD ["tasktape", "api"]
