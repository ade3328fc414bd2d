"""A small Hugging Face hub on the loopback address: what huggingface_hub needs to find and download models.

It can break connections. huggingface_hub reads its environment when it is imported, so its client runs in a process of
its own, with :meth:`SmallHub.environment`.
"""

import hashlib
import http.server
import json
import os
import socket
import struct
import threading
from pathlib import Path
from urllib.parse import unquote, urlsplit


class SmallHub:
    """A hub of folders; use it as a context.

    `revisions` maps a repository to its revisions, and each of them (a branch or tag) to a folder; the commit is a hash
    of that folder. `breaks` maps the name of a file to the faults of its next downloads: after how many bytes the
    connection ends, and whether by a reset. `requests` lists method, path and range of what was asked.
    """

    def __init__(self, revisions):
        self.revisions = {
            repo: {name: (commit_of(folder), folder) for name, folder in named.items()}
            for repo, named in revisions.items()
        }
        self.breaks, self.requests = {}, []

    def __enter__(self):
        handler = type("Handler", (_Handler,), {"hub": self})
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def environment(self, home):
        """Return the environment of a client that knows only this hub, with an empty or earlier cache in `home`."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("HF_")}
        address = f"http://127.0.0.1:{self.server.server_port}"
        return {**kept, "HF_HOME": str(home), "HF_ENDPOINT": address, "NO_PROXY": "127.0.0.1"}

    def find(self, repo, revision):
        """Return commit and folder of a revision, or None."""
        named = self.revisions[repo]
        return named.get(revision) or next((both for both in named.values() if both[0] == revision), None)

    def downloads(self, file):
        """Return the ranges of the downloads of a file, in their order; None for the whole file."""
        return [part for method, path, part in self.requests if method == "GET" and path.endswith(f"/{file}")]


def commit_of(folder):
    digest = hashlib.sha1()
    for file in sorted(Path(folder).iterdir()):
        digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()


class _Handler(http.server.BaseHTTPRequestHandler):
    hub: SmallHub

    def do_GET(self):
        path = unquote(urlsplit(self.path).path).strip("/")
        self.hub.requests.append((self.command, path, self.headers.get("Range")))
        path = path.removeprefix("api/").removeprefix("models/").removeprefix("datasets/")
        repo = "/".join(path.split("/")[:2])
        kind, _, rest = path.removeprefix(repo).strip("/").partition("/")
        revision, _, name = rest.partition("/")
        if repo not in self.hub.revisions:
            self._refuse("RepoNotFound")
        elif (found := self.hub.find(repo, revision or "main")) is None:
            self._refuse("RevisionNotFound")
        elif kind in {"", "revision"}:
            files = [{"rfilename": file.name} for file in found[1].iterdir()]
            self._send_json({"id": repo, "sha": found[0], "siblings": files})
        elif kind == "tree" and not name:
            files = [{"path": f.name, "size": f.stat().st_size, "oid": _hash(f)} for f in found[1].iterdir()]
            self._send_json([{"type": "file", **file} for file in files])
        elif not (found[1] / name).is_file():
            self._refuse("EntryNotFound")
        else:
            self._send_file(found[0], found[1] / name)

    def do_HEAD(self):
        self.do_GET()

    def _send_file(self, commit, file):
        content = file.read_bytes()
        asked = self.headers.get("Range")
        first, _, last = (asked or "bytes=0-").removeprefix("bytes=").partition("-")
        start, end = int(first), min(int(last or len(content)) + 1, len(content))
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(content)}")
        self.send_header("ETag", f'"{_hash(file)}"')
        self.send_header("X-Repo-Commit", commit)
        self.send_header("Content-Length", str(end - start))
        self.end_headers()
        if self.command == "HEAD":
            return
        faults = self.hub.breaks.get(file.name)
        n_bytes, reset = faults.pop(0) if faults else (len(content), False)
        self.wfile.write(content[start : min(start + n_bytes, end)])
        if reset:  # closing the socket with this option resets the connection
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()

    def _refuse(self, code):
        self.send_response(404)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send_json(self, value):
        content = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


def _hash(file):
    return hashlib.sha1(file.read_bytes()).hexdigest()
