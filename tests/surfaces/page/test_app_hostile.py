"""The page gets malicious requests, and files that were chosen by mistake."""

from __future__ import annotations

import io
import json
import struct
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from facestats.testing import draw_faces

EVIL = "<img src=x onerror=alert(1)>"


def picture(size=(40, 40), kind="PNG"):
    """A picture in one grey; it holds no face."""
    stream = io.BytesIO()
    Image.new("RGB", size, (90, 90, 90)).save(stream, kind)
    return stream.getvalue()


def bomb(side=30_000):
    """A valid PNG of black pixels, 1 bit each: 0.1 MB that decode to 900 megapixels."""
    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(1000 * (side // 8 + 1))) for _ in range(side // 1000))
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)), (b"IDAT", rows + packer.flush()))
    parts = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in (*chunks, (b"IEND", b""))
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"plain text", "The file is text; accepted are JPEG"),
        (b"", "File has 0 bytes"),
        (f"<html>{EVIL}".encode(), "The file is an HTML page"),
        (b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", "The file is an SVG drawing"),
        (b"%PDF-1.7", "The file is a PDF document"),
        (b"PK\3\4" + bytes(60), "The file is a zip archive"),
        (b"\x7fELF" + bytes(60), "The file is a program"),
        (bytes(4) + b"JXL " + bytes(60), "accepted are JPEG"),
        (b"%!PS-Adobe-3.0", "The file is a PostScript file"),
        (picture()[:60], "The picture ends early"),
        (picture(kind="JPEG")[:300], "The picture"),
        (picture((4, 4)), "4x4 pixels, the shorter side needs 16"),
        (picture(), "No face"),
        (bomb(), "The picture has more than 178 MP, limit 50 MP; scale it down."),
    ],
    ids=lambda value: value[:24] if isinstance(value, str) else "",
)
def test_a_picture_that_cannot_be_used_is_a_sentence(visitor, content, sentence):
    status, (face, shown, answer), error = visitor.ask("label.click", visitor.upload(content), "")
    assert (status, error, face) == (200, None, None)
    assert sentence in shown.partition("</p>")[0]
    assert not visitor.leaks(shown + answer)
    assert "/tmp" not in shown + answer


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "Add a picture"),
        (" \t\n", "Add a picture"),
        ("x" * 5_001, "at most 5,000 characters here; this one has 5,001"),
        (EVIL * 100, None),
        ("an old\0 man", None),
        ("an \ud800 old man \udfff", None),
        ("\u202e\x1b[31m old \U0001f9d3", None),
        ("x" * 5_000, None),
    ],
)
def test_texts_of_every_kind_get_an_answer_or_a_sentence(visitor, text, error):
    status, answer, said = visitor.ask("label.click", None, text)
    assert (status, said) == (200, None)
    assert "<img" not in json.dumps(answer)
    assert (error or "</p>") in answer[1]
    assert ("fs-error" in answer[1]) == (error is not None)
    if text.strip():  # an empty search shows all faces
        status, answer, said = visitor.ask("query.submit", text, *[""] * visitor.n_filters)
        assert status == 200
        assert answer if error is None else error in said


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    values=st.lists(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
            lambda inner: (
                st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
            ),
            max_leaves=6,
        ),
        max_size=4,
    ),
    event=st.sampled_from(["label.click", "query.submit", "average.click"]),
)
def test_any_json_is_answered_and_the_page_goes_on(visitor, values, event):
    status, answer, error = visitor.ask(event, *values)
    assert status in {200, 400, 422}
    assert not visitor.leaks(json.dumps([answer, error]))
    assert visitor.http.get("/config").status_code == 200


@pytest.mark.parametrize(
    "body", [b"", b"[", b"null", b"[" * 100_000, b'{"data": ' + b" " * 2_000_000 + b"1}"]
)
def test_a_body_that_is_no_request_is_refused(visitor, body):
    headers = {"Content-Type": "application/json"}
    response = visitor.http.post("/gradio_api/queue/join", content=body, headers=headers)
    assert response.status_code in {400, 413, 422}
    assert not visitor.leaks(response.text)


@pytest.mark.parametrize(
    "name", ["../../etc/cron.d/x.png", "/etc/x.png", "C:\\x.png", EVIL, "a\u202egnp.exe", "x" * 5000, ".png"]
)
def test_a_file_name_leads_nowhere(visitor, name):
    response = visitor.http.post("/gradio_api/upload", files={"files": (name, picture())})
    assert response.status_code in {200, 400, 413}
    if response.status_code == 200:
        (path,) = response.json()
        assert Path(path).resolve().is_relative_to(visitor.uploads)
        assert "<" not in Path(path).name


def test_what_was_uploaded_never_runs_in_the_browser(visitor):
    for name in ("x.html", "x.svg", "x.js", "x.xhtml"):
        path = visitor.upload(f"<html>{EVIL}".encode(), name)["path"]
        response = visitor.http.get(f"/gradio_api/file={path}")
        assert response.headers["content-disposition"].startswith("attachment")
        assert "html" not in response.headers["content-type"]


def test_uploads_that_are_too_large_or_break_off_leave_nothing(visitor):
    def body(n, *, fail=False):
        yield b'--b\r\nContent-Disposition: form-data; name="files"; filename="x.png"\r\n\r\n'
        for _ in range(n):
            yield bytes(500_000)
        if fail:
            msg = "the visitor leaves"
            raise ConnectionError(msg)
        yield b"\r\n--b--\r\n"

    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    before = set(visitor.uploads.iterdir())
    begun = time.monotonic()
    refused = visitor.http.post("/gradio_api/upload", files={"files": ("x.png", bytes(100_000_000))})
    assert (refused.status_code, "20,000,000 bytes" in refused.text) == (413, True)
    # without a length; then with a few files that are too large together
    refused = visitor.http.post("/gradio_api/upload", content=body(60), headers=headers)
    assert refused.status_code == 413
    refused = visitor.http.post(
        "/gradio_api/upload", files=[("files", (f"{i}.png", bytes(3_000_000))) for i in range(8)]
    )
    assert refused.status_code == 413
    assert time.monotonic() - begun < 20
    with pytest.raises(ConnectionError):
        visitor.http.post("/gradio_api/upload", content=body(10, fail=True), headers=headers)
    time.sleep(0.5)
    assert set(visitor.uploads.iterdir()) == before
    assert visitor.ask("label.click", visitor.upload(b"x"), "")[0] == 200


def test_many_visitors_get_their_own_answers_or_are_told_to_wait(visitor, project, tmp_path):
    draw_faces(tmp_path, n_faces=6, seed=7)
    pictures = [path.read_bytes() for path in sorted(tmp_path.glob("*.png"))]
    ages = ["child", "elderly", "child"]

    def visit(i):
        if i % 2:
            status, answer, error = visitor.ask("label.click", None, f"number {i} is {ages[i % 3]}")
        else:
            status, answer, error = visitor.ask("label.click", visitor.upload(pictures[i % 6]), "")
        return i, status, answer, error

    with ThreadPoolExecutor(60) as pool:
        visits = list(pool.map(visit, range(120)))
    served = [(i, answer) for i, status, answer, _ in visits if status == 200]
    assert {status for _, status, _, _ in visits} <= {200, 503}
    assert len(served) >= 32
    for i, (_, _, answer) in served:
        expected = project.process_image(pictures[i % 6]) if i % 2 == 0 else None
        age = expected.attributes["age"].value if expected else ages[i % 3]
        assert json.loads(answer)["attributes"]["Age"] == age
    assert all("queue" in error.lower() for _, status, _, error in visits if status == 503)


def test_a_failing_model_is_a_sentence(project, gr, monkeypatch):
    from facestats.surfaces.page.app import _errors_as_messages

    for error in (
        RuntimeError("CUDA: /home/me"),
        KeyError("x"),
        PermissionError(13, "denied", "/home/me"),
        FileNotFoundError(2, "No usable temporary directory found in ['/home/me']"),
        OSError("no room in /home/me"),
    ):
        with pytest.raises(gr.Error) as caught, _errors_as_messages():
            raise error
        assert "/home" not in caught.value.message
        assert caught.value.message.endswith(".")
