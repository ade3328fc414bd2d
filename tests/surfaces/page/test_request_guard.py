"""The server of the page: what it serves, and what it refuses."""

from __future__ import annotations

import json
import socket

import pytest

from tests.fetched import fetched_addresses

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
/gradio_api/run/update /gradio_api/api/update /gradio_api/call/update /gradio_api/deep_link /gradio_api/dev/reload
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
    for path in ("/", "/?view=api"):
        assert fetched_addresses(visitor.http.get(path).text) == set()
    assert fetched_addresses(f"<style>{visitor.http.get('/theme.css').text}</style>") == set()
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
