"""The documentation of the service as one page of HTML, from its OpenAPI document: no script, nothing from elsewhere."""

from __future__ import annotations

from typing import Any

from facestats.core.shown_text import for_html

# a browser that reads the page loads nothing, whatever the page holds
HEADERS = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 50rem; margin: 0 auto; padding: 1rem 1.2rem 4rem; color: #1d232a; }
section { border-top: 2px solid #e3e7eb; margin-top: 2rem; }
code, pre { background: #f6f8fa; } pre { padding: .6rem .8rem; overflow-x: auto; }
table { border-collapse: collapse; } th, td { border: 1px solid #d6dbe0; padding: .2rem .5rem; text-align: left; }
"""


def draw_docs(document: dict[str, Any]) -> str:
    """Write the page: each route with its fields and its answers, and how to call it with curl."""
    about = document["info"]
    head = f"{for_html(about['title'])} {for_html(about['version'])}"
    routes = [
        _section(path, method, route, document)
        for path, methods in document["paths"].items()
        for method, route in methods.items()
    ]
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{head}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>\n'
        f"<body><h1>{head}</h1>\n<p>{for_html(about.get('summary', ''))}</p>\n<p>{for_html(about.get('description', ''))}</p>\n"
        '<p>The same for programs: <a href="openapi.json">openapi.json</a>.</p>\n'
        f"{''.join(routes)}</body></html>\n"
    )


def _section(path: str, method: str, route: dict[str, Any], document: dict[str, Any]) -> str:
    fields = _fields(route, document)
    call = f"curl{' -X POST' if method == 'post' and not fields else ''}"
    # "@" makes curl send a file
    call += "".join(f" -F {n}={'@picture.jpg' if n.startswith('image') else '...'}" for n, _, _ in fields[:1])
    key = ' -H "X-API-Key: $FACESTATS_API_KEY"' if route.get("security") else ""
    rows = "".join(
        f"<tr><td><code>{for_html(name)}</code></td><td>{for_html(kind)}</td><td>{for_html(text)}</td></tr>"
        for name, kind, text in fields
    )
    table = f"<table><tr><th>field</th><th>type</th><th>meaning</th></tr>{rows}</table>" if rows else ""
    answers = "".join(
        f"<li><b>{for_html(code)}</b>: {for_html(answer.get('description', ''))}</li>"
        for code, answer in route["responses"].items()
    )
    return (
        f"<section><h2><code>{for_html(method.upper())} {for_html(path)}</code></h2>\n"
        f"<p>{for_html(route.get('description', ''))}</p>\n{table}\n"
        f"<pre>{for_html(call + key)} http://127.0.0.1:8000{for_html(path)}</pre>\n<ul>{answers}</ul></section>\n"
    )


def _fields(route: dict[str, Any], document: dict[str, Any]) -> list[tuple[str, str, str]]:
    """List name, type and meaning of the fields of a form."""
    content = route.get("requestBody", {}).get("content", {})
    found: dict[str, Any] = {}
    for form in content.values():
        schema = form.get("schema", {})
        for part in (schema, *schema.get("allOf", ()), *schema.get("anyOf", ())):
            found |= _resolve(part, document).get("properties", {})
    return [(name, _kind(field, document), field.get("description", "")) for name, field in found.items()]


def _kind(field: dict[str, Any], document: dict[str, Any]) -> str:
    field = _resolve(field, document)
    if choices := field.get("anyOf"):
        return " or ".join(k for k in (_kind(choice, document) for choice in choices) if k != "null")
    if field.get("type") == "array":
        return f"list of {_kind(field.get('items', {}), document)}"
    is_file = field.get("format") == "binary" or "contentMediaType" in field
    return "file" if is_file else str(field.get("type", "any"))


def _resolve(part: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in part:
        return part
    found: Any = document
    for name in part["$ref"].removeprefix("#/").split("/"):
        found = found[name]
    return _resolve(found, document)
