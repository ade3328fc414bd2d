"""Malformed requests, sent byte by byte over a socket, are refused with a sentence, and the next request is served."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from pathlib import Path

import pytest

import facestats as fs
from facestats.testing import FakeEncoder, FakeLandmarker, FakeTextClassifier

pytest.importorskip("fastapi", reason="the service is an extra: pip install 'facestats[service]'")

import uvicorn

from facestats.surfaces.service import api, schemas

ROOT = Path(__file__).parents[3]
SLOW = 1.0  # seconds for a body
FORM = "Content-Type: multipart/form-data; boundary=b\r\n"


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    folder = tmp_path_factory.mktemp("service")
    config = fs.load_config(ROOT / "config" / "demo.yaml").model_copy(update={"data_dir": folder})
    fakes = {"landmarker": FakeLandmarker(), "encoder": FakeEncoder(), "classifier": FakeTextClassifier()}
    app = api.create_app(fs.CharacterPipeline(config, **fakes), body_seconds=SLOW)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", http="h11"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join()


def part(name, content, filename=None):
    shown = f'; filename="{filename}"' if filename is not None else ""
    return f'--b\r\nContent-Disposition: form-data; name="{name}"{shown}\r\n\r\n{content}\r\n'


TEXT = part("text", "red hair") + "--b--\r\n"


def send(port, head, body=b"", *, path="/extract", wait=10.0):
    """Send a request as it is; return the status code (0: connection closed), the body and the seconds it took."""
    begun = time.monotonic()
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=wait) as wire:
        try:
            wire.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\n{head}\r\n".encode() + body)
            while True:
                more = wire.recv(65536)
                received += more
                if not more or _whole(received):
                    break
        except (ConnectionError, TimeoutError):
            pass
    code = int(received.split(b" ", 2)[1]) if received.startswith(b"HTTP/") else 0
    return code, received.partition(b"\r\n\r\n")[2].decode(), time.monotonic() - begun


def _whole(received):
    head, end, body = received.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    return bool(end and length and len(body) >= int(length[1]))


def still_served(port):
    code, body, _ = send(port, f"{FORM}Content-Length: {len(TEXT)}\r\n", TEXT.encode())
    return code == 200 and json.loads(body)["attributes"]["Hair_Color"] == "red"


def test_an_honest_request_is_answered(port):
    assert still_served(port)
    chunked = f"{len(TEXT):x}\r\n{TEXT}\r\n0\r\n\r\n".encode()
    assert send(port, f"{FORM}Transfer-Encoding: chunked\r\n", chunked)[0] == 200


BIG = part("text", "x" * (schemas.MAX_BODY + 1000)).encode()


@pytest.mark.parametrize(
    ("head", "body", "codes"),
    [
        (f"{FORM}Content-Length: {len(BIG)}\r\n", b"", {413}),  # refused before the body arrives
        (f"{FORM}Content-Length: {len(BIG)}\r\n", BIG, {413, 0}),
        (f"{FORM}Transfer-Encoding: chunked\r\n", b"%x\r\n" % len(BIG) + BIG + b"\r\n0\r\n\r\n", {413, 400, 0}),
        (f"{FORM}Content-Length: -5\r\n", TEXT.encode(), {400}),
        (f"{FORM}Content-Length: much\r\n", TEXT.encode(), {400}),
        (f"{FORM}Content-Length: {len(TEXT) - 9}\r\n", TEXT.encode(), {200, 400, 422}),
        (f"{FORM}Content-Length: {len(TEXT) + 9}\r\n", TEXT.encode(), {408}),
        (FORM, TEXT.encode(), {422, 400}),  # without a length, the body counts as empty
        (f"X: {'y' * 1_000_000}\r\nContent-Length: 0\r\n", b"", {400, 431, 0}),
        ("X: y\r\n" * 100_000 + "Content-Length: 0\r\n", b"", {400, 431, 0}),
        (f"Content-Type: multipart/form-data; boundary={'b' * 10_000}\r\nContent-Length: 9\r\n", b"--garbage", {400}),
    ],
    ids=[
        "announced too large", "too large", "too large in chunks", "negative length", "no number", "length too small",
        "length too large", "no length", "header of 1 MB", "100,000 headers", "boundary of 10,000",
    ],
)  # fmt: skip
def test_a_request_that_lies_is_refused_and_the_next_is_served(port, head, body, codes):
    code, answer, seconds = send(port, head, body)
    assert code in codes, answer
    assert seconds < 5
    assert "Traceback" not in answer
    assert "/" not in answer.replace("HTTP/", "").replace("text/plain", ""), "no path of the server"
    assert still_served(port)


@pytest.mark.parametrize(
    ("parts", "path", "codes"),
    [
        ([part("images", "x", f"{i}.png") for i in range(17)], "/extract/batch", {400, 413, 422}),
        ([part("texts", "x") for _ in range(17)], "/extract/batch", {422}),
        ([part("texts", "") for _ in range(100_000)], "/extract/batch", {400, 413}),
        ([part("text", "a", None), part("text", "b", None)], "/extract", {200, 422}),
        ([part("image", "http://169.254.169.254/latest")], "/extract", {422}),
        ([part("image", "file:///etc/passwd")], "/extract", {422}),
        ([part("text", "\ud800".encode("utf-8", "surrogatepass").decode("latin-1"))], "/extract", {200, 400, 422}),
        ([part("text", "a\0b man")], "/extract", {200}),
        ([part("text", "x" * 1_200_000)], "/extract", {400, 422}),
    ],
    ids=["17 pictures", "17 texts", "100,000 parts", "twice", "a URL", "a file", "half a surrogate", "NUL", "1.2 MB text"],
)  # fmt: skip
def test_forms_that_no_one_fills_in_get_a_sentence(port, parts, path, codes):
    body = ("".join(parts) + "--b--\r\n").encode()
    code, answer, seconds = send(port, f"{FORM}Content-Length: {len(body)}\r\n", body, path=path)
    assert code in codes, answer
    assert code == 200 or isinstance(json.loads(answer)["detail"], str)
    assert seconds < 5
    assert still_served(port)


def test_a_client_that_dawdles_is_told_so_and_the_others_are_served_meanwhile(port):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as wire:
        wire.sendall(
            f"POST /extract HTTP/1.1\r\nHost: x\r\n{FORM}Content-Length: {len(TEXT)}\r\n\r\n".encode()
        )
        begun = time.monotonic()
        for byte in TEXT[:8].encode():
            wire.sendall(bytes([byte]))
            time.sleep(SLOW / 16)
        assert still_served(port)
        answer = b""
        while not _whole(answer) and (more := wire.recv(65536)):
            answer += more
    assert answer.split(b" ")[1] == b"408"
    assert b"not complete after 1 seconds" in answer
    assert time.monotonic() - begun < 2 * SLOW + 2


def test_clients_that_leave_and_clients_that_only_listen_cost_nothing(port):
    idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(500)]
    for wire in idle[:100]:
        wire.sendall(
            f"POST /extract HTTP/1.1\r\nHost: x\r\n{FORM}Content-Length: 5000\r\n\r\n--b\r\n".encode()
        )
        wire.close()
    assert still_served(port)
    for wire in idle[100:]:
        wire.close()
