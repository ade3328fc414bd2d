"""The running service does what its OpenAPI document says, for all requests that schemathesis makes."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import facestats as fs
from facestats.testing import FakeEncoder, FakeLandmarker, FakeTextClassifier

pytest.importorskip("fastapi", reason="the service is an extra: pip install 'facestats[service]'")
pytest.importorskip("schemathesis", reason="pip install schemathesis")

import uvicorn

from facestats.surfaces.service import api

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module", params=["", "secret"], ids=["open", "with a key"])
def service(request, tmp_path_factory):
    """Serve stand-ins over a socket; gives address and key."""
    folder = tmp_path_factory.mktemp("service")
    config = fs.load_config(ROOT / "config" / "demo.yaml").model_copy(update={"data_dir": folder})
    fakes = {"landmarker": FakeLandmarker(), "encoder": FakeEncoder(), "classifier": FakeTextClassifier()}
    app = api.create_app(fs.CharacterPipeline(config, **fakes), api_key=request.param or None)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}", request.param
    finally:
        server.should_exit = True
        thread.join()


def test_the_service_holds_its_document(service, tmp_path):
    url, key = service
    start = [sys.executable, "-c", "from schemathesis.cli import schemathesis as main; main()"]
    command = [*start, "--config-file", ROOT / "schemathesis.toml", "run", f"{url}/openapi.json"]
    examples = "15" if key else "30"
    options = ["--max-examples", examples, "--seed", "0", "--header", f"X-API-Key: {key or 'none'}"]
    run = subprocess.run([*command, *options], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert run.returncode == 0, run.stdout
    assert "6 passed" in run.stdout or "Tested: 6" in run.stdout, run.stdout  # each path was tried
