"""`facestats status` names, for each table that is not fresh, the command that mends it."""

import shlex
import shutil

import polars as pl
import pytest

import facestats as fs
from facestats.store.fingerprint import describe_stage
from facestats.store.locks import StoreError
from facestats.store.status import Expected
from facestats.surfaces.cli.status import describe_tables
from facestats.surfaces.notebooks.expected_tables import expected_tables
from tests.models.test_bart import save_bart
from tests.store.test_status import embed
from tests.store.test_store import ids, pictures


def mend(config):
    """Table -> the command below its line."""
    found, last = {}, ""
    for line in list(describe_tables(config))[1:]:
        if line.startswith(" "):
            found[last] = line.partition("to mend it: ")[2]
        else:
            last = line.split()[0]
    return found


def test_nothing_but_what_is_needed_has_to_be_made(project):
    """Without truth nothing is scored, so table `audit` need not be made."""
    config = fs.load_config(project / "config/c.yaml")
    commands = mend(config)
    assert set(commands) == {"faces", "embeddings", "attributes", "text_labels", "master", "clusters", "composites"}  # fmt: skip
    assert set(commands.values()) - {commands["text_labels"]} == {commands["faces"]}
    words = shlex.split(commands["faces"])
    assert words[1:] == ["run", "--config", str(project / "config/c.yaml"), "--from", "01"]
    assert shlex.split(commands["text_labels"])[-1] == "04"  # captions come from no other table


def test_optional_tables_are_wanted_once_somebody_asks_for_them(project):
    (project / "data/raw/ratings.csv").write_text("image_id,rater_id,rating\ngrey.png,a,1\n")
    with (project / "config/c.yaml").open("a") as stream:
        stream.write("ratings: {n_folds: 3}\n")
    text = (project / "config/c.yaml").read_text().replace("demo/bart'}", "demo/bart', vectors: true}")
    (project / "config/c.yaml").write_text(text)
    commands = mend(fs.load_config(project / "config/c.yaml"))
    assert {"ratings", "text_embeddings"} <= set(commands)
    assert commands["ratings"].endswith("--from 05")
    assert "classifications" not in commands


def test_a_changed_prompt_mends_from_the_notebook_of_the_labels_and_leaves_the_rest_fresh(tmp_path):
    project = fs.testing.example_project()
    shutil.copytree(project.store.data_dir, tmp_path, dirs_exist_ok=True)
    store = fs.Store(tmp_path)
    age = project.attributes["age"]
    options = dict(age.options)
    first = next(iter(options))
    options[first] = options[first].model_copy(update={"image": ("somebody else",)})
    changed = project.attributes | {"age": age.model_copy(update={"options": options})}
    captions = project.captions

    def stages(attributes):
        params = {"attributes": attributes}
        return {
            "attributes": Expected(
                describe_stage(fs.label_attributes, {"encoder": project.encoder, **params})
            ),
            "text_labels": Expected(
                describe_stage(fs.label_texts, {"classifier": project.classifier, **params}), captions
            ),
        }

    attributes = {"attributes": project.attributes, "progress": False}
    store.build(
        "attributes",
        store.read("embeddings", fingerprint=True),
        fs.label_attributes,
        encoder=project.encoder,
        **attributes,
    )
    store.build("text_labels", captions, fs.label_texts, classifier=project.classifier, **attributes)
    store.build(
        "clusters",
        store.read("embeddings", fingerprint=True),
        fs.map_faces,
        chunk_size=None,
        progress=False,
        n_clusters=2,
    )
    states = store.status(stages(changed)).filter(
        pl.col("table").is_in(["attributes", "text_labels", "clusters"])
    )
    assert states.select("table", "state", "run_from").rows() == [
        ("attributes", "stale", "03"),
        ("text_labels", "fresh", None),
        ("clusters", "fresh", None),
    ]
    assert store.status(stages(project.attributes)).filter(table="attributes")["state"].to_list() == ["fresh"]


@pytest.mark.slow
def test_a_pinned_revision_makes_stale_what_another_one_made(project, monkeypatch):
    from huggingface_hub import constants

    old, new = "0" * 40, "1" * 40
    cache = project / "hub" / "models--org--nli"
    for seed, commit in enumerate([old, new]):
        save_bart(cache / "snapshots" / commit, seed=seed)
    (cache / "refs").mkdir()
    for name, commit in {"main": new, "v1": old}.items():
        (cache / "refs" / name).write_text(commit)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(project / "hub"))
    (project / "data/raw/grey.txt").write_text("a man")
    file = project / "config/c.yaml"
    text = file.read_text().replace("'${package}/demo/bart'", "org/nli")
    file.write_text(text)
    config = fs.load_config(file)
    store = fs.Store(config.data_dir)
    bart = fs.models.bart(config.text_labels)
    captions = fs.list_captions(config.raw_dir)
    store.build("text_labels", captions, fs.label_texts, classifier=bart, **fs.text_labels.settings(config))
    found = {}
    for revision in ("main", new, old, "v1", "v2"):
        file.write_text(text.replace("org/nli", f"org/nli, revision: '{revision}'"))
        state = store.status(expected_tables(fs.load_config(file))).filter(table="text_labels")
        found[revision] = state["why"].item()
    assert found["main"] == found[new] == ""
    assert found[old] == found["v1"]
    assert "org/nli@111111111111" in found[old]
    assert "org/nli@000000000000" in found[old]
    assert "org/nli@v2 (not available here)" in found["v2"]


@pytest.mark.parametrize("name", ["attributes", "text_labels"])
def test_the_expected_stage_of_a_project_leaves_out_the_prompts_of_the_other_side(project, name):
    config = fs.load_config(project / "config/c.yaml")
    age = expected_tables(config)[name].stage["params"]["attributes"]["age"]
    assert ("image_templates" in age, "text_templates" in age) == (
        name == "attributes",
        name == "text_labels",
    )


def test_a_damaged_table_is_a_line_and_a_sentence_and_no_traceback(project):
    config = fs.load_config(project / "config/c.yaml")
    store = fs.Store(config.data_dir)
    store.build("embeddings", pictures(ids(3)), embed, progress=False)
    path = store.tables_dir / "embeddings.parquet"
    path.write_bytes(path.read_bytes()[:-1])
    lines = []
    with pytest.raises(StoreError, match=r"damaged: embeddings\. The lines above name the files"):
        collect(describe_tables(config), lines)
    (line,) = [line for line in lines if line.startswith("embeddings ")]
    assert "damaged  embeddings.parquet: it is not a complete Parquet file" in line
    assert mend_line(lines, line).endswith("--from 01")


def collect(source, lines):
    for line in source:
        lines.append(line)


def mend_line(lines, line):
    return lines[lines.index(line) + 1]
