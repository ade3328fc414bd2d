"""Find a wheel in the package index that pip or uv is set to use, and read single files of it.

The settings are read from the files and environment variables of both tools, because an environment may have only one
of them, or neither.
"""

from __future__ import annotations

import base64
import configparser
import http.client
import io
import json
import netrc
import os
import re
import ssl
import sys
import tomllib
import urllib.error
import urllib.request
import zipfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

from platformdirs import site_config_path, user_config_path

if TYPE_CHECKING:
    from collections.abc import Iterator

PYPI = "https://pypi.org/simple"
SYSTEM_FOLDERS = (Path("/etc"),)
SECONDS = 20.0  # longest wait for an answer of an index
_MAX_BYTES = 200_000_000  # of a whole wheel
_BLOCK = 1 << 20  # bytes that one request for a part of a wheel asks for, at least
_JSON = "application/vnd.pypi.simple.v1+json"


@dataclass(frozen=True)
class IndexSettings:
    """Where packages come from, as pip and uv are set.

    Parameters
    ----------
    indexes
        Addresses of package indexes, the first choice first.
    links
        Folders, or addresses of pages with links to wheels.
    certificates
        File of the certificates to trust; None for those of the system.
    trusted_hosts
        Hosts whose certificates are not checked.
    """

    indexes: tuple[str, ...]
    links: tuple[str, ...] = ()
    certificates: str | None = None
    trusted_hosts: tuple[str, ...] = ()


def read_index_settings() -> IndexSettings:
    """Read the settings of uv and of pip; PyPI is the index if neither of them names another."""
    uv, pip = _uv_settings(), _pip_settings()
    main = [*uv["index"], *pip["index-url"]]
    barred = _is_on(uv["no-index"]) or _is_on(pip["no-index"])
    indexes = [] if barred else [*(main or [PYPI]), *uv["extra-index-url"], *pip["extra-index-url"]]
    return IndexSettings(
        indexes=tuple(dict.fromkeys(indexes)),
        links=tuple(dict.fromkeys([*uv["find-links"], *pip["find-links"]])),
        certificates=next(iter([*pip["cert"], *filter(None, [os.environ.get("SSL_CERT_FILE")])]), None),
        trusted_hosts=tuple(pip["trusted-host"]),
    )


def find_wheels(name: str, version: str, settings: IndexSettings) -> Iterator[tuple[str, Exception | None]]:
    """Look for the wheels of one version, whatever their platform.

    Parameters
    ----------
    name, version
        The package, such as ``mediapipe`` and ``0.10.21``.
    settings
        Where to look.

    Yields
    ------
    The address or path of a wheel and None, or a place that cannot be read and the error.
    """
    pages = [*settings.links, *(f"{index.rstrip('/')}/{name}/" for index in settings.indexes)]
    for page in pages:
        try:
            found = [link for link in _links(page, settings) if _is_wheel(link, name, version)]
        except (OSError, ValueError, http.client.HTTPException) as error:
            yield without_password(page), error
            continue
        # if the whole wheel must be read, that of x86-64 Linux is one of the smallest
        yield from (
            (link, None) for link in sorted(found, key=lambda x: "manylinux" not in x or "x86_64" not in x)
        )


@contextmanager
def open_wheel(address: str, settings: IndexSettings) -> Iterator[zipfile.ZipFile]:
    """Open a wheel of :func:`find_wheels`; only the parts that are read are fetched where the server allows it."""
    if not urlsplit(address).scheme.startswith("http"):
        with zipfile.ZipFile(_local_path(address)) as wheel:
            yield wheel
        return
    source: io.BufferedIOBase
    with request(address, settings, ask={"Range": f"bytes=-{_BLOCK}"}) as answer:
        if answer.status == 206:
            size = int(answer.headers["Content-Range"].rpartition("/")[2])
            source = io.BufferedReader(_RemoteFile(address, settings, size, answer.read(_BLOCK)), _BLOCK)
        else:  # the server sends the whole file
            source = io.BytesIO(answer.read(_MAX_BYTES))
    with source, zipfile.ZipFile(source) as wheel:
        yield wheel


def request(address: str, settings: IndexSettings, *, ask: dict[str, str]) -> Any:
    """Open an address with the certificates of `settings`, and the password in it or in the file .netrc."""
    parts = urlsplit(address)
    host = parts.hostname or ""
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if not user:
        with suppress(OSError, netrc.NetrcParseError):
            user, _, password = netrc.netrc().authenticators(host) or ("", "", "")
    plain = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment=""))
    question = urllib.request.Request(plain, headers={"User-Agent": "facestats", **ask})
    if user:  # the server may lead to another one, which must not see the password
        login = base64.b64encode(f"{user}:{password}".encode()).decode()
        question.add_unredirected_header("Authorization", f"Basic {login}")
    context = ssl.create_default_context(cafile=settings.certificates)
    if host in settings.trusted_hosts or parts.netloc.rpartition("@")[2] in settings.trusted_hosts:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        return urllib.request.urlopen(question, timeout=SECONDS, context=context)
    except urllib.error.HTTPError as error:
        error.close()
        raise


class _RemoteFile(io.RawIOBase):
    """A file on a server that answers requests for parts; its end is known already."""

    def __init__(self, address: str, settings: IndexSettings, size: int, end: bytes) -> None:
        super().__init__()
        self._address, self._settings, self._size, self._end = address, settings, size, end
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, start + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        last = min(self._at + len(buffer), self._size)
        if last <= self._at:
            return 0
        known = self._size - len(self._end)
        if self._at >= known:
            data = self._end[self._at - known : last - known]
        else:
            ask = {"Range": f"bytes={self._at}-{last - 1}"}
            with request(self._address, self._settings, ask=ask) as answer:
                data = answer.read(last - self._at)
            if answer.status != 206:
                msg = "the server stopped answering requests for parts of a file"
                raise OSError(msg)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


class _LinkParser(HTMLParser):
    """Collects the addresses of the links of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value for name, value in attrs if tag == "a" and name == "href" and value]


def _links(page: str, settings: IndexSettings) -> list[str]:
    """List the links of a page of an index (PEP 503, PEP 691), or the files of a folder."""
    if not urlsplit(page).scheme.startswith("http"):
        folder = _local_path(page)
        if folder.is_dir() and not (folder / "index.html").is_file():
            return [str(file) for file in folder.iterdir()]
        file = folder / "index.html" if folder.is_dir() else folder
        return [urljoin(file.as_uri(), link) for link in _read_links(file.read_text())]
    with request(page, settings, ask={"Accept": f"{_JSON}, text/html;q=0.5"}) as answer:
        text, is_json = answer.read(_MAX_BYTES).decode(), answer.headers.get_content_type() == _JSON
    links = [str(file["url"]) for file in json.loads(text)["files"]] if is_json else _read_links(text)
    links = [urljoin(answer.url, link) for link in links]
    return [_with_login(link, page) for link in links]


def _with_login(link: str, page: str) -> str:
    """Add the password in the address of the index to the address of a file on the same server, and to no other."""
    of_page, of_link = urlsplit(page), urlsplit(link)
    login, at, host = of_page.netloc.rpartition("@")
    same = at and (of_link.scheme, of_link.netloc) == (of_page.scheme, host)
    return urlunsplit(of_link._replace(netloc=f"{login}@{host}")) if same else link


def _read_links(text: str) -> list[str]:
    parser = _LinkParser()
    parser.feed(text)
    return parser.links


def _is_wheel(link: str, name: str, version: str) -> bool:
    file = unquote(urlsplit(link).path).rpartition("/")[2].replace("\\", "/").rpartition("/")[2]
    return file.startswith(f"{name}-{version}-") and file.endswith(".whl")


def _local_path(address: str) -> Path:
    parts = urlsplit(address)
    return (
        Path(urllib.request.url2pathname(parts.path))
        if parts.scheme == "file"
        else Path(address).expanduser()
    )


def without_password(address: str) -> str:
    """Return an address as it may stand in a message."""
    return re.sub(r"//\S*@", "//", address)  # up to the last sign: passwords may hold any


def _is_on(values: list[str]) -> bool:
    return any(v.lower() in {"1", "true", "yes", "on"} for v in values[:1])


_PIP_KEYS = ("index-url", "extra-index-url", "find-links", "no-index", "cert", "trusted-host")
_UV_KEYS = ("index", "extra-index-url", "find-links", "no-index")


def _pip_settings() -> dict[str, list[str]]:
    """Read the settings of pip: environment variables before files, and among files the nearest one first."""
    name = "pip.ini" if os.name == "nt" else "pip.conf"
    files = [
        site_config_path("pip", appauthor=False) / name,
        *(folder / name for folder in SYSTEM_FOLDERS),
        Path.home() / ("pip" if os.name == "nt" else ".pip") / name,
        Path.home() / ".config" / "pip" / name,
        user_config_path("pip", appauthor=False, roaming=True) / name,
        Path(sys.prefix) / name,
        *([Path(os.environ["PIP_CONFIG_FILE"])] if os.environ.get("PIP_CONFIG_FILE") else []),
    ]
    if os.environ.get("PIP_CONFIG_FILE") == os.devnull:  # then pip reads no file at all
        files = []
    found: dict[str, list[str]] = {key: [] for key in _PIP_KEYS}
    for file in files:
        parser = configparser.RawConfigParser()
        with suppress(OSError, configparser.Error, UnicodeDecodeError):
            parser.read_string(file.read_text())
        for section in ("global", "install", "download"):
            if parser.has_section(section):
                found |= {key: parser[section][key].split() for key in _PIP_KEYS if key in parser[section]}
    for key in _PIP_KEYS:
        if value := os.environ.get("PIP_" + key.upper().replace("-", "_")):
            found[key] = value.split()
    return found


def _uv_settings() -> dict[str, list[str]]:
    """Read the settings of uv: environment variables before the files of the user and of the system."""
    found: dict[str, list[str]] = {key: [] for key in _UV_KEYS}
    files = [
        *(folder / "uv" / "uv.toml" for folder in SYSTEM_FOLDERS),
        Path.home() / ".config" / "uv" / "uv.toml",
        user_config_path("uv", appauthor=False, roaming=True) / "uv.toml",
        *([Path(os.environ["UV_CONFIG_FILE"])] if os.environ.get("UV_CONFIG_FILE") else []),
    ]
    for file in files:
        values: dict[str, Any] = {}
        with suppress(OSError, tomllib.TOMLDecodeError, UnicodeDecodeError):
            values = tomllib.loads(file.read_text())
        values = {**values.get("pip", {}), **values}
        tables = [i for i in values.get("index", []) if isinstance(i, dict) and "url" in i]
        named = [str(i["url"]) for i in tables if i.get("default")]
        named += [str(values["index-url"])] if "index-url" in values else []
        more = [str(i["url"]) for i in tables if not i.get("default")]
        more += [str(url) for url in values.get("extra-index-url", [])]
        found["index"] = named or found["index"]
        found["extra-index-url"] = more or found["extra-index-url"]
        found["find-links"] = [str(link) for link in values.get("find-links", [])] or found["find-links"]
        found["no-index"] = [str(values["no-index"])] if "no-index" in values else found["no-index"]
    named_by = {
        "index": ("UV_DEFAULT_INDEX", "UV_INDEX_URL"),
        "extra-index-url": ("UV_INDEX", "UV_EXTRA_INDEX_URL"),
        "find-links": ("UV_FIND_LINKS",),
        "no-index": ("UV_NO_INDEX",),
    }
    for key, variables in named_by.items():
        # an index of uv may have a name: name=address
        values_ = [
            re.sub(r"^[\w.-]+=(?=\w+:)", "", v) for n in variables for v in os.environ.get(n, "").split()
        ]
        found[key] = (re.split(r",\s*", " ".join(values_)) if key == "find-links" else values_) or found[key]
        found[key] = [v for v in found[key] if v]
    return found
