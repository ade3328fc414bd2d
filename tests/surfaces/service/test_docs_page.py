"""The documentation of the service is complete, and fetches nothing from other machines."""

from __future__ import annotations

import re

import pytest

pytest.importorskip("fastapi", reason="the service is an extra: pip install 'facestats[service]'")

from fastapi.testclient import TestClient

from facestats.surfaces.service import api
from facestats.surfaces.service.docs_page import draw_docs
from tests.fetched import fetched_addresses
from tests.surfaces.service.test_api import make


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    # without a start, because no models are needed for the documentation
    return TestClient(api.create_app(make(tmp_path_factory.mktemp("docs")), api_key="secret"))


def test_the_documentation_of_the_service_fetches_nothing(client):
    page = client.get("/docs")
    assert page.status_code == 200
    assert fetched_addresses(page.text) == set()
    assert "script" not in page.text
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    assert client.get("/redoc").status_code == 404


def test_the_documentation_names_every_route_field_and_answer(client):
    document = client.get("/openapi.json").json()
    page = client.get("/docs").text
    for path, methods in document["paths"].items():
        for method, route in methods.items():
            assert f"{method.upper()} {path}<" in page
            assert all(f"<b>{code}</b>" in page for code in route["responses"])
    for field in ("image", "text", "scores", "images", "texts"):
        assert re.search(rf"<td><code>{field}</code></td><td>[^<]+</td>", page), field
    assert "X-API-Key" in page


def test_texts_of_the_document_are_escaped():
    hostile = "<img src=x onerror=alert(1)>"
    route = {"description": hostile, "responses": {hostile: {"description": hostile}}}
    document = {"info": {"title": hostile, "version": hostile}, "paths": {hostile: {hostile: route}}}
    assert "<img" not in draw_docs(document)
