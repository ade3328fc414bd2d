"""The export to other programs: what is written comes back, in every format."""

from __future__ import annotations

import re
import shutil
import unicodedata
import zipfile

import polars as pl
import pyreadstat
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import facestats as fs
from facestats.core.config import Config, ConfigError
from facestats.surfaces.cli.commands import app
from facestats.surfaces.export.spss import MAX_NAME, spss_names, write_spss
from tests.conftest import ROOT

SUFFIXES = ("csv", "xlsx", "sav", "parquet")
UMLAUT = "Größe 身高"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A project whose captions hold umlauts, a formula, and nothing."""
    example = fs.testing.example_project()
    folder = tmp_path_factory.mktemp("project")
    shutil.copytree(example.store.data_dir, folder, dirs_exist_ok=True)
    (folder / "raw").mkdir(exist_ok=True)
    metadata = example.truth.rename({"image_id": "file_name"}).cast(pl.String)
    metadata.with_columns(licence=pl.lit("CC0")).write_csv(folder / "raw/metadata.csv")
    texts = pl.Series("text", [UMLAUT, "=1+1", None, *example.master["text"][3:]])
    fs.Store(folder).write("master", example.master.with_columns(texts))
    return Config(data_dir=folder, raw_dir=folder / "raw", attributes=example.attributes)


def read_back(file):
    if file.suffix == ".csv":
        return pl.read_csv(file)
    if file.suffix == ".parquet":
        return pl.read_parquet(file)
    if file.suffix == ".sav":
        table, about = pyreadstat.read_sav(file, output_format="polars")
        return table.with_columns(
            pl.col(c).replace_strict(v, default=None, return_dtype=pl.String)
            for c, v in about.variable_value_labels.items()
        )
    with zipfile.ZipFile(file) as opened:
        names = re.findall(r"<t[^>]*>([^<]*)</t>", opened.read("xl/sharedStrings.xml").decode())
        sheet = opened.read("xl/worksheets/sheet1.xml").decode()
    rows = []
    for row in re.findall(r"<row [^>]*>(.*?)</row>", sheet):
        cells = re.findall(r'<c r="([A-Z]+)\d+"[^>]*?(?: t="(\w+)")?(?:/>|><v>(.*?)</v></c>)', row)
        rows.append({place: names[int(v)] if kind == "s" else v for place, kind, v in cells if v})
    header = rows[0]
    return pl.DataFrame([{header[k]: r.get(k) for k in header} for r in rows[1:]])


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_labels_numbers_and_umlauts_come_back(made, tmp_path, suffix):
    file = fs.export(made, tmp_path / f"labels.{suffix}", probabilities=True, landmarks=True)
    table, master = read_back(file), fs.Store(made.data_dir).read("master")
    assert table["image_id"].to_list() == master["image_id"].to_list()
    assert table["age"].cast(pl.String).to_list() == master["age"].cast(pl.String).to_list()
    assert table["text"][0] == UMLAUT
    assert table["text"][1] == ("'=1+1" if suffix == "csv" else "=1+1")
    assert table["text"][2] in {None, ""}
    assert table["true_age"].cast(pl.String)[0] == "child"
    assert set(table["licence"]) == {"CC0"}
    score = table["age_score"].cast(pl.Float64)
    assert score.to_list() == pytest.approx(master["age_score"].to_list(), abs=1e-6)
    first = table["image_age_prob_child"].cast(pl.Float64)[0]
    assert first == pytest.approx(master["age_probs"][0][0], abs=1e-6)
    assert float(table["lm_477_y"][0]) == pytest.approx(master["landmarks"][0][477][1], abs=1e-4)
    assert {"cluster", "x", "yaw", "sharpness", "age_source"} <= set(table.columns)
    assert "image_age_margin" in table.columns
    assert not {"landmarks", "box", "age_probs", "age_margin", "fingerprint"} & set(table.columns)


@pytest.fixture
def own_columns(made, tmp_path):
    """The same project with columns of the user's own in the metadata."""
    shutil.copytree(made.data_dir, tmp_path / "own")
    file = tmp_path / "own/raw/metadata.csv"
    table = pl.read_csv(file).rename({"licence": "Licence"}).with_row_index("i")
    table = table.with_columns(
        (20 + pl.col("i")).alias("Alter (Jahre)"),
        postcode=pl.lit("01067"),
        width=pl.lit("wide"),
        person=pl.format("p{}", pl.col("i")),
    )
    table.drop("i").write_csv(file)
    return Config(data_dir=tmp_path / "own", raw_dir=file.parent, attributes=made.attributes)


@pytest.mark.parametrize("suffix", ["csv", "sav", "parquet"])
def test_all_columns_of_the_metadata_are_exported(own_columns, tmp_path, suffix):
    file = fs.export(own_columns, tmp_path / f"faces.{suffix}")
    table = pl.read_csv(file, infer_schema=False) if suffix == "csv" else read_back(file)
    years = "Alter__Jahre" if suffix == "sav" else "Alter (Jahre)"
    assert float(table[years][3]) == 23
    assert {"Licence", "person", "true_age"} <= set(table.columns)
    assert set(table["postcode"]) == {"01067"}, "a postcode is no number"
    assert set(table["metadata_width"]) == {"wide"}
    assert float(table["width"][0]) > 0
    guide = pl.read_csv(tmp_path / "faces_columns.csv")
    assert guide["column"].to_list() == table.columns
    assert guide.filter(column=years)["type"].item() == "whole number"


def test_an_export_says_which_tables_no_longer_fit(made, tmp_path, capsys):
    fs.export(made, tmp_path / "labels.csv")
    said = capsys.readouterr().out
    assert "stale, because something has changed since: faces (" in said
    assert "run --config" in said or "run --from 01" in said
    fs.export(made, tmp_path / "faces.csv", table="faces")
    assert "stale, because something has changed since: faces (" in capsys.readouterr().out
    gone = Config(data_dir=made.data_dir, raw_dir=tmp_path / "gone", attributes=made.attributes)
    fs.export(gone, tmp_path / "faces.csv", table="faces")
    assert "it was not checked whether the tables fit" in capsys.readouterr().out


def test_what_was_not_asked_for_or_cannot_be_a_cell_is_left_out_and_said(made, tmp_path, capsys):
    file = fs.export(made, tmp_path / "labels.csv")
    columns = pl.read_csv(file).columns
    assert not [c for c in columns if c.startswith("lm_") or "_prob_" in c]
    said = capsys.readouterr().out
    assert "left out, because they hold several values in each row: 'box', 'matrix'" in said
    assert "there is no table ratings, so its columns are left out" in said
    assert "1 texts begin like a formula" in said


def test_the_guide_names_every_column_with_what_made_it(made, tmp_path):
    file = fs.export(made, tmp_path / "labels.sav", probabilities=True, landmarks=True)
    guide = pl.read_csv(tmp_path / "labels_columns.csv")
    _, about = pyreadstat.read_sav(file, metadataonly=True)
    assert guide.height == len(about.column_names)
    told = {row["column"]: row for row in guide.iter_rows(named=True)}
    assert told["age"]["options"] == "child; elderly"
    assert told["age"]["prompts"].startswith("child: ")
    assert told["image_age_prob_child"]["made_by"] == "03_attributes"
    assert told["yaw"]["unit"] == "degrees"
    assert told["cluster"]["made_by"] == "07_clusters"
    assert told["image_age"]["meaning"] == "perceived age, by the prompts"
    assert told["true_age"]["meaning"] == "known age"
    assert told["licence"]["made_by"] == "metadata.csv"
    assert not guide["meaning"].is_null().any()
    assert about.column_names_to_labels["yaw"] == told["yaw"]["meaning"]
    assert about.variable_value_labels["age"] == {1: "child", 2: "elderly"}
    assert (about.variable_measure["age"], about.variable_measure["yaw"]) == ("nominal", "scale")


def test_a_csv_suits_excel_with_decimal_commas(made, tmp_path):
    file = fs.export(made, tmp_path / "a.csv", columns=["image_id", "age_score"], decimal=",")
    raw = file.read_bytes()
    assert raw.startswith(b"\xef\xbb\xbf")
    first = raw.decode("utf-8-sig").splitlines()
    assert first[0] == '"image_id";"age_score"'
    assert re.fullmatch(r'"face_000\.png";\d,\d+', first[1])


def test_a_missing_table_names_the_command(tmp_path):
    example = fs.testing.example_project()
    cfg = Config(data_dir=tmp_path, raw_dir=tmp_path, attributes=example.attributes)
    with pytest.raises(FileNotFoundError, match="no table master .* type: facestats run"):
        fs.export(cfg, tmp_path / "a.csv")
    assert not list(tmp_path.glob("*.csv"))


def test_all_that_is_wrong_is_said_at_once(made, tmp_path):
    with pytest.raises(ConfigError, match=r"use one of \.csv.*; there is no table 'nix'.*; landmarks and"):
        fs.export(made, tmp_path / "a.doc", table="nix", landmarks=True)
    with pytest.raises(
        ConfigError, match=r"no column 'agee' \(did you mean 'age'\?\), 'age;gender' \(separate names by"
    ):
        fs.export(made, tmp_path / "a.csv", columns=["agee", "age;gender"])
    with pytest.raises(FileNotFoundError, match=r"no table ratings .*It needs ratings\.csv"):
        fs.export(made, tmp_path / "a.csv", table="ratings")


def test_a_text_that_is_too_long_is_an_error_that_names_its_column_and_no_file(tmp_path):
    with pytest.raises(ValueError, match="texts of note have more than 32,767 bytes"):
        write_spss(pl.DataFrame({"note": ["ä" * 20_000]}), tmp_path / "a.sav")
    assert not list(tmp_path.iterdir())


def test_another_table(made, tmp_path):
    clusters = read_back(fs.export(made, tmp_path / "c.csv", table="clusters"))
    assert clusters.columns == ["image_id", "cluster", "x", "y", "pca_x", "pca_y"]


def test_a_table_without_rows_keeps_its_columns_in_spss(tmp_path):
    kinds = {"a": pl.Float64, "t": pl.String, "e": pl.Enum(["x"])}
    write_spss(pl.DataFrame(schema=kinds), tmp_path / "e.sav")
    assert pyreadstat.read_sav(tmp_path / "e.sav")[1].column_names == list(kinds)


@given(st.lists(st.text(max_size=80), min_size=1, max_size=20))
def test_every_name_is_one_that_spss_allows(tmp_path_factory, names):
    new = spss_names(names)
    assert len({n.casefold() for n in new}) == len(names)
    for name in new:
        assert name[0].isalpha()
        assert len(name.encode()) <= MAX_NAME
        assert not name.endswith(".")
        assert name.upper() not in {
            "ALL",
            "AND",
            "BY",
            "EQ",
            "GE",
            "GT",
            "LE",
            "LT",
            "NE",
            "NOT",
            "OR",
            "TO",
            "WITH",
        }
    file = tmp_path_factory.mktemp("sav") / "a.sav"
    write_spss(pl.DataFrame({name: [1.0] for name in new}), file)
    assert pyreadstat.read_sav(file, metadataonly=True)[1].column_names == new


def test_missing_numbers_are_missing_in_spss(tmp_path):
    kinds = {
        "n": pl.Series([1, None], dtype=pl.Int32),
        "yes": pl.Series([True, None]),
        "age": pl.Series(["old", None], dtype=pl.Enum(["young", "old"])),
    }
    write_spss(pl.DataFrame(kinds), tmp_path / "a.sav")
    table, about = pyreadstat.read_sav(tmp_path / "a.sav", output_format="polars")
    assert table.rows() == [(1.0, 1.0, 2.0), (None, None, None)]
    assert about.variable_value_labels["yes"] == {0: "no", 1: "yes"}


def test_the_command_writes_and_its_errors_have_codes(made, tmp_path):
    config = tmp_path / "facestats.yaml"
    config.write_text(f"data_dir: {made.data_dir}\nattributes: {ROOT}/config/attributes.yaml\n")
    run = CliRunner().invoke(
        app, ["export", "--out", str(tmp_path / "a.xlsx"), "--config", str(config), "--with", "probabilities"]
    )
    assert run.exit_code == 0, run.output
    assert (tmp_path / "a.xlsx").exists()
    wrong = CliRunner().invoke(app, ["export", "--out", str(tmp_path / "a.txt"), "--config", str(config)])
    assert wrong.exit_code == 2
    config.write_text(f"data_dir: {tmp_path}/none\nattributes: {ROOT}/config/attributes.yaml\n")
    absent = CliRunner().invoke(app, ["export", "--out", str(tmp_path / "a.csv"), "--config", str(config)])
    assert absent.exit_code == 4
    assert "run --config" in absent.output


def test_names_are_written_with_composed_letters(made, tmp_path):
    folder = tmp_path / "project"
    shutil.copytree(made.data_dir, folder)
    store = fs.Store(folder)
    names = [unicodedata.normalize("NFD", "Jürgen.jpg"), *store.read("master")["image_id"][1:]]
    store.write("master", store.read("master").with_columns(image_id=pl.Series(names)))
    file = fs.export(made.model_copy(update={"data_dir": folder}), tmp_path / "a.csv", columns=["image_id"])
    assert pl.read_csv(file)["image_id"][0] == "Jürgen.jpg"
