"""The service as a process of its own, with the demo's models: bombs beside normal work, and a stop in between."""

from __future__ import annotations

import signal
import struct
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from facestats.core.testing import draw_faces

pytest.importorskip("fastapi", reason="the service is an extra: pip install 'facestats[service]'")
pytest.importorskip("httpx2", reason="the service's tests need httpx2")

import httpx2 as httpx
from service import serve  # the benchmark's

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]


def bomb(side):
    """Make a PNG of a few hundred kilobytes that says it has `side` times `side` pixels."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(50_000_000), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.fixture
def service(tmp_path):
    """Start ``facestats serve`` with a folder of its own for temporary files; process, address, that folder."""
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
    draw_faces(tmp_path / "faces", n=1)
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
        threading.Timer(0.3, process.send_signal, [signal.SIGTERM]).start()
        begun = time.monotonic()
        assert {f.result()[0] for f in left} <= {200, 503, 0}
        assert any(f.result()[0] == 200 for f in left)
    assert process.wait(20) in {-signal.SIGTERM, 128 + signal.SIGTERM}
    assert time.monotonic() - begun < 15
    assert [p.name for p in temporary.iterdir() if p.name.startswith("facestats-")] == []
