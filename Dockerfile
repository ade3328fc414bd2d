# The HTTP service (default) and the web page with the real models; models and data live in mounted folders.
# The toy models of the demo answer only on request: docker run ... facestats serve --host 0.0.0.0 --demo
FROM python:3.13-slim-bookworm

# OpenCV needs these two; Debian's stable branch is the pin
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgl1 libglib2.0-0 \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /app
COPY requirements.txt pyproject.toml README.md LICENSE ./
COPY src src
COPY config config
COPY notebooks notebooks
RUN pip install --no-cache-dir --constraint requirements.txt ".[service,app]" \
    && useradd --create-home --uid 10001 facestats \
    && mkdir -p /app/data /models \
    && chown facestats /app/data /models

USER 10001
# what is fetched is kept with the models: the home folder may be empty at each start
ENV HF_HOME=/models \
    XDG_CACHE_HOME=/models \
    FACESTATS_CONFIG=/app/config/default.yaml \
    HF_HUB_DISABLE_TELEMETRY=1 \
    GRADIO_ANALYTICS_ENABLED=False
# the networks that find faces
RUN facestats fetch --demo
VOLUME ["/models", "/app/data"]
EXPOSE 8000 7860
HEALTHCHECK --interval=30s --timeout=5s --start-period=120s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/health', timeout=4)"]
STOPSIGNAL SIGTERM

# other machines reach a container: FACESTATS_API_KEY must be set, or --i-know added
CMD ["facestats", "serve", "--host", "0.0.0.0"]
