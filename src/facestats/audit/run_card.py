"""Write the run card: a page that says what was done, how well it worked, and what the results must not be used for."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from facestats.core.atomic_write import write_atomically
from facestats.core.display import format_value
from facestats.core.shown_text import for_markdown
from facestats.core.tables import KEY, VIEWS
from facestats.inputs.metadata import read_rights
from facestats.models.domain import describe, find_domain
from facestats.store.fingerprint import package_versions

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from facestats.core.config import Config
    from facestats.models.domain import Domain
    from facestats.store.store import Store

MAX_ROWS = 200
_USE = """The tables of this run are meant for research on collections of pictures: to describe, compare and average groups of
faces and characters, and to study how models judge pictures. Labels are *perceived* attributes: they say what a model
sees in a picture, not what a person is.

**Do not use them** to identify people; to decide anything about a person (work, credit, insurance, policing, borders,
education, health, access); to infer the ethnicity, gender, age or health of a person from a face; or for pictures whose
licence, or whose people, do not allow it. Ratings predict what these raters would answer; they do not measure the worth of
a person."""
_LIMITS = """- The options are few and coarse, and people do not divide into them. An option that is not listed cannot be found.
- The scores hold for pictures that resemble those with known truth, and depend on who recorded the truth. They do not
  hold for other pictures.
- A small group of faces has wide intervals. If nothing was found about such a group, this does not show that its labels
  are correct.
- The models repeat the stereotypes of the texts and pictures that they were trained on, and so do the labels."""
_STYLE = """body { margin: 2rem auto; max-width: 60rem; padding: 0 1.2rem; font: 16px/1.55 system-ui, sans-serif; color: #1d232a; }
table { border-collapse: collapse; font-size: .86rem; display: block; overflow-x: auto; }
th, td { border: 1px solid #d6dbe0; padding: .2rem .5rem; text-align: left; }
h2 { border-top: 3px solid #e3e7eb; padding-top: .8rem; margin-top: 2rem; }"""


def write_card(
    config: Config,
    store: Store,
    *,
    findings: pl.DataFrame,
    tables: Mapping[str, pl.DataFrame] | None = None,
    truth: pl.DataFrame | None = None,
    stale: str = "",
    n_findings: int = 12,
) -> Path:
    """Write ``run_card.md`` and ``run_card.html`` into the folder `report` of the data folder.

    Parameters
    ----------
    config
        Settings of the run.
    store
        Tables of the run; the card names the models, settings and version of the stage that made each.
    findings
        Table of :func:`facestats.audit.findings`.
    tables
        What the audit measured: titles of sections, and the table of each. A table is cut after 200 rows.
    truth
        Table of :func:`facestats.human_labels.read_truth`. If it is None or has no rows, the card says that nothing was
        scored.
    stale
        A sentence about tables that no longer fit the pictures or settings; it stands at the top of the card.
    n_findings
        Findings on top of the card; the others follow at its end.

    Returns
    -------
    Path of the Markdown file.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> import facestats as fs
    >>> from facestats.core.config import Config
    >>> project = fs.testing.example_project()
    >>> with TemporaryDirectory() as folder:
    ...     cfg = Config(data_dir=folder, raw_dir=project.raw_dir, attributes=project.attributes)
    ...     card = fs.audit.write_card(cfg, project.store, findings=fs.audit.findings()).read_text()
    >>> next(line for line in card.splitlines() if line.startswith("| embeddings"))
    '| embeddings | facestats.embeddings.embed_faces | 1 | encoder: fake-clip@1 |'
    """
    from markdown_it import MarkdownIt

    parts = _parts(
        config, store, findings, tables=tables or {}, truth=truth, stale=stale, n_findings=n_findings
    )
    text = "\n\n".join(parts) + "\n"
    folder = config.report_dir
    # js-default escapes HTML, so that no script in a file name or caption can run
    body = MarkdownIt("js-default").render(text)
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>facestats run card</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>\n<body>\n{body}</body></html>\n'
    )
    for name, content in (("run_card.md", text), ("run_card.html", page)):
        write_atomically(folder / name, content)
    return folder / "run_card.md"


def _parts(
    config: Config,
    store: Store,
    findings: pl.DataFrame,
    *,
    tables: Mapping[str, pl.DataFrame],
    truth: pl.DataFrame | None,
    stale: str,
    n_findings: int,
) -> Iterator[str]:
    """Yield the card, section by section."""
    given = 0 if truth is None else truth.height
    known = 0 if truth is None else _count_known(store, truth)
    now = datetime.now(UTC)
    yield f"# Run card\n\nWritten on {now:%Y-%m-%d} at {now:%H:%M} UTC. The seed was {config.seed}."
    if stale:
        yield f"**{_escape(stale)}**"
    if toys := _toy_models(config, store):
        yield toys
    yield "## Most alarming findings\n\n" + (
        _list_findings(findings.head(n_findings))
        or "The checks found nothing alarming. This does not show that the labels are correct: read the limits below."
    )
    if given and not known:
        yield (
            f"**The truth names {given} pictures, but none of them is in this run: nothing was scored.** Write"
            " `image_id` in the truth as in the tables, relative to the folder of the pictures."
        )
    elif not known:
        yield (
            "**No truth is known for these pictures. Accuracy, calibration and group differences were not measured.**"
            " The checks below need no truth. To add truth, run `facestats audit --truth FILE`."
        )
    yield "## Intended use\n\n" + _USE
    yield "## Data\n\n" + _data(config, store, known, given=given)
    yield "## Licence and consent\n\n" + _rights(config, store)
    yield "## Models and settings\n\n" + _models(store)
    if "reliability" in _present_tables(store):
        yield "## Ratings\n\n" + _ratings(store.read("reliability"))
    yield "## Counts\n\n" + _table(
        store.status().filter(pl.col("state") != "missing").select("table", "rows", "failed")
    )
    for title, table in tables.items():
        show = _scores if {"by", "group", "smallest_gap"} <= set(table.columns) else _table
        yield f"## {title}\n\n" + (show(table) if table.height else "Nothing could be measured.")
    yield "## Prompts\n\n" + _prompts(config)
    yield "## Limits\n\n" + _LIMITS
    if findings.height > n_findings:
        yield "## Further findings\n\n" + _list_findings(findings.slice(n_findings))


def _toy_models(config: Config, store: Store) -> str:
    """Say on what toy models were trained, and how many pictures are unlike that; nothing of real models."""
    lines = []
    pictures = _domain_of(config.embeddings.model, store, "embeddings", "encoder")
    texts = _domain_of(config.text_labels.model, store, "text_labels", "classifier")
    if pictures is not None:
        vectors = store.read("embeddings", columns=[KEY, *VIEWS.values()])
        lines.append(f"Labels of pictures: **{_escape(describe(pictures, vectors))}**")
    if texts is not None:
        lines.append(f"Labels of texts: **{_escape(describe(texts))}**")
    return "\n\n".join(lines)


def _domain_of(model: str, store: Store, table: str, role: str) -> Domain | None:
    """Return the domain of a model of the configuration if it made the stored table; another may have made it."""
    made_by = (
        store.provenance(table).get("stage", {}).get("params", {}).get(role) or ""
    )  # no model where there were no texts
    same = made_by.removeprefix("local-dir:").startswith(f"{Path(model).name}@")
    return find_domain(model) if same else None


def _list_findings(findings: pl.DataFrame) -> str:
    return "\n".join(
        f"- **{level}**: {_escape(text)}" for level, text in findings.select("level", "finding").rows()
    )


def _count_known(store: Store, truth: pl.DataFrame) -> int:
    """Number of pictures of the store with known truth; all rows of the truth if there is no table `faces` yet."""
    if "faces" not in _present_tables(store):
        return truth.height
    return truth.join(store.read("faces", columns=[KEY]), on=KEY, how="semi").height


def _data(config: Config, store: Store, known: int, *, given: int) -> str:
    lines = [
        f"The pictures are in the folder {_escape(config.raw_dir.name)}/. The truth is known for {known} of them."
    ]
    if given > known:
        lines.append(
            f"**{given - known} of the {given} rows of the truth name pictures that are not in this run.**"
        )
    if "faces" in _present_tables(store):
        counts = store.read("faces", columns=["status"])["status"].value_counts(sort=True)
        lines.append(_table(counts.rename({"count": "pictures"})))
    return "\n\n".join(lines)


def _rights(config: Config, store: Store) -> str:
    pictures = store.read("faces", columns=[KEY])[KEY] if "faces" in _present_tables(store) else None
    rights = read_rights(config.raw_dir, pictures=pictures)
    if rights.is_empty():
        return (
            "**No licence, consent or origin is recorded**: the metadata of the pictures has no such column. Add columns"
            " such as `licence` and `consent` to `metadata.csv`."
        )
    return _table(rights.with_columns(pl.col("value").fill_null("(empty)")))


def _present_tables(store: Store) -> list[str]:
    status = store.status()
    return status.filter(pl.col("state") != "missing")["table"].to_list()


def _models(store: Store) -> str:
    """Name for each table the stage that made it, the version of its code, its models and settings."""
    rows = []
    for name in _present_tables(store):
        stage = store.provenance(name).get("stage", {})
        params = {k: v for k, v in stage.get("params", {}).items() if isinstance(v, (str, int, float, bool))}
        settings = ", ".join(f"{k}: {v}" for k, v in params.items())
        rows.append((name, stage.get("function", ""), str(stage.get("version", "unknown")), settings))
    schema = ["table", "made by", "version", "models and settings"]
    versions = ", ".join(f"{k} {v}" for k, v in package_versions().items())
    return "\n\n".join(
        [
            _table(pl.DataFrame(rows, schema=schema, orient="row")),
            "`version` is the version of the stage: it is raised when the same input would give another table.",
            f"Packages: {versions}.",
        ]
    )


def _ratings(reliability: pl.DataFrame) -> str:
    """List the models of ratings with what they were trained on, and say of each other trait why it has none."""
    model = pl.col("model")
    agreement = ["icc_2_1", "icc_2_k", "split_half", "ceiling"]
    columns = ["trait", "n_faces", "n_raters", "n_ratings", *agreement, "held_out_r", "skill"]
    shown = reliability.select(*columns, applied=pl.when(model.is_null()).then(pl.lit("no")).otherwise(model))
    refused = reliability.filter(model.is_null()).select("trait", "why_not").rows()
    return "\n\n".join(
        [
            _table(shown),
            "`icc_2_1` and `icc_2_k` are the agreement of single raters and of their mean, `split_half` is the mean"
            " correlation of two halves of the raters; their intervals are in table `reliability`. `ceiling` is the highest correlation that any prediction can be expected to reach; `held_out_r` and `skill`"
            " are those of the model on faces that it has not seen.",
            *(
                f"**No model of {_escape(trait)} was applied.** {_escape(why or 'It is not known why.')}"
                for trait, why in refused
            ),
        ]
    )


def _prompts(config: Config) -> str:
    rows = [
        (name, attribute.view, option, "; ".join(settings.image), "; ".join(settings.text))
        for name, attribute in config.attributes.items()
        for option, settings in attribute.options.items()
    ]
    templates = [
        f"- {name}: pictures {' / '.join(a.image_templates)}; texts {' / '.join(a.text_templates)}"
        for name, a in config.attributes.items()
    ]
    table = _table(
        pl.DataFrame(rows, schema=["attribute", "view", "option", "pictures", "texts"], orient="row")
    )
    return "\n".join(map(_escape, templates)) + "\n\n" + table


def _scores(audit: pl.DataFrame) -> str:
    """Show the scores of all faces, then those of groups of one attribute, smallest p first; count the combinations."""
    single = pl.col("attribute") != "all"
    whole = audit.filter(by="all").sort(single, maintain_order=True)
    by_one = (pl.col("by") != "all") & ~pl.col("by").str.contains("+", literal=True)
    groups = audit.filter(by_one).sort(single, "p_adjusted", nulls_last=True, maintain_order=True)
    parts = [_table(whole.drop("by", "group", "p_adjusted", "smallest_gap"))]
    gaps = groups.drop_nulls("smallest_gap")
    if gaps.height:
        median = float(np.median(gaps["smallest_gap"].to_numpy()))
        smallest = gaps.sort("n").row(0, named=True)
        parts.append(
            "A group has to differ enough for its difference to be found. In the median group, a difference is found with a"
            " probability of 80% if labels are correct less often than those of the other faces by"
            f" {_points(median)}; in the smallest group ({_escape(smallest['group'])}, {smallest['n']} faces), by"
            f" {_points(smallest['smallest_gap'])}. Smaller differences may exist without being found."
        )
    if missed := groups.filter(single & pl.col("smallest_gap").is_null()).height:
        parts.append(
            f"In {missed} rows the group is too small to show any difference; there, smallest_gap is empty."
        )
    if groups.height:
        parts.append(
            _table(
                groups.drop(
                    "balanced_accuracy_low", "balanced_accuracy_high", "macro_f1_low", "macro_f1_high"
                )
            )
        )
    if more := audit.height - whole.height - groups.height:
        parts.append(f"Further {more} rows, on combinations of groups, are in table `audit`.")
    return "\n\n".join(parts)


def _points(share: float) -> str:
    return f"{100 * share:.3g} percentage points"


def _table(table: pl.DataFrame) -> str:
    """Write a table in Markdown."""
    lines = [
        "| " + " | ".join(map(_escape, table.columns)) + " |",
        "|" + "---|" * table.width,
        *("| " + " | ".join(map(_escape, row)) + " |" for row in table.head(MAX_ROWS).iter_rows()),
    ]
    more = f"\n\nThe first {MAX_ROWS} of {table.height:,} rows are shown." if table.height > MAX_ROWS else ""
    return "\n".join(lines) + more


def _escape(value: object) -> str:
    """Format a value on one line, so that it stays inside its table cell."""
    return for_markdown(" ".join(format_value(value).split()))
