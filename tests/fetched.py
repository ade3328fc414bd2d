"""What a browser would fetch to show a page."""

import re
from html.parser import HTMLParser

_STYLED = re.compile(r"(?:url\(|@import)\s*[\"']?\s*((?:https?:)?//[^\"')\s]+)")


class _Fetched(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = set()

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        sources = [given.get(name) for name in ("src", "srcset", "poster", "data", "background")]
        if tag == "link" and given.get("rel") not in {"canonical", "license"}:
            sources.append(given.get("href"))
        if tag == "base":
            sources.append(given.get("href"))
        self.found |= {s for s in sources if s and re.match(r"\s*(https?:)?//", s)}
        self.handle_data(given.get("style") or "")

    def handle_data(self, data):
        self.found |= set(_STYLED.findall(data))


def fetched_addresses(page):
    """Return the addresses of other machines from which a browser would fetch something for this page."""
    parser = _Fetched()
    parser.feed(page)
    return parser.found
