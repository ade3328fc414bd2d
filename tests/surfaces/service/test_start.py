"""The service as a process, with the models of the demo: decompression bombs among normal requests, and a stop."""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
import time
import zlib
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path

import pytest

from facestats.surfaces.service.start import STOP_SECONDS
from facestats.testing import draw_faces

pytest.importorskip("fastapi", reason="the service is an extra: pip install 'facestats[service]'")
pytest.importorskip("httpx2", reason="the service's tests need httpx2")

import httpx2 as httpx
from service import serve  # the benchmark's

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[3]


def bomb(side):
    """Make a PNG of a few hundred kilobytes whose header announces `side` times `side` pixels."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(50_000_000), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.fixture
def service(tmp_path):
    """Start ``facestats serve`` with a new folder for temporary files; gives process, address and folder."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    text = (ROOT / "config/demo.yaml").read_text().replace("../data/demo", str(tmp_path / "data"))
    config = tmp_path / "config.yaml"
    config.write_text(text.replace("attributes.yaml", str(ROOT / "config/attributes.yaml")))
    process, url = serve(config, TMPDIR=str(temporary))
    yield process, url, temporary
    process.kill()
    process.wait()


def test_bombs_do_not_stop_the_others_and_sigterm_finishes_what_is_under_way(service, tmp_path):
    process, url, temporary = service
    draw_faces(tmp_path / "faces", n_faces=1)
    face = next(p for p in (tmp_path / "faces").rglob("*.*") if p.is_file()).read_bytes()
    bombs = [bomb(30_000), bomb(9_000)]  # refused by its head; found to be cut short

    def post(content):
        try:
            response = httpx.post(f"{url}/extract", files={"image": ("a.png", content)}, timeout=60)
        except httpx.TransportError:
            return 0, ""
        return response.status_code, response.json().get("status")

    with ThreadPoolExecutor(16) as pool:
        attacks = [pool.submit(post, bombs[i % 2]) for i in range(40)]
        friends = [pool.submit(post, face) for _ in range(10)]
        assert {f.result() for f in friends} == {(200, "ok")}
        assert {a.result()[0] for a in attacks} == {422}
        assert {a.result()[1] for a in attacks} <= {"too_large", "truncated", "corrupt"}
        left = [pool.submit(post, face) for _ in range(20)]
        wait(
            left, return_when=FIRST_COMPLETED
        )  # the others are on their way, whatever else the machine has to do
        process.terminate()
        begun = time.monotonic()
        assert {f.result()[0] for f in left} <= {200, 503, 0}
        assert any(f.result()[0] == 200 for f in left)
    assert process.wait(60) in {-signal.SIGTERM, 128 + signal.SIGTERM}
    assert time.monotonic() - begun < 30
    assert [p.name for p in temporary.iterdir() if p.name.startswith("facestats-")] == []


SLEEPER = """
import atexit, sys, time
import facestats as fs
from facestats.testing import FakeEncoder, FakeLandmarker, FakeTextClassifier
from facestats.surfaces.cli.exit_codes import signals_as_exceptions
from facestats.surfaces.service.start import serve

class Slow(FakeEncoder):
    def encode_images(self, pixels):
        if pixels.min() != pixels.max():  # the test picture is grey
            open(sys.argv[3], "w").close()
            time.sleep(100)
        return super().encode_images(pixels)

config = fs.load_config(sys.argv[1]).model_copy(update={"data_dir": fs.core.config.Path(sys.argv[3] + "-data")})
models = {"landmarker": FakeLandmarker(), "encoder": Slow(), "classifier": FakeTextClassifier()}
atexit.register(time.sleep, 1)  # cleaning up may take a while
with signals_as_exceptions():  # as the command does
    serve(fs.CharacterPipeline(config, **models), host="127.0.0.1", port=int(sys.argv[2]), batch_size=4)
"""


def children(pid):
    """List the child processes of a process, where there is /proc."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if parent == pid:
            found += [int(path.parent.name), *children(int(path.parent.name))]
    return found


def wait_until_ready(client):
    end = time.monotonic() + 120
    while True:
        try:
            if client.get("/ready").status_code == 200:
                return
        except httpx.TransportError:
            pass
        assert time.monotonic() < end
        time.sleep(0.2)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_ends_a_service_whose_model_computes_for_minutes(tmp_path, number):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    temporary, begun_file = tmp_path / "temporary", tmp_path / "begun"
    temporary.mkdir()
    draw_faces(tmp_path / "faces", n_faces=1)
    face = next(p for p in (tmp_path / "faces").rglob("*.*") if p.is_file()).read_bytes()
    arguments = [ROOT / "config/demo.yaml", str(port), begun_file]
    command = [sys.executable, "-c", SLEEPER, *map(str, arguments)]
    process = subprocess.Popen(command, env={**os.environ, "TMPDIR": str(temporary)}, stderr=subprocess.PIPE)
    url = f"http://127.0.0.1:{port}"
    try:
        with httpx.Client(base_url=url, timeout=60) as client, ThreadPoolExecutor(1) as pool:
            wait_until_ready(client)
            answer = pool.submit(client.post, "/extract", files={"image": ("a.png", face)})
            end = time.monotonic() + 60
            while not begun_file.exists():
                assert time.monotonic() < end
                time.sleep(0.05)
            below = children(process.pid)
            process.send_signal(number)
            begun = time.monotonic()
            assert answer.result().status_code == 503
            assert answer.result().json()["detail"].startswith("the service is stopping")
            assert process.wait(60) == 128 + number
            assert time.monotonic() - begun < STOP_SECONDS + 15, (
                "some seconds for a machine that has much to do"
            )
        assert list(temporary.glob("facestats-*")) == []
        end = time.monotonic() + 10
        while left := [pid for pid in below if Path(f"/proc/{pid}").exists()]:
            assert time.monotonic() < end, left
            time.sleep(0.1)
    finally:
        process.kill()
        said = process.communicate()[1].decode()
    assert "Traceback" not in said, said
