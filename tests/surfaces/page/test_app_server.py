"""The server of the page: what it serves, to whom, and what it leaves behind."""

from __future__ import annotations

import json
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

FILES = """/etc/passwd //etc/passwd ../../../../etc/passwd ..%2f..%2f..%2fetc/passwd %2e%2e/%2e%2e/etc/passwd ~/.bashrc
/proc/self/environ C:\\boot.ini \\\\host\\share file:///etc/passwd FILE:/etc/passwd gopher://x a%00b {long}
http://127.0.0.1/ https://example.com/ http://169.254.169.254/ %68ttp://[::1]/ %20http://x HtTp://x
{data}/cache.db {data}/raw/face_000.png {uploads}/../project0/cache.db"""


@pytest.mark.parametrize("path", FILES.split())
def test_no_file_and_no_address_can_be_fetched_through_the_page(visitor, project, path):
    path = path.format(data=project.config.data_dir, uploads=visitor.uploads, long="x" * 5000)
    response = visitor.http.get(f"/gradio_api/file={path}")
    assert response.status_code in {403, 404}
    assert not visitor.leaks(response.text)


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../../etc/passwd", "cache.db", "{data}/raw/face_000.png", "\0", "", "." * 5000]
)
def test_a_path_instead_of_an_upload_is_no_input(visitor, project, path):
    path = path.format(data=project.config.data_dir)
    for event, data in (
        ("label.click", [visitor.file_at(path), ""]),
        ("label.click", [None, visitor.file_at(path)]),
        ("query.submit", [visitor.file_at(path), *[""] * visitor.n_filters]),
    ):
        _, answer, error = visitor.ask(event, *data)
        assert answer is None
        assert not visitor.leaks(error or "")


@pytest.mark.parametrize(
    "address", ["http://169.254.169.254/", "https://example.com/a.png", " HTTP://[::1]", "file:///etc/passwd"]
)
def test_an_address_is_refused_wherever_it_stands(visitor, address):
    for data in (
        [visitor.file_at(address), ""],
        [None, visitor.file_at(address)],
        [None, [{"deep": visitor.file_at(address)}]],
    ):
        status, _, error = visitor.ask("label.click", *data)
        assert status == 422
        assert "give a file, not an address" in error
    spelled = json.dumps({"data": [visitor.file_at("PLACE"), ""], "fn_index": 0, "session_hash": "x"})
    body = spelled.replace("PLACE", "".join(f"\\u{ord(c):04x}" for c in address))
    headers = {"Content-Type": "application/json"}
    assert visitor.http.post("/gradio_api/queue/join", content=body, headers=headers).status_code == 422


DOORS = """/gradio_api/proxy=http://127.0.0.1/ /gradio_api/process_recording /gradio_api/component_server
/gradio_api/run/look /gradio_api/api/look /gradio_api/call/look /gradio_api/deep_link /gradio_api/dev/reload
/gradio_api/stream/..%2f/x/1/playlist-file /gradio_api/vibe-code/ /gradio_api/runs /gradio_api/openapi.json
/monitoring /monitoring/summary /openapi.json /docs /static/..%2f..%2froutes.py /assets/..%2f..%2froutes.py"""


@pytest.mark.parametrize("door", DOORS.split())
def test_doors_that_the_page_does_not_use_are_closed(visitor, door):
    for response in (visitor.http.get(door), visitor.http.post(door, json={})):
        assert response.status_code in {401, 403, 404, 405}
        assert not visitor.leaks(response.text)


def test_nothing_is_shared_recorded_or_told_to_others(visitor):
    config = visitor.http.get("/config").json()
    assert config["run_history"] is False
    assert config["footer_links"] == []
    assert config["max_file_size"] == 20_000_000
    assert config["enable_queue"]
    buttons = [part["props"].get("buttons") for part in config["components"]]
    assert not any("share" in [str(b) for b in some] for some in buttons if some)
    assert config["analytics_enabled"] is False
    html = visitor.http.get("/").text
    assert "fonts.googleapis" not in html + visitor.http.get("/theme.css").text
    foreign = visitor.http.get("/config", headers={"Origin": "https://example.com"})
    assert "access-control-allow-origin" not in foreign.headers


def test_a_slow_sender_is_sent_away_and_others_are_served(visitor, monkeypatch):
    monkeypatch.setattr("facestats.surfaces.page.request_guard.SECONDS", 0.5)
    host, port = visitor.url.removeprefix("http://").rstrip("/").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as slow:
        slow.sendall(b"POST /gradio_api/upload HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nx")
        assert visitor.ask("label.click", None, "an elderly person")[0] == 200
        assert b"408" in slow.recv(100)


def test_a_password_closes_everything(project, gr):
    import httpx

    from facestats.surfaces.page.app import launch

    page = launch(project, host="127.0.0.1", port=None, password="secret", wait=False)
    try:
        with httpx.Client(base_url=page.local_url) as http:
            for path in ("/config", "/gradio_api/file=/etc/passwd", "/gradio_api/queue/data?session_hash=x"):
                assert http.get(path).status_code == 401
            assert http.post("/gradio_api/upload", files={"files": ("x", b"x")}).status_code == 401
            assert http.post("/gradio_api/queue/join", json={}).status_code in {401, 422}
            for word, code in (("wrong", 400), ("secret", 200)):
                login = http.post("/login", data={"username": "facestats", "password": word})
                assert login.status_code == code
            assert http.get("/config").status_code == 200
    finally:
        page.close(verbose=False)


def test_a_port_that_is_taken_is_a_sentence(project, gr, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", "put back when this is over")
    before = signal.getsignal(signal.SIGTERM)
    try:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            with pytest.raises(ConfigError, match=r"cannot be listened on.*--port"):
                open_page(project, host="127.0.0.1", port=taken.getsockname()[1])
    finally:
        signal.signal(signal.SIGTERM, before)


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
    assert f"http://127.0.0.1:{port}" in said
    assert not list(tmp_path.glob("facestats-page-*"))
