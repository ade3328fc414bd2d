"""Starting and stopping the page: who may reach it, and what stays afterwards."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from facestats.core.config import ConfigError
from facestats.surfaces.page.start import open_page
from tests.conftest import ROOT, SETTINGS


def test_other_machines_need_a_password(project, monkeypatch):
    monkeypatch.delenv("FACESTATS_PASSWORD", raising=False)
    with pytest.raises(ConfigError, match=r"FACESTATS_PASSWORD.*--i-know"):
        open_page(project, host="0.0.0.0", port=7860)


def test_a_port_that_is_taken_is_a_sentence(project, gr, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", "from before")
    stops = (signal.SIGTERM, signal.SIGINT)
    before = [signal.getsignal(number) for number in stops]
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ConfigError, match=r"cannot listen on.*--port"):
            open_page(project, host="127.0.0.1", port=taken.getsockname()[1])
    assert os.environ["GRADIO_TEMP_DIR"] == "from before"
    assert [signal.getsignal(number) for number in stops] == before


@pytest.mark.slow
def test_a_stopped_page_leaves_no_upload(gr, tmp_path):
    import httpx

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = tmp_path / "config.yaml"
    config.write_text(SETTINGS.format(data=tmp_path / "data", attributes=ROOT / "config/attributes.yaml"))
    start = [sys.executable, "-c", "from facestats.surfaces.cli.commands import main; main()"]
    command = [*start, "app", "--port", str(port), "--config", str(config)]
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as http:
            for _ in range(300):
                try:
                    http.get("/config").raise_for_status()
                    break
                except httpx.TransportError:
                    time.sleep(0.2)
            (path,) = http.post("/gradio_api/upload", files={"files": ("x.png", b"x")}).json()
        assert Path(path).is_relative_to(tmp_path)
        assert Path(path).exists()
    finally:
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=30)
    assert process.returncode == 143
    assert f"http://127.0.0.1:{port}" in said
    assert not list(tmp_path.glob("facestats-page-*"))
