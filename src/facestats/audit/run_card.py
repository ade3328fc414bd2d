"""The run card: one page, in Markdown and HTML, that says what was done, how well, and what not to do with it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from facestats.core.atomic_write import write_atomically
from facestats.core.tables import KEY
from facestats.inputs.metadata import read_rights
from facestats.store.fingerprint import package_versions

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from facestats.core.config import Config
    from facestats.store.store import Store

MAX_ROWS = 200
_USE = """Meant for research on collections of pictures: to describe, compare and average groups of faces and characters,
and to study what models make of pictures. Labels are *perceived* attributes: what a model makes of a picture, not what
a person is.

**Not to be used** to identify people; to decide anything about a person (work, credit, insurance, policing, borders,
education, health, access); to infer who someone is by ethnicity, gender, age or health from a face; or on pictures whose
licence or people do not allow it. Ratings predict what the raters at hand thought; they are no measure of worth."""
_LIMITS = """- Options are coarse and few; people do not divide into them. An option that is not listed cannot be found.
- Scores hold for pictures like those with known truth, by whoever said what is true, and for no others.
- A group of few faces has wide intervals; no finding about it is not the finding that all is well.
- Prompts carry the habits of the texts that the models learnt from, and so do the labels."""
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
    n_findings: int = 12,
) -> Path:
    """Write ``run_card.md`` and ``run_card.html`` into the `report` folder of the data folder.

    Parameters
    ----------
    config, store
        Settings of the run, and its tables.
    findings
        Of :func:`facestats.audit.findings`; the first `n_findings` come first.
    tables
        Title to table: what the audit measured.
    truth
        As :func:`facestats.human_labels.read_truth` returns it; without rows, the card says that nothing was scored.
    n_findings
        Findings on top of the card; the others follow at its end.

    Returns
    -------
    Path of the Markdown file.
    """
    from markdown_it import MarkdownIt

    text = (
        "\n\n".join(_parts(config, store, findings, tables=tables or {}, truth=truth, n_findings=n_findings))
        + "\n"
    )
    folder = config.report_dir
    # js-default leaves no HTML and no script of a file name or caption alive
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
    n_findings: int,
) -> Iterator[str]:
    given = 0 if truth is None else truth.height
    known = 0 if truth is None else _matched(store, truth)
    yield f"# Run card\n\n{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, seed {config.seed}"
    yield "## Most alarming findings\n\n" + (
        _listed(findings.head(n_findings))
        or "Nothing alarming was found. Read the limits before being reassured."
    )
    if given and not known:
        yield (
            f"**The truth names {given} pictures, and none of these: nothing was scored.** Write `image_id` as the"
            " tables do, relative to the folder of the pictures."
        )
    elif not known:
        yield (
            "**No truth is known of these pictures: accuracy, calibration and group differences were not"
            " measured.** What follows are checks that need no truth. Give some: `facestats audit --truth FILE`."
        )
    yield "## Intended use\n\n" + _USE
    yield "## Data\n\n" + _data(config, store, known, given=given)
    yield "## Licence and consent\n\n" + _rights(config)
    yield "## Models and settings\n\n" + _models(store)
    yield "## Counts\n\n" + _table(store.status().select("table", "rows", "failed", "state"))
    for title, table in tables.items():
        show = _scores if {"by", "group", "smallest_gap"} <= set(table.columns) else _table
        yield f"## {title}\n\n" + (show(table) if table.height else "Nothing could be measured.")
    yield "## Prompts\n\n" + _prompts(config)
    yield "## Limits\n\n" + _LIMITS
    if findings.height > n_findings:
        yield "## Further findings\n\n" + _listed(findings.slice(n_findings))


def _listed(findings: pl.DataFrame) -> str:
    return "\n".join(
        f"- **{level}**: {_plain(text)}" for level, text in findings.select("level", "finding").rows()
    )


def _matched(store: Store, truth: pl.DataFrame) -> int:
    """Pictures of the store that the truth knows; all of it where there is no table of pictures yet."""
    if "faces" not in _present(store):
        return truth.height
    return truth.join(store.read("faces", columns=[KEY]), on=KEY, how="semi").height


def _data(config: Config, store: Store, known: int, *, given: int) -> str:
    lines = [f"Pictures in `{config.raw_dir.name}/`; truth is known of {known}."]
    if given > known:
        lines.append(
            f"**{given - known} of {given} rows of the truth name pictures that are not among these.**"
        )
    if "faces" in _present(store):
        counts = store.read("faces", columns=["status"])["status"].value_counts(sort=True)
        lines.append(_table(counts.rename({"count": "pictures"})))
    return "\n\n".join(lines)


def _rights(config: Config) -> str:
    rights = read_rights(config.raw_dir)
    if rights.is_empty():
        return (
            "The metadata beside the pictures has no column on licence, consent or origin: **none is recorded**. Add"
            " columns such as `licence` and `consent` to `metadata.csv`."
        )
    return _table(rights.with_columns(pl.col("value").fill_null("(not said)")))


def _present(store: Store) -> list[str]:
    status = store.status()
    return status.filter(pl.col("state") != "missing")["table"].to_list()


def _models(store: Store) -> str:
    rows = []
    for name in _present(store):
        stage = store.provenance(name).get("stage", {})
        params = {k: v for k, v in stage.get("params", {}).items() if isinstance(v, (str, int, float, bool))}
        settings = ", ".join(f"{k}: {v}" for k, v in params.items())
        rows.append((name, f"{stage.get('function', '')} v{stage.get('version', '')}", settings))
    versions = ", ".join(f"{k} {v}" for k, v in package_versions().items())
    return _table(pl.DataFrame(rows, schema=["table", "made by", "models and settings"], orient="row")) + (
        f"\n\nPackages: {versions}."
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
    return "\n".join(map(_plain, templates)) + "\n\n" + table


def _scores(audit: pl.DataFrame) -> str:
    """Show scores of all faces, then of groups of one attribute, clearest first; combinations stay in the table."""
    first = pl.col("attribute") != "all"
    whole = audit.filter(by="all").sort(first, maintain_order=True)
    single = (pl.col("by") != "all") & ~pl.col("by").str.contains("+", literal=True)
    groups = audit.filter(single).sort(first, "p_adjusted", nulls_last=True, maintain_order=True)
    parts = [_table(whole.drop("by", "group", "p_adjusted", "smallest_gap"))]
    gaps = groups.drop_nulls("smallest_gap")
    missed = groups.filter(first & pl.col("smallest_gap").is_null()).height
    if gaps.height:
        middle = float(np.median(gaps["smallest_gap"].to_numpy()))
        small = gaps.sort("n").row(0, named=True)
        parts.append(
            f"What such groups could have shown: with the median group, labels that are right {middle:.0%} less often"
            f" than those of the others would have been found four times in five; with the smallest ({small['group']},"
            f" {small['n']} faces), {small['smallest_gap']:.0%}. Smaller differences may be there unseen."
        )
    if missed:
        parts.append(f"In {missed} rows a group is too small to show any difference (no smallest_gap).")
    if groups.height:
        shown = groups.drop(
            "balanced_accuracy_low", "balanced_accuracy_high", "macro_f1_low", "macro_f1_high"
        )
        parts.append(_table(shown))
    if more := audit.height - whole.height - groups.height:
        parts.append(f"{more} rows on combinations of groups are in table `audit`.")
    return "\n\n".join(parts)


def _table(table: pl.DataFrame) -> str:
    lines = [
        "| " + " | ".join(map(_plain, table.columns)) + " |",
        "|" + "---|" * table.width,
        *("| " + " | ".join(map(_cell, row)) + " |" for row in table.head(MAX_ROWS).iter_rows()),
    ]
    more = f"\n\n{table.height - MAX_ROWS} further rows are in the table." if table.height > MAX_ROWS else ""
    return "\n".join(lines) + more


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.3f}" if isinstance(value, float) else _plain(value)


def _plain(value: Any) -> str:
    """Keep a value on one line and inside its cell."""
    return " ".join(str(value).split()).replace("\\", "\\\\").replace("|", "\\|").replace("`", "\\`")
