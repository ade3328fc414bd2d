"""Where the networks come from: cache, package index, path; all indexes here are made on the spot."""

import base64
import functools
import hashlib
import http.server
import json
import multiprocessing
import os
import sys
import threading
import zipfile
from pathlib import Path

import pytest

from facestats.core.config import FacesSettings
from facestats.core.protocols import ModelError
from facestats.models import local_only, network_files, package_index
from facestats.models.landmarks import FaceMesh, landmarker
from facestats.models.network_files import FACEMESH, OFFICIAL, networks_hash, read_networks
from tests.conftest import DATA

BUNDLE = DATA / "models/face_landmarker.task"
WHEEL = "mediapipe-0.10.21-cp311-cp311-manylinux_2_28_x86_64.whl"
VARIABLES = ("PIP_", "UV_", "HF_HUB_OFFLINE", "SSL_CERT_FILE")
needs_bundle = pytest.mark.skipif(not BUNDLE.is_file(), reason=f"the official bundle is not at {BUNDLE}")


@pytest.fixture(scope="session")
def networks():
    """The three networks, from the cache of this machine."""
    return {FACEMESH.files[role]: content for role, content in read_networks(FACEMESH).items()}


@pytest.fixture
def alone(monkeypatch, tmp_path):
    """Settings of pip and uv, and a cache, that are those of the test alone."""
    for name in [n for n in os.environ if n.startswith(VARIABLES)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_CONFIG_DIRS", str(tmp_path / "site"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(package_index, "SYSTEM_FOLDERS", (tmp_path / "etc",))
    return monkeypatch


def write_wheel(folder, networks, name=WHEEL):
    """A wheel that holds the networks where mediapipe has them, and much else."""
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("mediapipe/python/library.so", os.urandom(12_000_000), compress_type=zipfile.ZIP_STORED)
        for network, content in networks.items():
            file.writestr(f"mediapipe/modules/{network.removesuffix('.tflite')}/{network}", content)
    return folder / name


class Index(http.server.SimpleHTTPRequestHandler):
    """A package index that writes down what was asked and how many bytes of a wheel it sent."""

    answers_ranges, is_json, password, elsewhere = True, False, "", ""
    log: list
    logins: list

    def do_GET(self):
        sent = self.headers.get("Authorization", "").removeprefix("Basic ")
        self.logins.append(sent)
        if self.password and base64.b64decode(sent).decode() != self.password:
            self.send_error(401)
            return
        path = Path(self.translate_path(self.path))
        if self.elsewhere and not path.is_dir():
            self.send_response(302)
            self.send_header("Location", f"http://{self.elsewhere}{self.path}")
            self.end_headers()
            return
        if path.is_dir():
            names = [p.name for p in Path(self.directory).glob("*.whl")]
            files = {"files": [{"filename": n, "url": f"/{n}#sha256=0"} for n in names]}
            links = "".join(f'<a href="../../{n}#sha256=0">{n}</a>' for n in names)
            kind = "application/vnd.pypi.simple.v1+json" if self.is_json else "text/html"
            self.reply(200, (json.dumps(files) if self.is_json else links).encode(), kind)
            return
        content, asked = path.read_bytes(), self.headers.get("Range")
        if not asked or not self.answers_ranges:
            self.reply(200, content, "application/zip")
            return
        first, _, last = asked.removeprefix("bytes=").partition("-")
        start = int(first) if first else max(0, len(content) - int(last))
        end = min(int(last) + 1, len(content)) if first else len(content)
        self.reply(206, content[start:end], "application/zip", f"bytes {start}-{end - 1}/{len(content)}")

    def reply(self, code, body, kind, content_range=""):
        self.log.append(len(body))
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if content_range:
            self.send_header("Content-Range", content_range)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def serve(tmp_path):
    """Start an index over a folder; returns its address without a scheme, and the bytes of each answer."""
    servers = []

    def start(**features):
        log = []
        handler = type("Handler", (Index,), {"logins": [], **features, "log": log})
        place = functools.partial(handler, directory=str(tmp_path / "wheels"))
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), place)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"127.0.0.1:{server.server_port}/simple", log

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def is_complete():
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in stored()} == FACEMESH.cached


def stored():
    return list(network_files.cache_folder().glob("*.tflite"))


@pytest.mark.parametrize("is_json", [False, True])
def test_an_index_that_answers_ranges_sends_little_more_than_the_networks(
    alone, tmp_path, networks, serve, is_json
):
    write_wheel(tmp_path / "wheels", networks)
    (tmp_path / "wheels/simple/mediapipe").mkdir(parents=True)
    address, log = serve(is_json=is_json)
    alone.setenv("PIP_INDEX_URL", f"http://{address}")
    assert {FACEMESH.files[r]: c for r, c in read_networks(FACEMESH).items()} == networks
    assert is_complete()
    assert sum(log) < 8_000_000
    n = len(log)
    read_networks(FACEMESH)
    assert len(log) == n, "what is in the cache is not asked for again"


def test_an_index_without_ranges_sends_the_whole_wheel(alone, tmp_path, networks, serve):
    write_wheel(tmp_path / "wheels", networks)
    (tmp_path / "wheels/simple/mediapipe").mkdir(parents=True)
    address, log = serve(answers_ranges=False)
    alone.setenv("UV_DEFAULT_INDEX", f"http://{address}")
    read_networks(FACEMESH)
    assert is_complete()
    assert len(log) == 2


def test_the_password_in_an_address_is_used_and_never_told(alone, tmp_path, networks, serve):
    write_wheel(tmp_path / "wheels", networks)
    (tmp_path / "wheels/simple/mediapipe").mkdir(parents=True)
    address, _ = serve(password="ann:secret/1")
    alone.setenv("UV_DEFAULT_INDEX", f"http://ann:wrong@{address}")
    with pytest.raises(ModelError, match="401") as error:
        read_networks(FACEMESH)
    assert "wrong" not in str(error.value)
    alone.setenv("UV_DEFAULT_INDEX", f"http://ann:secret%2F1@{address}")
    read_networks(FACEMESH)
    assert is_complete()


def test_a_password_is_not_sent_to_the_server_that_an_index_leads_to(alone, tmp_path, networks, serve):
    write_wheel(tmp_path / "wheels", networks)
    (tmp_path / "wheels/simple/mediapipe").mkdir(parents=True)
    logins = []
    other = serve(logins=logins)[0].removesuffix("/simple")
    address, _ = serve(password="ann:secret", elsewhere=other)
    alone.setenv("UV_DEFAULT_INDEX", f"http://ann:secret@{address}")
    read_networks(FACEMESH)
    assert is_complete()
    assert set(logins) == {""}


@pytest.mark.parametrize("way", ["pip.conf", "uv.toml", "folder", "page", "index"])
def test_files_and_folders_of_this_machine_are_indexes_too(alone, tmp_path, networks, way):
    wheel = write_wheel(tmp_path / "some wheels", networks)
    page = tmp_path / "index/mediapipe/index.html"
    page.parent.mkdir(parents=True)
    page.write_text(f'<a href="{wheel.as_uri()}">{wheel.name}</a>')
    if way == "pip.conf":
        (tmp_path / "home/.config/pip").mkdir(parents=True)
        (tmp_path / "home/.config/pip/pip.conf").write_text(
            f"[global]\nno-index = true\nfind-links = {wheel.parent.as_uri()}\n"
        )
    elif way == "uv.toml":
        (tmp_path / "config/uv").mkdir(parents=True)
        index = f'[[index]]\nurl = "{page.parents[1].as_uri()}"\ndefault = true\n'
        (tmp_path / "config/uv/uv.toml").write_text(index)
    else:
        alone.setenv("PIP_NO_INDEX" if way != "index" else "PIP_TIMEOUT", "1")
        places = {"folder": wheel.parent.as_uri(), "page": page.as_uri(), "index": page.parents[1].as_uri()}
        alone.setenv("PIP_INDEX_URL" if way == "index" else "PIP_FIND_LINKS", places[way])
    read_networks(FACEMESH)
    assert is_complete()


def test_pypi_is_asked_only_if_neither_tool_names_an_index(alone):
    assert package_index.read_index_settings().indexes == (package_index.PYPI,)
    alone.setenv("UV_INDEX", "inner=https://one.example/simple https://two.example/simple")
    alone.setenv("PIP_EXTRA_INDEX_URL", "https://three.example/simple")
    first, *others = package_index.read_index_settings().indexes
    assert first == package_index.PYPI
    assert others == [f"https://{n}.example/simple" for n in ("one", "two", "three")]
    alone.setenv("PIP_INDEX_URL", "https://mine.example/simple")
    assert package_index.read_index_settings().indexes[0] == "https://mine.example/simple"
    alone.setenv("PIP_NO_INDEX", "true")
    assert package_index.read_index_settings().indexes == ()


def test_a_file_that_is_not_the_published_one_is_refused_and_the_next_place_is_asked(
    alone, tmp_path, networks
):
    name = FACEMESH.files["mesh"]
    bad = write_wheel(tmp_path / "bad", {**networks, name: networks[name][:-1] + b"x"})
    alone.setenv("PIP_NO_INDEX", "1")
    alone.setenv("PIP_FIND_LINKS", str(bad.parent))
    with pytest.raises(ModelError, match=f"{name} is not the published file"):
        read_networks(FACEMESH)
    assert stored() == []
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / WHEEL).write_bytes(bad.read_bytes()[:1000])
    good = write_wheel(tmp_path / "good", networks)
    alone.setenv("PIP_FIND_LINKS", f"{bad.parent} {tmp_path / 'cut'} {tmp_path / 'gone'} {good.parent}")
    read_networks(FACEMESH)
    assert is_complete()


def test_a_damaged_file_in_the_cache_is_fetched_again(alone, tmp_path, networks):
    alone.setenv("PIP_NO_INDEX", "1")
    alone.setenv("PIP_FIND_LINKS", str(write_wheel(tmp_path / "wheels", networks).parent))
    read_networks(FACEMESH)
    stored()[0].write_bytes(b"half")
    read_networks(FACEMESH)
    assert is_complete()


def test_without_network_the_message_names_every_way(alone, tmp_path):
    alone.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelError, match="HF_HUB_OFFLINE is set") as error:
        FaceMesh().folder  # noqa: B018
    for way in (
        "facestats fetch",
        "pip download mediapipe==0.10.21",
        "faces.networks",
        str(tmp_path / "cache"),
    ):
        assert way in str(error.value)
    alone.delenv("HF_HUB_OFFLINE")
    with local_only(), pytest.raises(ModelError, match="nothing is fetched now"):
        FaceMesh().folder  # noqa: B018
    alone.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(ModelError, match="Ways to get them"):
        FaceMesh().folder  # noqa: B018


def fetch_at_once(_):
    return len(read_networks(FACEMESH))


def test_of_several_processes_one_fetches(alone, tmp_path, networks, serve):
    write_wheel(tmp_path / "wheels", networks)
    (tmp_path / "wheels/simple/mediapipe").mkdir(parents=True)
    address, log = serve(answers_ranges=False)
    alone.setenv("PIP_INDEX_URL", f"http://{address}")
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        assert pool.map(fetch_at_once, range(3)) == [3] * 3
    assert len(log) == 2
    assert is_complete()
    assert [p.name for p in network_files.cache_folder().glob(".*")] == []


def test_a_folder_a_wheel_and_a_bundle_can_be_given(tmp_path, networks):
    wheel = write_wheel(tmp_path, networks)
    for name, content in networks.items():
        (tmp_path / name).write_bytes(content)
    names = {FaceMesh(networks=path).name for path in (tmp_path, wheel, None)}
    assert len(names) == 1
    assert FaceMesh(networks=wheel).folder == wheel
    (tmp_path / FACEMESH.files["iris"]).write_bytes(b"another network")
    assert FaceMesh(networks=tmp_path).name not in names
    (tmp_path / FACEMESH.files["iris"]).unlink()
    for path in (tmp_path, tmp_path / "gone", tmp_path / FACEMESH.files["mesh"]):
        with pytest.raises(ModelError, match="faces.networks"):
            FaceMesh(networks=path).name  # noqa: B018


@needs_bundle
def test_the_official_bundle_has_one_name_wherever_it_lies():
    assert networks_hash(OFFICIAL, BUNDLE) == networks_hash(OFFICIAL)
    given = landmarker(FacesSettings(landmarker=str(BUNDLE)))
    assert given.name == FaceMesh(landmarker="official").name
    assert hashlib.sha256(BUNDLE.read_bytes()).hexdigest() in OFFICIAL.cached.values()


def test_the_settings_of_an_environment_are_read_too(alone, tmp_path):
    alone.setattr(sys, "prefix", str(tmp_path))
    (tmp_path / "pip.conf").write_text(
        "[install]\nindex-url = https://venv.example/simple\ntrusted-host = venv.example\n"
    )
    found = package_index.read_index_settings()
    assert (found.indexes, found.trusted_hosts) == (("https://venv.example/simple",), ("venv.example",))
