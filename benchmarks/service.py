"""Measure the service under mixed load: requests per second, latency, status codes, memory.

    python benchmarks/service.py --requests 10000 --clients 16

Draws characters. Several clients at once send good pictures, pictures without a face, texts, broken files, files of other
kinds, and bodies over the limit to ``facestats serve``. For comparison, ``CharacterPipeline.process_batch`` gets the same
inputs in the same run. No cache is used.
"""

from __future__ import annotations

import argparse
import collections
import http.client
import io
import os
import random
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2 as httpx
from common import describe_machine, keep
from PIL import Image

import facestats as fs
from facestats.demo.gallery import write_gallery
from facestats.surfaces.pipeline.pipeline import Item

ROOT = Path(__file__).parents[1]
SHARES = {"picture": 50, "both": 10, "text": 15, "no face": 5, "broken": 8, "wrong kind": 8, "too large": 4}
WANTED = {  # codes that each kind may get; a 503 of a busy service is sent again
    "picture": {200}, "both": {200}, "text": {200}, "no face": {200},
    "broken": {422}, "wrong kind": {415}, "too large": {413},
}  # fmt: skip
PATIENCE = 120.0
HEADERS = {"Content-Type": "multipart/form-data; boundary=b"}
TOO_LARGE = bytes(21_000_000)
CONFIG = 'data_dir: {data}\nattributes: {attributes}\nembeddings: {{model: "local-dir:${{package}}/demo/clip"}}\ntext_labels: {{model: "${{package}}/demo/bart"}}\n'


def make_requests(folder: Path, n: int, seed: int) -> list[tuple[str, bytes | None, str | None]]:
    """Return kind, picture and text of `n` requests, mixed as SHARES says; no two texts are equal."""
    write_gallery(folder, n=200, seed=seed)
    pictures = [p.read_bytes() for p in sorted(folder.glob("character_*"))]
    captions = fs.list_captions(folder)["text"].drop_nulls().to_list()
    chooser = random.Random(seed)
    empty = _png()
    out: list[tuple[str, bytes | None, str | None]] = []
    for i, kind in enumerate(chooser.choices(list(SHARES), list(SHARES.values()), k=n)):
        picture, text = chooser.choice(pictures), f"{chooser.choice(captions)} Number {i}."
        content: bytes | None = {
            "text": None,
            "no face": empty,
            "broken": picture[: len(picture) // 2],
            "wrong kind": b"%PDF-1.4 no picture " + os.urandom(200),
            "too large": TOO_LARGE,
        }.get(kind, picture)
        out.append((kind, content, text if kind in {"text", "both"} else None))
    return out


def _png() -> bytes:
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize((512, 512)).save(buffer, "PNG")
    return buffer.getvalue()


def make_bombs() -> list[bytes]:
    """Make small files whose headers announce pictures of gigabytes."""

    def png(side: int) -> bytes:
        head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
        rows = zlib.compress(bytes(1_000_000), 9)
        parts = ((b"IHDR", head), (b"IDAT", rows), (b"IEND", b""))
        chunks = (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
            for kind, data in parts
        )
        return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)

    return [png(side) for side in (9_400, 10_000, 16_000, 30_000, 2**31 - 1)]


def attack(url: str, pictures: list[bytes], n: int) -> tuple[float, float, set[int]]:
    """Time 100 honest requests, alone and beside `n` bombs; return both second-slowest times, and the codes of the bombs."""

    def post(client: httpx.Client, content: bytes) -> tuple[int, float]:
        begun = time.perf_counter()
        response = client.post("/extract", files={"image": ("picture", content)})
        return response.status_code, time.perf_counter() - begun

    def honest(client: httpx.Client) -> float:
        answers = [post(client, pictures[i % len(pictures)]) for i in range(100)]
        if {code for code, _ in answers} - {200, 503}:
            msg = f"honest requests got {answers}"
            raise SystemExit(msg)
        return sorted(seconds for _, seconds in answers)[-2]

    bombs = make_bombs()
    with httpx.Client(base_url=url, timeout=PATIENCE) as client, ThreadPoolExecutor(n) as pool:
        alone = honest(client)
        codes = [pool.submit(post, client, bombs[i % len(bombs)]) for i in range(n)]
        beside = honest(client)
        return alone, beside, {code.result()[0] for code in codes}


class Load:
    """Clients that send requests and record the answers."""

    def __init__(self, url: str, requests: list[tuple[str, bytes | None, str | None]]) -> None:
        self.url, self.requests = url, requests
        self.answers: list[tuple[str, int, float]] = []
        self.refused = 0
        self._lock, self._next = threading.Lock(), iter(requests)

    def run(self, clients: int) -> float:
        """Send all requests; return the seconds that it took."""
        threads = [threading.Thread(target=self._client) for _ in range(clients)]
        begun = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return time.perf_counter() - begun

    def _client(self) -> None:
        while True:
            with self._lock:
                request = next(self._next, None)
            if request is None:
                return
            begun = time.perf_counter()
            code = self._send(request)
            with self._lock:
                self.answers.append((request[0], code, time.perf_counter() - begun))

    def _send(self, request: tuple[str, bytes | None, str | None]) -> int:
        """Send one request with little work, because the clients run on the same cores."""
        _, content, text = request
        body = b""
        if content is not None:
            body += (
                b'--b\r\nContent-Disposition: form-data; name="image"; filename="p"\r\n\r\n'
                + content
                + b"\r\n"
            )
        if text is not None:
            body += b'--b\r\nContent-Disposition: form-data; name="text"\r\n\r\n' + text.encode() + b"\r\n"
        while True:
            wire = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=PATIENCE)
            try:
                wire.request("POST", "/extract", body + b"--b--\r\n", HEADERS)
                response = wire.getresponse()
                response.read()
            except (BrokenPipeError, ConnectionResetError, http.client.RemoteDisconnected):
                return 0  # the service closed the connection, which is allowed for a body over the limit
            finally:
                wire.close()
            if response.status != 503:
                return response.status
            self.refused += 1
            time.sleep(float(response.headers["Retry-After"]))


def tree_memory(pid: int) -> float:
    """Return the proportional memory of a process and its children, in MiB."""
    total, stack = 0, [pid]
    while stack:
        at = stack.pop()
        try:
            lines = Path(f"/proc/{at}/smaps_rollup").read_text().splitlines()
            total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
            for task in Path(f"/proc/{at}/task").iterdir():
                stack += [int(child) for child in (task / "children").read_text().split()]
        except OSError:
            continue
    return total / 1024


def serve(config: Path, **environment: str) -> tuple[subprocess.Popen[bytes], str]:
    """Start the service with additional environment variables, and wait until it is ready."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-c",
        "from facestats.surfaces.cli.commands import main; main()",
        "serve",
        "--no-cache",
    ]
    process = subprocess.Popen(
        [*command, "--port", str(port), "--config", str(config)],
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    for _ in range(600):
        try:
            if httpx.get(f"{url}/ready").status_code == 200:
                return process, url
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    process.kill()
    msg = "the service was not ready after two minutes"
    raise TimeoutError(msg)


def bare_rate(config: Path, requests: list[tuple[str, bytes | None, str | None]], n: int) -> float:
    """Measure requests per second of the pipeline itself, in batches of 16, on the inputs that reach it."""
    pipeline = fs.CharacterPipeline(config, use_cache=False)
    items = [
        Item(str(i), image, text) for i, (kind, image, text) in enumerate(requests[:n]) if kind != "too large"
    ]
    pipeline.process_batch(items[:32])
    begun = time.perf_counter()
    for start in range(0, len(items), 16):
        pipeline.process_batch(items[start : start + 16])
    return len(items) / (time.perf_counter() - begun)


def watch(pid: int, memory: list[float], done: threading.Event) -> None:
    """Record the memory of the service every five seconds."""
    while not done.wait(5):
        memory.append(tree_memory(pid))


def main() -> None:
    """Draw, serve, send requests, and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument(
        "--bare", type=int, default=1000, help="requests given to the bare pipeline, before and after"
    )
    parser.add_argument("--bombs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=11)
    arguments = parser.parse_args()
    facts = describe_machine(["facestats", "fastapi", "uvicorn", "torch", "mediapipe"])
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        config = folder / "config.yaml"
        config.write_text(CONFIG.format(data=folder / "data", attributes=ROOT / "config/attributes.yaml"))
        requests = make_requests(folder / "data/raw", arguments.requests, arguments.seed)
        bare = [bare_rate(config, requests, arguments.bare)]
        process, url = serve(config)
        memory, done = [], threading.Event()
        watcher = threading.Thread(target=watch, args=(process.pid, memory, done))
        watcher.start()
        load = Load(url, requests)
        seconds = load.run(arguments.clients)
        good = [image for kind, image, _ in requests if kind == "picture" and image is not None]
        attacked = attack(url, good, arguments.bombs)
        done.set()
        watcher.join()
        process.terminate()
        code = process.wait(30)
        bare.append(bare_rate(config, requests, arguments.bare))
    report(facts, load, seconds, bare=bare, memory=memory, exit_code=code, attacked=attacked)


def report(
    facts: dict[str, Any],
    load: Load,
    seconds: float,
    *,
    bare: list[float],
    memory: list[float],
    exit_code: int,
    attacked: tuple[float, float, set[int]],
) -> None:
    """Print and store the result; a wrong answer is an error."""
    codes: dict[str, collections.Counter[int]] = collections.defaultdict(collections.Counter)
    for kind, code, _ in load.answers:
        codes[kind][code] += 1
    reached = sum(kind != "too large" for kind, _, _ in load.answers)
    rate, pipeline = reached / seconds, statistics.median(bare)
    times = {kind: sorted(s for k, _, s in load.answers if k == kind) for kind in SHARES}
    everything = sorted(s for _, _, s in load.answers)
    tenth = max(1, len(memory) // 10)
    early, late = (
        statistics.median(memory[tenth : 3 * tenth] or memory),
        statistics.median(memory[-2 * tenth :]),
    )
    lines = [
        f"# The service under mixed load, {facts['date'][:10]}", "",
        f"{facts['machine']}; `python benchmarks/service.py --requests {len(load.answers)}`, with the clients on the same cores.", "",
        f"- {rate:.1f} requests per second reach the models; the bare pipeline does {pipeline:.1f}"
        f" ({', '.join(f'{b:.1f}' for b in bare)} before and after); ratio {rate / pipeline:.2f}",
        f"- latency: median {everything[len(everything) // 2]:.2f} s, p99 {everything[int(0.99 * len(everything))]:.2f} s",
        f"- memory of all its processes: {early:.0f} MiB at the start, {late:.0f} MiB at the end, {max(memory):.0f} MiB at most",
        f"- requests refused with 503 and Retry-After, and sent again: {load.refused}; exit code after SIGTERM: {exit_code}",
        f"- p99 of 100 honest requests in sequence: {attacked[0]:.2f} s alone, {attacked[1]:.2f} s beside"
        f" the bombs, which got the codes {sorted(attacked[2])}", "",
        "| kind | requests | codes | median s | p99 s |", "|--|--|--|--|--|",
    ]  # fmt: skip
    for kind, found in times.items():
        if found:
            told = ", ".join(f"{c or 'closed'}: {n}" for c, n in sorted(codes[kind].items()))
            lines.append(
                f"| {kind} | {len(found)} | {told} | {found[len(found) // 2]:.2f} | {found[int(0.99 * len(found))]:.2f} |"
            )
    numbers = {"rate": rate, "bare": bare, "memory": memory, "refused": load.refused}
    keep(
        "service",
        "\n".join(lines) + "\n",
        facts=facts,
        codes={k: dict(c) for k, c in codes.items()},
        **numbers,
    )
    wrong = {
        k: dict(c) for k, c in codes.items() if set(c) - WANTED[k] - ({0} if k == "too large" else set())
    }
    if wrong:
        msg = f"kinds of requests with wrong codes: {wrong}"
        raise SystemExit(msg)


if __name__ == "__main__":
    main()
