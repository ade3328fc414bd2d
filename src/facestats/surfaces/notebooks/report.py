"""One page from the executed notebooks: the results first, then prose, tables and pictures, without code.

The page loads nothing from the network.
"""

from __future__ import annotations

import logging
from functools import lru_cache
from typing import TYPE_CHECKING

from facestats.core.atomic_write import write_atomically
from facestats.core.shown_text import for_html
from facestats.store.store import Store
from facestats.surfaces.notebooks.executed_copies import read_copy
from facestats.surfaces.notebooks.summary import Executed, summarize
from facestats.surfaces.temporary import temporary_log_level

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from nbformat import NotebookNode

REPORT = "index.html"
_MAP = "00"  # number of the notebook that draws the map of the code and of the tables
_STYLE = """
:root { color-scheme: light; }
body { margin: 0; font: 16px/1.55 system-ui, sans-serif; color: #1d232a; background: #fff; }
nav { position: sticky; top: 0; background: #f6f8fa; border-bottom: 1px solid #d6dbe0; padding: .6rem 1.2rem; z-index: 2; }
nav a { margin-right: 1rem; color: #0b5394; text-decoration: none; white-space: nowrap; }
main { max-width: 60rem; margin: 0 auto; padding: 1rem 1.2rem 4rem; }
section { border-top: 3px solid #e3e7eb; margin-top: 3rem; scroll-margin-top: 3.5rem; }
section:first-child { border-top: 0; margin-top: 0; }
img { max-width: 100%; height: auto; }
.jp-RenderedHTMLCommon table, table { border-collapse: collapse; font-size: .86rem; margin: .6rem 0; }
th, td { border: 1px solid #d6dbe0; padding: .2rem .5rem; text-align: left; max-width: 26rem; overflow-wrap: anywhere; }
#results th, #results td { overflow-wrap: break-word; }
.wide, .output_html, .output_area, .jp-OutputArea-output { overflow-x: auto; }
pre { background: #f6f8fa; padding: .6rem .8rem; overflow-x: auto; font-size: .82rem; }
.failed pre { background: #fdecea; }
.earlier { background: #fff4d6; border-left: 4px solid #b7791f; padding: .6rem .8rem; }
a.anchor-link { display: none; }
@media (max-width: 50rem) { nav { overflow-x: auto; white-space: nowrap; } }
"""
_EARLIER = (
    '<p class="earlier">From an earlier run: the last run ended with {}. The results below may come from other'
    " pictures, tables or settings than those above.</p>\n"
)


def write_report(folder: Path, *, last: str = "", notes: Sequence[str] = ()) -> Path:
    """Write one page from the executed notebooks in `folder`: a summary, the notebooks, and last the map of the code.

    Parameters
    ----------
    folder
        Folder of the executed notebooks, inside the data folder, whose tables the summary reads.
    last
        File name of the notebook that was run last; later ones are marked as results of an earlier run. Empty: none
        is marked. A damaged copy is left out.
    notes
        Sentences about this run that stand on top.

    Returns
    -------
    The page, ``index.html`` in `folder`.
    """
    executed = read_executed(folder, last=last)
    summary = summarize(
        executed, Store(folder.parent), notes
    )  # before widgets and progress bars are taken out
    sections, links = [f'<section id="results">\n{summary}\n</section>'], ['<a href="#results">Results</a>']
    for one in executed:
        failed = any(o.output_type == "error" for c in one.notebook.cells for o in c.get("outputs", []))
        kind = ' class="failed"' if failed else ""
        note = _EARLIER.format(for_html(last.removesuffix(".ipynb"))) if one.is_earlier else ""
        sections.append(f'<section id="{one.file.stem}"{kind}>\n{note}{render(one.file)}\n</section>')
        title = for_html(one.name) + " (earlier run)" * one.is_earlier
        links.append(f'<a href="#{one.file.stem}">{title}</a>')
    page = (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>facestats report</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>\n'
        f"<body><nav>{' '.join(links)}</nav>\n<main>\n{''.join(sections)}\n</main></body></html>\n"
    )
    return write_atomically(folder / REPORT, page)


def read_executed(folder: Path, *, last: str = "") -> list[Executed]:
    """Read the executed notebooks in `folder`, in the order of the flow; those after `last` are of an earlier run.

    A damaged copy is left out.
    """
    paths = sorted(folder.glob("[0-9][0-9]_*.ipynb"), key=lambda path: flow_order(path.name))
    return [
        Executed(path, notebook, bool(last) and flow_order(path.name) > flow_order(last))
        for path in paths
        if (notebook := read_copy(path)) is not None
    ]


def flow_order(name: str) -> tuple[bool, str]:
    """Return the place of a notebook, by its file name: the map of the code (00) comes last, when all tables are made."""
    return name.startswith(_MAP), name


def render(file: Path) -> str:
    """Turn an executed notebook into HTML; a file that has not changed since is not rendered again."""
    about = file.stat()
    return _render(file, about.st_mtime_ns, about.st_size)


@lru_cache(maxsize=32)
def _render(file: Path, _time: int, _size: int) -> str:
    from nbconvert import HTMLExporter
    from traitlets.config import Config

    notebook = read_copy(file)
    if notebook is None:
        return ""
    notebook.metadata.pop("widgets", None)  # the state of widgets would load scripts from the network
    for cell in notebook.cells:
        # progress bars tell a reader nothing, and widgets need their kernel
        keep = [o for o in cell.get("outputs", []) if not _is_progress(o)]
        if "outputs" in cell:
            cell.outputs = keep
    settings = Config({"HTMLExporter": {"exclude_input": True, "exclude_output_prompt": True}})
    with temporary_log_level("traitlets", logging.ERROR):  # it warns that figures have no alternative texts
        body, _ = HTMLExporter(template_name="basic", config=settings).from_notebook_node(notebook)
    return body


def _is_progress(output: NotebookNode) -> bool:
    if "application/vnd.jupyter.widget-view+json" in output.get("data", {}):
        return True
    marks = ("it/s", "row/s", "s/row", "s/it")
    return output.output_type == "stream" and output.name == "stderr" and any(m in output.text for m in marks)
