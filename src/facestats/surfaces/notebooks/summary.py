"""The first section of the report: what came out, what failed and why, how far to trust the labels, and where all lies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

import facestats as fs
from facestats.core.display import count_of
from facestats.core.label_columns import label_names
from facestats.core.shown_text import for_html
from facestats.core.tables import KEY, TableError
from facestats.store import StoreError
from facestats.surfaces.notebooks.early_end import reason_of_end

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from pathlib import Path

    from nbformat import NotebookNode

TAG = "summary"  # of cells whose results the summary shows
N_EXAMPLES, N_LABELS = 3, 3
_OK = ("ok", "ok_first_frame")
_EARLIER = " (from an earlier run)"
_SOURCES = {
    "image": "the prompts",
    "probe": "the probe that learned from people",
    "text": "the captions",
    "human": "people",
}


@dataclass(frozen=True)
class Executed:
    """An executed notebook: its file, its content, and whether an earlier run left it behind."""

    file: Path
    notebook: NotebookNode
    is_earlier: bool = False

    @property
    def name(self) -> str:
        """Its name as a reader sees it: ``07 clusters``."""
        return self.file.stem.replace("_", " ")

    @property
    def link(self) -> str:
        """A link to its section of the page."""
        mark = _EARLIER if self.is_earlier else ""
        return f'<a href="#{self.file.stem}">{for_html(self.name)}</a>{mark}'


def summarize(executed: Sequence[Executed], store: fs.Store, notes: Sequence[str] = ()) -> str:
    """Write the summary as HTML.

    Parameters
    ----------
    executed
        The notebooks of the report, in the order of the flow.
    store
        The tables of the project; those that are missing are named, and nothing is made up in their place.
    notes
        Sentences about this run that stand on top: what is stale, and which labels have another source than before.

    Returns
    -------
    The content of a section; all names and texts are escaped, and nothing is loaded from the network.
    """
    states = {row["table"]: row["state"] for row in store.status().iter_rows(named=True)}
    parts = [
        "<h1>Results</h1>",
        *(_say(note) for note in notes),
        *_or_why_not(_pictures, store, states),
        *_not_made(executed),
        *_or_why_not(_labels, store, states),
        *_or_why_not(_ratings, store, states),
        *_toy_models(executed),
        *(part for one in executed for part in _tagged(one)),
        *_links(executed, store, states),
    ]
    return "\n".join(parts)


def conclude(executed: Sequence[Executed], store: fs.Store, *, ran: Collection[str]) -> list[str]:
    """Say in a few lines, for the terminal, what came out: pictures, failures, what could not be made, toy models.

    What could not be made is told of the notebooks that `ran`, by file name: the others are of an earlier run.
    """
    lines = []
    states = {row["table"]: row["state"] for row in store.status().iter_rows(named=True)}
    try:
        faces = (
            store.read("faces", columns=[KEY, "status", "error"]) if states["faces"] != "missing" else None
        )
    except (StoreError, TableError) as error:
        return [str(error)]
    if faces is not None:
        failed = faces.filter(~pl.col("status").is_in(_OK))["status"].value_counts(sort=True)
        why = ", ".join(f"{n:,} {status}" for status, n in failed.iter_rows())
        lines.append(_count_pictures(faces) + (f" ({why})" if why else ""))
    lines += [f"{one.name}: {sentence}" for one, sentence in _ends(executed) if one.file.name in ran]
    return [*lines, *_toy_lines(executed)]


def read_sources(store: fs.Store) -> pl.DataFrame | None:
    """Read the merged labels and where they come from; None if there are none, or if the table is damaged."""
    try:
        names = [c for c in store.scan("master").collect_schema().names() if c.endswith("_source")]
        columns = [c for name in names for c in (name.removesuffix("_source"), name)]
        return store.read("master", columns=[KEY, *columns])
    except (FileNotFoundError, StoreError, TableError):
        return None


def changed_sources(before: pl.DataFrame | None, after: pl.DataFrame | None) -> list[str]:
    """Say of each attribute whose labels now mostly come from another source, what has changed.

    Probes are promoted or not by a test on the labelled pictures, so that a few more pictures can change the source.
    """
    if before is None or after is None:
        return []
    lines = []
    for column in (c for c in after.columns if c.endswith("_source") and c in before.columns):
        name = column.removesuffix("_source")
        was, now = (t[column].drop_nulls().cast(pl.String).mode().sort().to_list() for t in (before, after))
        if not was or not now or was == now:
            continue
        both = before.select(KEY, was=pl.col(name).cast(pl.String)).join(
            after.select(KEY, now=pl.col(name).cast(pl.String)), on=KEY
        )
        n = both.filter(pl.col("was").ne_missing(pl.col("now"))).height
        lines.append(
            f"{name.replace('_', ' ')} is now labelled by {_SOURCES.get(now[0], now[0])}, before by"
            f" {_SOURCES.get(was[0], was[0])}: {n:,} of {count_of(both.height, 'label')} changed"
        )
    return lines


def _or_why_not(
    part: Callable[[fs.Store, dict[str, str]], Iterator[str]], store: fs.Store, states: dict[str, str]
) -> list[str]:
    """Make a part of the summary; of a damaged table, say what is wrong with it: the rest of the page is still made."""
    try:
        return list(part(store, states))
    except (StoreError, TableError) as error:
        return [_say(str(error))]


def _pictures(store: fs.Store, states: dict[str, str]) -> Iterator[str]:
    """Say how many pictures there are, and for each that failed why."""
    if states["faces"] == "missing":
        yield _say("No picture has been read yet: there is no table faces.")
        return
    faces = store.read("faces", columns=[KEY, "status", "error"])
    failed = faces.filter(~pl.col("status").is_in(_OK))
    yield _say(f"{_count_pictures(faces)}.")
    if failed.height:
        reasons = failed.group_by("status", maintain_order=True).agg(
            pictures=pl.len(),
            why=pl.col("error").drop_nulls().first(),
            examples=pl.col(KEY).head(N_EXAMPLES),
        )
        yield _table(reasons.sort("pictures", descending=True), "Pictures that could not be used")


def _count_pictures(faces: pl.DataFrame) -> str:
    n_failed = faces.filter(~pl.col("status").is_in(_OK)).height
    found = (
        f"{count_of(faces.height, 'picture')}: {count_of(faces.height - n_failed, 'face')} found and aligned"
    )
    return f"{found}, {n_failed:,} failed" if n_failed else f"{found}, none failed"


def _ends(executed: Sequence[Executed]) -> Iterator[tuple[Executed, str]]:
    """Yield each notebook that ended early or failed, with its sentence."""
    for one in executed:
        outputs = [output for cell in one.notebook.cells for output in cell.get("outputs", [])]
        yield from ((one, reason) for output in outputs if (reason := reason_of_end(output)))
        yield from ((one, f"{o.ename}: {o.evalue}") for o in outputs if o.output_type == "error")


def _not_made(executed: Sequence[Executed]) -> Iterator[str]:
    """Name each notebook that ended early or failed, with its sentence, and those of an earlier run."""
    lines = [f"<li>{one.link}: {for_html(sentence)}</li>" for one, sentence in _ends(executed)]
    if lines:
        yield f"<h2>What could not be made, and why</h2>\n<ul>{''.join(lines)}</ul>"
    if older := [one.link for one in executed if one.is_earlier]:
        yield f"<p>The last run did not reach these notebooks: {', '.join(older)}.</p>"


def _labels(store: fs.Store, states: dict[str, str]) -> Iterator[str]:
    """Show the commonest labels of each attribute, and how often they are right where the truth is known."""
    if states["master"] == "missing":
        return
    table = store.scan("master")
    columns = table.collect_schema().names()
    names = [name for name in label_names(table) if f"{name}_source" in columns]  # merged, not of one source
    master = store.read("master", columns=names)
    if master.is_empty():
        return
    scores: dict[str, str] = {}
    if states["audit"] != "missing":
        audit = store.read("audit").filter(by="all", source="merged")
        scores = {
            attribute: f"{value:.0%} ({low:.0%} to {high:.0%}) of {n:,}"
            for attribute, n, value, low, high in audit.select(
                "attribute", "n", "accuracy", "accuracy_low", "accuracy_high"
            ).iter_rows()
            if value is not None and low is not None and high is not None
        }
    rows = [
        (name.replace("_", " "), _commonest(master[name]), scores.get(name, "not audited")) for name in names
    ]
    yield "<h2>What do the faces look like?</h2>"
    schema = ["attribute", "the commonest labels", "correct, where the truth is known (no face is wrong)"]
    yield _table(pl.DataFrame(rows, schema=schema, orient="row"))
    note = "Labels are perceived: they say what a model sees in a picture, not what a person is."
    if not scores:
        note += " No truth is known for these pictures, so nothing says how often the labels are right."
    elif states["audit"] in {"stale", "damaged"}:
        note += " The accuracy is that of an earlier state of the tables: notebook 09_audit makes it again."
    else:
        note += " In brackets is the 95 % interval."
    yield _say(note)


def _ratings(store: fs.Store, states: dict[str, str]) -> Iterator[str]:
    """Say for each rated trait how well its model predicts it, or why there is none."""
    if states["reliability"] == "missing":
        return
    table = store.read("reliability")
    rows = [
        (
            row["trait"],
            f"{row['n_ratings']:,} of {count_of(row['n_faces'], 'face')} by {count_of(row['n_raters'], 'rater')}",
            _interval(row, "icc_2_k"),
            _interval(row, "ceiling"),
            row["why_not"] or f"predicted; correlation with people, of unseen faces: {row['held_out_r']:.2f}",
        )
        for row in table.iter_rows(named=True)
    ]
    yield "<h2>What did people rate?</h2>"
    yield _table(
        pl.DataFrame(rows, schema=["trait", "ratings", "ICC(2,k)", "ceiling", "model"], orient="row")
    )
    yield _say(
        "ICC(2,k) is the agreement of the mean ratings; the ceiling is the highest correlation with them to be expected of"
        " any prediction. In brackets is the 95 % interval."
    )


def _interval(row: dict[str, Any], name: str) -> str:
    value, low, high = (row[name + end] for end in ("", "_low", "_high"))
    return (
        "not measured"
        if value is None
        else f"{value:.2f}" + ("" if low is None else f" [{low:.2f}, {high:.2f}]")
    )


def _toy_models(executed: Sequence[Executed]) -> Iterator[str]:
    """Repeat what the notebooks say of toy models."""
    yield from map(_say, _toy_lines(executed))


def _toy_lines(executed: Sequence[Executed]) -> list[str]:
    outputs = [o for one in executed for cell in one.notebook.cells for o in cell.get("outputs", [])]
    lines = [line for o in outputs for line in str(o.get("text", "")).splitlines()]
    return [line for line in dict.fromkeys(lines) if line.startswith("Toy model:")]


def _commonest(labels: pl.Series) -> str:
    known = labels.drop_nulls()
    if known.is_empty():
        return "none"
    counts = known.value_counts(sort=True).head(N_LABELS)
    return ", ".join(f"{label} {n / len(known):.0%}" for label, n in counts.iter_rows())


def _tagged(one: Executed) -> Iterator[str]:
    """Show the results of the cells that are tagged `summary`, under the heading before them."""
    heading = one.name
    for cell in one.notebook.cells:
        if cell.cell_type == "markdown":
            titles = [line.lstrip("# ") for line in cell.source.splitlines() if line.startswith("#")]
            heading = titles[-1] if titles else heading
        elif TAG in cell.metadata.get("tags", []):
            shown = [part for output in cell.get("outputs", []) if (part := _output(output, heading))]
            if shown:
                yield f"<h2>{for_html(heading)}</h2>\n{''.join(shown)}\n<p>From {one.link}.</p>"


def _output(output: NotebookNode, title: str) -> str:
    """Turn the output of a cell into HTML: a figure, a table, or a text."""
    data = output.get("data", {})
    if png := data.get("image/png"):
        source = "".join(png.split())
        return f'<img alt="{for_html(title)}" src="data:image/png;base64,{source}">'
    if table := data.get("text/html"):
        return f'<div class="wide">{table}</div>'
    text = (
        output.text
        if output.output_type == "stream" and output.name == "stdout"
        else data.get("text/plain", "")
    )
    text = "\n".join(line for line in text.splitlines() if not line.endswith(": unchanged, read again"))
    return f"<pre>{for_html(text)}</pre>" if text.strip() else ""


def _links(executed: Sequence[Executed], store: fs.Store, states: dict[str, str]) -> Iterator[str]:
    """Link the tables, the run card, the composites and the notebooks, relative to the page."""
    if not executed:
        return
    folder = executed[0].file.parent
    yield "<h2>Where is everything?</h2>\n<ul>"
    if (folder / "run_card.html").exists():
        yield '<li><a href="run_card.html">The run card</a>: models, settings, scores and limits, to be handed on</li>'
    composites = [f"composites/{p.name}" for p in sorted((folder / "composites").glob("*.png"))]
    if composites:
        yield f"<li>Average faces: {', '.join(_link(path, path.split('/')[1]) for path in composites)}</li>"
    made = [name for name, state in states.items() if state != "missing"]
    tables = [
        _link(f"../{store.tables_dir.name}/{name}.parquet", name) + " (stale)" * (states[name] == "stale")
        for name in made
        if (store.tables_dir / f"{name}.parquet").exists()
    ]
    if tables:
        yield f"<li>Tables, as Parquet: {', '.join(tables)}</li>"
    yield f"<li>Executed notebooks: {', '.join(_link(one.file.name, one.name) for one in executed)}</li>"
    yield "</ul>"


def _link(target: str, text: str) -> str:
    from urllib.parse import quote

    return f'<a href="{for_html(quote(target))}">{for_html(text)}</a>'


def _say(text: str) -> str:
    return f"<p>{for_html(text)}</p>"


def _table(table: pl.DataFrame, title: str = "") -> str:
    return f'<div class="wide">{fs.show(table, title=title, n_rows=100)._repr_html_()}</div>'
