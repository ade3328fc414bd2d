import re

import polars as pl
import pytest

import facestats as fs
from facestats.audit.run_card import MAX_ROWS
from facestats.core.tables import FACES, RELIABILITY
from tests.audit.conftest import ATTRIBUTES


@pytest.fixture
def write(config):
    """Write a card about an empty store, and return its text."""

    def card(**more):
        given = {"findings": fs.audit.findings(), **more}
        return fs.audit.write_card(config, fs.Store(config.data_dir), **given).read_text()

    return card


def section(text, title):
    """The part of the card below a heading."""
    return text.split(f"## {title}\n\n")[1].split("\n\n## ")[0].strip()


def table_rows(text):
    return [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]


def some_findings(n):
    rows = [("warning", "text", "age", 1 - i / 100, f"Finding {i}.") for i in range(n)]
    return pl.DataFrame(rows, schema=fs.audit.findings().schema, orient="row")


def test_the_card_has_its_parts_in_order(world, write, config):
    config.raw_dir.mkdir()
    (config.raw_dir / "metadata.csv").write_text("file_name,text,licence,consent\na.jpg,x,CC0,signed\n")
    audit = fs.audit.accuracy(world[0], ATTRIBUTES, world[1])
    text = write(findings=some_findings(1), tables={"Scores": audit}, truth=world[1])
    assert re.findall("^## (.*)$", text, flags=re.MULTILINE) == [
        "Most alarming findings",
        "Intended use",
        "Data",
        "Licence and consent",
        "Models and settings",
        "Counts",
        "Scores",
        "Prompts",
        "Limits",
    ]
    assert section(text, "Most alarming findings") == "- **warning**: Finding 0."
    assert "**Do not use them** to identify people" in section(text, "Intended use")
    assert ["consent", "signed"] in [row[:2] for row in table_rows(section(text, "Licence and consent"))]
    assert table_rows(section(text, "Prompts"))[2] == [
        "gender",
        "face",
        "male",
        "male one; male two",
        "is male",
    ]


def test_nothing_in_the_page_is_alive(write, config):
    config.raw_dir.mkdir()
    (config.raw_dir / "metadata.csv").write_text("file_name,licence\na.jpg,<script>alert(1)</script>|CC0\n")
    text = write()
    page = (config.report_dir / "run_card.html").read_text()
    assert "&lt;script>alert(1)&lt;/script>\\|CC0" in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;|CC0" in page
    assert "<script>" not in page
    assert page.count("<table>") == 4


def test_findings_beyond_the_first_follow_at_the_end(write):
    text = write(findings=some_findings(5), n_findings=2)
    top = section(text, "Most alarming findings").split("\n\n")[0].splitlines()
    assert top == ["- **warning**: Finding 0.", "- **warning**: Finding 1."]
    assert section(text, "Further findings").splitlines() == [
        f"- **warning**: Finding {i}." for i in (2, 3, 4)
    ]


def test_without_findings_and_truth_the_card_says_so(world, write):
    first, second = section(write(truth=world[1].clear()), "Most alarming findings").split("\n\n")
    assert first == (
        "The checks found nothing alarming. This does not show that the labels are correct: read the limits below."
    )
    assert second == (
        "**No truth is known for these pictures. Accuracy, calibration and group differences were not measured.** The"
        " checks below need no truth. To add truth, run `facestats audit --truth FILE`."
    )


def test_without_a_word_on_licences_the_card_says_so(write):
    assert section(write(), "Licence and consent").startswith("**No licence, consent or origin is recorded**")


def test_truth_of_other_pictures_is_counted(world, write, config):
    master, truth = world
    schema = {c: t for c, t in FACES.columns.items() if c not in ("image_id", "status")}
    ids = master.select("image_id", status=pl.lit("ok", dtype=FACES.columns["status"]))
    faces = pl.concat([ids, pl.DataFrame(schema=schema)], how="diagonal").select(list(FACES.columns))
    fs.Store(config.data_dir).write("faces", faces)
    lost = truth.with_columns(image_id="raw/" + pl.col("image_id"))
    mixed = write(truth=pl.concat([truth.head(30), lost.tail(10)]))
    assert section(mixed, "Data").split("\n\n")[:2] == [
        "The pictures are in the folder raw/. The truth is known for 30 of them.",
        "**10 of the 40 rows of the truth name pictures that are not in this run.**",
    ]
    assert table_rows(section(mixed, "Data"))[2:] == [["ok", "600"]]
    assert (
        "**The truth names 600 pictures, but none of them is in this run: nothing was scored.** Write `image_id`"
        in write(truth=lost)
    )


def test_the_card_names_the_version_models_and_settings_of_every_stage(config):
    project = fs.testing.example_project()
    text = fs.audit.write_card(config, project.store, findings=fs.audit.findings()).read_text()
    header, _, *rows = table_rows(section(text, "Models and settings"))
    assert header == ["table", "made by", "version", "models and settings"]
    assert [row[0] for row in rows] == project.store.status().filter(pl.col("state") != "missing")[
        "table"
    ].to_list()
    for table, function, version, *_ in rows:
        stage = project.store.provenance(table)["stage"]
        assert (function, version) == (stage["function"], str(stage["version"]))
    assert rows[0] == [
        "faces",
        "facestats.faces.align_faces",
        str(fs.faces.VERSION),
        "landmarker: fake-landmarks@1, size: 64",
    ]
    assert f"facestats {fs.__version__}" in text


def test_counts_are_those_of_the_store(config):
    project = fs.testing.example_project()
    text = fs.audit.write_card(config, project.store, findings=fs.audit.findings()).read_text()
    rows = {row[0]: row[1:] for row in table_rows(section(text, "Counts"))}
    assert rows["master"] == ["12", "0"]
    assert "composites" not in rows


def test_tables_that_no_longer_fit_stand_at_the_top(config):
    project = fs.testing.example_project()
    given = {"findings": fs.audit.findings(), "stale": "Tables are stale: faces (1 changed)."}
    text = fs.audit.write_card(config, project.store, **given).read_text()
    assert text.index("**Tables are stale: faces (1 changed).**") < text.index("## Most alarming findings")


def test_only_the_licences_of_pictures_that_are_there_count(config):
    project = fs.testing.example_project()
    config.raw_dir.mkdir()
    names = [*project.faces["image_id"][:3], "gone.png"]
    rows = "".join(f"{name},CC0\n" for name in names)
    (config.raw_dir / "metadata.csv").write_text(f"file_name,licence\n{rows}")
    text = fs.audit.write_card(config, project.store, findings=fs.audit.findings()).read_text()
    assert table_rows(section(text, "Licence and consent"))[2:] == [
        ["licence", "(empty)", "9"],
        ["licence", "CC0", "3"],
    ]


def test_scores_show_all_faces_and_every_source_first(world, write):
    audit = fs.audit.accuracy(world[0], ATTRIBUTES, world[1])
    scores = section(write(tables={"Scores": audit.drop("slice")}, truth=world[1]), "Scores")
    first, said, groups, more = scores.split("\n\n")
    whole = audit.filter(by="all")
    shown = {tuple(row[:2]): row[2:4] for row in table_rows(first)[2:]}
    assert shown.keys() == {("all", s) for s in ("merged", "image", "text")} | {
        (a, s) for a in ATTRIBUTES for s in ("merged", "image", "text")
    }
    for attribute, source, n, accuracy in whole.select("attribute", "source", "n", "accuracy").rows():
        assert shown[attribute, source][0] == str(n)
        assert float(shown[attribute, source][1]) == pytest.approx(accuracy, abs=0.0005)
    single = audit.filter(pl.col("by").is_in(["gender", "ethnicity"]))
    median = 100 * single["smallest_gap"].median()
    assert f"by {median:.3g} percentage points; in the smallest group (" in said
    assert len(table_rows(groups)) == 2 + single.height
    assert "male, African" not in groups
    left = audit.height - whole.height - single.height
    assert more == f"Further {left} rows, on combinations of groups, are in table `audit`."


def test_groups_that_are_too_small_are_counted(world, write):
    audit = fs.audit.accuracy(world[0], ATTRIBUTES, world[1].head(4), by=["ethnicity"])
    missing = audit.filter(
        pl.col("smallest_gap").is_null(), pl.col("attribute") != "all", pl.col("by") == "ethnicity"
    )
    assert missing.height > 0
    assert (
        f"In {missing.height} rows the group is too small to show any difference; there, smallest_gap is empty."
        in write(tables={"Scores": audit}, truth=world[1])
    )


def test_tables_are_formatted_for_reading(write):
    table = pl.DataFrame(
        {
            "share": [0.61234, 1e-5, None],
            "n": [12_000, 3, 0],
            "astray": [True, False, None],
            "text": ["a\nb", "x|y", "`z`"],
        }
    )
    rows = section(write(tables={"Some": table, "None": table.clear()}), "Some").splitlines()
    assert rows == [
        "| share | n | astray | text |",
        "|---|---|---|---|",
        "| 0.612 | 12,000 | yes | a b |",
        "| 1.0e-05 | 3 | no | x\\|y |",
        "|  | 0 |  | \\`z\\` |",
    ]
    assert section(write(tables={"None": table.clear()}), "None") == "Nothing could be measured."


def test_a_long_table_is_cut_and_says_so(write):
    text = section(write(tables={"Long": pl.DataFrame({"n": range(MAX_ROWS + 5)})}), "Long")
    assert len(table_rows(text)) == 2 + MAX_ROWS
    assert text.endswith("The first 200 of 205 rows are shown.")


def test_the_card_lists_the_models_of_ratings_and_says_why_a_trait_has_none(write, config):
    assert "## Ratings" not in write()
    facts = {"n_faces": 90, "n_raters": 12, "n_ratings": 1080}
    rows = [
        {
            "trait": "calm",
            **facts,
            "ceiling": 0.9,
            "held_out_r": 0.61,
            "skill": 0.37,
            "model": "ratings:calm@1",
        },
        {"trait": "kind", **facts, "ceiling": 0.8, "held_out_r": 0.1, "why_not": "No better than the mean."},
        {"trait": "new", **facts, "why_not": "Only 12 faces."},
    ]
    table = pl.DataFrame(rows, schema_overrides=RELIABILITY.columns)
    missing = {c: pl.lit(None, dtype=d) for c, d in RELIABILITY.columns.items() if c not in table.columns}
    fs.Store(config.data_dir).write("reliability", table.with_columns(**missing))
    text = section(write(), "Ratings")
    assert table_rows(text)[2][:4] == ["calm", "90", "12", "1,080"]
    assert [row[-1] for row in table_rows(text)[2:]] == ["ratings:calm@1", "no", "no"]
    assert "**No model of kind was applied.** No better than the mean." in text
    assert "**No model of new was applied.** Only 12 faces." in text
