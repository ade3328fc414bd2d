from __future__ import annotations

import numpy as np
import polars as pl
import pytest

import facestats as fs
from facestats.core.config import AttributeSettings
from facestats.core.stats import wilson_interval
from facestats.core.tables import AUDIT, FACES

N = 600
OPTIONS = {
    "gender": ("male", "female"),
    "ethnicity": ("Asian", "African", "Caucasian"),
    "hair_color": ("black", "brown", "red"),
}


def attribute(name):
    options = {o: {"image": [f"{o} one", f"{o} two"], "text": [f"is {o}"]} for o in OPTIONS[name]}
    return AttributeSettings.model_validate(
        {
            "title": name,
            "image_templates": ["a {}.", "the {}."],
            "text_templates": ["The person {}."],
            "options": options,
        }
    )


ATTRIBUTES = {name: attribute(name) for name in OPTIONS}


def labelled(rng, true, options, accuracy, prefix, name):
    """Labels that are right with the chance `accuracy`, with scores and probabilities."""
    right = rng.random(len(true)) < accuracy
    other = (true + rng.integers(1, len(options), len(true))) % len(options)
    label = np.where(right, true, other)
    probs = np.full((len(true), len(options)), 0.1 / (len(options) - 1), dtype=np.float32)
    probs[np.arange(len(true)), label] = 0.9
    kind = pl.Enum(options)
    return {
        f"{prefix}{name}": pl.Series([options[i] for i in label], dtype=kind),
        f"{prefix}{name}_score": pl.Series(probs.max(axis=1)),
        f"{name}_probs": pl.Series(probs, dtype=pl.Array(pl.Float32, len(options))),
    }


@pytest.fixture(scope="module")
def world():
    """Master and truth: every label is right with the chance 0.95, texts with 0.9 where they speak."""
    rng = np.random.default_rng(4)
    ids = [f"{i:04d}.jpg" for i in range(N)]
    master, truth = {"image_id": ids}, {"image_id": ids}
    for name, options in OPTIONS.items():
        true = rng.integers(0, len(options), N)
        truth[f"true_{name}"] = pl.Series([options[i] for i in true], dtype=pl.Enum(options))
        image = labelled(rng, true, options, 0.95, "", name)
        text = labelled(rng, true, options, 0.9, "text_", name)[f"text_{name}"]
        master |= image | {f"image_{name}": image[name], f"image_{name}_score": image[f"{name}_score"]}
        speaks = pl.Series(rng.random(N) < 0.5)
        master[f"text_{name}"] = pl.select(pl.when(speaks).then(text)).to_series()
    return pl.DataFrame(master), pl.DataFrame(truth)


class Words:
    """An encoder of texts: every phrase lies near the direction of its option; nonsense lies elsewhere."""

    name, dim, logit_scale, input_side = "words@1", 8, 20.0, 8

    def encode_texts(self, texts):
        axes = {o: i for i, o in enumerate(OPTIONS["hair_color"])}
        out = []
        for text in texts:
            noise = np.random.default_rng(sum(map(ord, text))).normal(0, 0.1, self.dim)
            place = next((i for o, i in axes.items() if o in text), 7 if "blorp" in text else 6)
            noise[place] += 1
            if place == 7:
                noise[2] += 0.5  # nonsense lies nearest to red
            out.append(noise / np.linalg.norm(noise))
        return np.array(out, dtype=np.float32)


@pytest.fixture(scope="module")
def embeddings(world):
    true = world[1]["true_hair_color"].to_physical().to_numpy()
    x = np.random.default_rng(0).normal(0, 0.25, (N, 8))
    x[np.arange(N), true] += 1
    x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    return pl.DataFrame(
        {"image_id": world[1]["image_id"], "embedding": pl.Series(x, dtype=pl.Array(pl.Float32, 8))}
    )


def findings_of(master, truth, **more):
    return fs.audit.findings(
        audit=fs.audit.accuracy(master, ATTRIBUTES, truth),
        options=fs.audit.options(master, ATTRIBUTES, truth=truth),
        calibration=fs.audit.calibration(master, ATTRIBUTES, truth, n_repeats=3),
        crosstalk=fs.audit.crosstalk(master, ATTRIBUTES, truth=truth, n_resamples=50),
        texts=fs.audit.texts(master, ATTRIBUTES),
        **more,
    )


def card_top(tmp_path, findings):
    """The sentences at the top of the run card, before anything else."""
    config = fs.load_config("config/demo.yaml").model_copy(
        update={"data_dir": tmp_path, "raw_dir": tmp_path / "raw", "attributes": ATTRIBUTES}
    )
    text = fs.audit.write_card(config, fs.Store(tmp_path), findings=findings).read_text()
    return text.split("## Most alarming findings\n\n")[1].split("\n\n")[0]


def test_labels_without_a_fault_raise_no_alarm(world):
    assert findings_of(*world).filter(level="alarm").height == 0


def test_the_table_keeps_its_contract_and_covers_the_truth(world):
    audit = fs.tables.check_table(fs.audit.accuracy(world[0], ATTRIBUTES, world[1]), AUDIT)
    assert set(audit["by"]) == {"all", "gender", "ethnicity", "gender+ethnicity"}
    groups = audit.filter((pl.col("attribute") != "all") & (pl.col("source") == "image"))
    held = groups["accuracy_low"].le(0.95) & groups["accuracy_high"].ge(0.95)
    low, _ = wilson_interval(held.sum(), len(held))
    assert held.mean() > 0.85
    assert low > 0.75
    whole = audit.filter(attribute="all", by="all", source="image")
    assert whole["accuracy_low"][0] < 0.95 < whole["accuracy_high"][0]
    assert audit.filter(by="gender", attribute="gender", source="image")["n"].sum() == N


def test_labels_of_one_group_flipped_at_ten_percent_are_found(world, tmp_path):
    master, truth = world
    rng = np.random.default_rng(0)
    hit = pl.Series(rng.random(N) < 0.1) & (truth["true_ethnicity"].cast(pl.String) == "African")
    other = {"male": "female", "female": "male"}
    flipped = pl.col("gender").cast(pl.String).replace_strict(other).cast(pl.Enum(OPTIONS["gender"]))
    faulty = master.with_columns(gender=pl.when(hit).then(flipped).otherwise("gender"))
    top = card_top(tmp_path, findings_of(faulty, truth))
    assert "**alarm**: Labels of gender are right for" in top
    assert "faces with ethnicity African" in top


def test_a_prompt_made_nonsense_is_found(world, embeddings, tmp_path):
    settings = ATTRIBUTES["hair_color"]
    brown = settings.options["brown"].model_copy(update={"image": ("brown one", "blorp zxqv")})
    broken = {"hair_color": settings.model_copy(update={"options": {**settings.options, "brown": brown}})}
    whole = {"hair_color": settings}
    fine, bad = (fs.audit.prompts(embeddings, a, Words()) for a in (whole, broken))
    assert not fine["astray"].any()
    assert not fine["nonsense"].any()
    astray = bad.filter("astray")["prompt"].to_list()
    assert "blorp zxqv" in astray
    top = card_top(tmp_path, findings_of(*world, prompts=bad))
    assert "**alarm**: Prompt astray: the phrase 'blorp zxqv' of hair color, option brown" in top


def test_an_option_of_nonsense_alone_is_found_at_the_top(world, embeddings, tmp_path):
    """Also where its only phrase is nonsense, which no other phrase of its own could contradict."""
    settings = ATTRIBUTES["hair_color"]
    brown = settings.options["brown"].model_copy(update={"image": ("qqq",)})
    broken = {"hair_color": settings.model_copy(update={"options": {**settings.options, "brown": brown}})}
    found = fs.audit.prompts(embeddings, broken, Words())
    assert found.filter("nonsense")["prompt"].to_list() == ["qqq"]
    assert found.filter(prompt="qqq").select("n", "flips", "astray").row(0) == (0, None, None)
    top = card_top(tmp_path, findings_of(*world, prompts=found))
    assert "**alarm**: Nonsense prompt: the phrase 'qqq' of hair color, option brown, means no more" in top
    assert fs.plots.flip_bars(found) is not None


def test_a_text_that_contradicts_its_picture_is_found(world, tmp_path):
    master, truth = world
    turned = dict(zip(OPTIONS["hair_color"], (*OPTIONS["hair_color"][1:], "black"), strict=True))
    text = pl.col("text_hair_color").cast(pl.String).replace_strict(turned, default=None)
    faulty = master.with_columns(text_hair_color=text.cast(pl.Enum(OPTIONS["hair_color"])))
    for known in (truth, truth.clear()):
        top = card_top(tmp_path, findings_of(faulty, known))
        assert "Picture and text contradict each other in hair color" in top


def test_an_attribute_that_follows_another_is_found(world):
    master, truth = world
    follows = {"Asian": "black", "African": "brown", "Caucasian": "red"}
    color = truth["true_ethnicity"].cast(pl.String).replace_strict(follows)
    mixed = pl.select(
        pl.when(pl.Series(np.arange(N) % 2 == 0))
        .then(color)
        .otherwise(master["image_hair_color"].cast(pl.String))
    ).to_series()
    faulty = master.with_columns(image_hair_color=mixed.cast(pl.Enum(OPTIONS["hair_color"])))
    found = fs.audit.crosstalk(faulty, ATTRIBUTES, truth=truth, n_resamples=50)
    assert found.row(0, named=True)["a"] == "ethnicity"
    assert found["low"][0] > 0.2
    assert "cross-talk" in findings_of(faulty, truth)["kind"].to_list()


def test_without_truth_everything_comes_back_empty_and_the_card_says_so(world, tmp_path):
    master, truth = world
    nothing = truth.clear().select("image_id")
    assert fs.audit.accuracy(master, ATTRIBUTES, nothing).height == 0
    assert fs.audit.calibration(master, ATTRIBUTES, nothing).height == 0
    assert fs.audit.label_sets(master, ATTRIBUTES, nothing).columns == ["image_id"]
    assert fs.audit.options(master, ATTRIBUTES, truth=nothing)["recall"].null_count() == 8
    config = fs.load_config("config/demo.yaml").model_copy(
        update={"data_dir": tmp_path, "raw_dir": tmp_path / "raw"}
    )
    text = fs.audit.write_card(
        config, fs.Store(tmp_path), findings=fs.audit.findings(), truth=nothing
    ).read_text()
    assert "No truth is known of these pictures" in text


def test_truth_of_other_pictures_is_refused_and_a_partial_loss_is_said(world, tmp_path, caplog):
    master, truth = world
    lost = truth.with_columns(image_id="raw/" + pl.col("image_id"))
    for look in (fs.audit.accuracy, fs.audit.calibration, fs.audit.crosstalk, fs.audit.label_sets):
        with pytest.raises(
            fs.tables.TableError, match=r"none of the 600 .* such as 'raw/0000.jpg'.*'0000.jpg'"
        ):
            look(master, attributes=ATTRIBUTES, truth=lost)
    with pytest.raises(fs.tables.TableError, match="none of the 600"):
        fs.audit.options(master, ATTRIBUTES, truth=lost)
    mixed = pl.concat([truth.head(30), lost.tail(10)])
    assert fs.audit.accuracy(master, ATTRIBUTES, mixed).filter(by="all")["n"].max() == 30
    assert "10 of 40 pictures with known truth are not in master" in caplog.text
    store = fs.Store(tmp_path)
    nothing = pl.DataFrame(schema={c: t for c, t in FACES.columns.items() if c not in ("image_id", "status")})
    ids = master.select("image_id", status=pl.lit("ok", dtype=FACES.columns["status"]))
    store.write("faces", pl.concat([ids, nothing], how="diagonal").select(list(FACES.columns)))
    config = fs.load_config("config/demo.yaml").model_copy(
        update={"data_dir": tmp_path, "raw_dir": tmp_path / "raw"}
    )
    for known, said in ((mixed, "truth is known of 30."), (lost, "and none of these: nothing was scored")):
        text = fs.audit.write_card(config, store, findings=fs.audit.findings(), truth=known).read_text()
        assert said in text
        assert "rows of the truth name pictures that are not among these" in text


@pytest.mark.parametrize("column", ["Gender", "GENDER", "true_Gender", "gender", " Gender "])
def test_columns_of_truth_are_found_in_any_case_and_none_is_an_error(column, tmp_path):
    file = tmp_path / "truth.csv"
    file.write_text(f"image_id,{column},Hair_Color\na.jpg,female,brown\n")
    attributes = ATTRIBUTES | {
        "hair_color": attribute("hair_color").model_copy(update={"title": "Hair_Color"})
    }
    found = fs.human_labels.read_truth(file, attributes)
    assert found.rows() == [("a.jpg", "female", "brown")]
    file.write_text("image_id,sex\na.jpg,female\n")
    with pytest.raises(
        fs.tables.TableError, match=r"no attribute: it has the columns \['image_id', 'sex'\].*gender"
    ):
        fs.human_labels.read_truth(file, attributes)


def test_answers_of_people_are_truth_for_everything_but_their_own_values(world, tmp_path):
    master, truth = world
    file = tmp_path / "labels.csv"
    for row in truth.head(40).iter_rows(named=True):
        fs.human_labels.write(
            file, row["image_id"], attribute="gender", value=row["true_gender"], labeller="ann"
        )
    known = fs.human_labels.read_truth(file, ATTRIBUTES)
    assert known.columns == ["image_id", "true_gender"]
    assert known["true_gender"].cast(pl.String).to_list() == truth["true_gender"].head(40).to_list()
    said = pl.Series(np.arange(N) < 40)
    source = pl.when(said).then(pl.lit("human")).otherwise(pl.lit("image"))
    merged = master.with_columns(gender_source=source)
    audit = fs.audit.accuracy(merged, ATTRIBUTES, known).filter(by="all", attribute="gender")
    assert set(audit["source"]) == {"image", "text"}
    file.write_text("image_id,attribute,value\na.jpg,gender,woman\n")
    with pytest.raises(fs.tables.TableError, match="'woman' is no option of 'gender'"):
        fs.human_labels.read_truth(file, ATTRIBUTES)


def test_probes_and_classifiers_are_scored_too(world):
    master, truth = world
    rng = np.random.default_rng(2)
    true = truth["true_hair_color"].to_physical().to_numpy()
    more = {}
    for prefix, accuracy in (("probe_", 0.99), ("vit_", 0.6)):
        found = labelled(rng, true, OPTIONS["hair_color"], accuracy, prefix, "hair_color")
        more |= {c.replace("hair_color_probs", f"{prefix}hair_color_probs"): v for c, v in found.items()}
    wider = master.with_columns(**more)
    scores = fs.audit.accuracy(wider, ATTRIBUTES, truth).filter(by="all", attribute="hair_color")
    found = dict(scores.select("source", "accuracy").rows())
    assert set(found) == {"merged", "image", "text", "probe", "vit"}
    assert found["probe"] == pytest.approx(0.99, abs=0.015)
    assert found["vit"] == pytest.approx(0.6, abs=0.06)
    calibration = fs.audit.calibration(wider, ATTRIBUTES, truth, n_repeats=2)
    assert dict(calibration.select("attribute", "source").rows()) == {
        "gender": "image",
        "ethnicity": "image",
        "hair_color": "probe",
    }
    sets = fs.audit.label_sets(wider, ATTRIBUTES, truth)
    assert (sets["hair_color_set_source"][0], sets["gender_set_source"][0]) == ("probe", "image")
    assert calibration.filter(attribute="hair_color")["accuracy"][0] == pytest.approx(found["probe"])


def test_an_option_a_group_has_not_does_not_halve_its_score(world):
    master, truth = world
    audit = fs.audit.accuracy(master, ATTRIBUTES, truth)
    itself = audit.filter(pl.col("by").str.contains("gender"), attribute="gender")
    assert itself["macro_f1"].null_count() == itself["balanced_accuracy"].null_count() == itself.height
    assert itself["accuracy"].null_count() == 0
    groups = audit.filter(by="ethnicity", attribute="gender", source="image")
    assert groups["macro_f1"].min() > 0.9


def test_faces_that_are_all_right_have_an_interval_all_the_same(world):
    _, truth = world
    right = truth.rename(lambda c: c.replace("true_", "")).head(6)
    audit = fs.audit.accuracy(right, ATTRIBUTES, truth)
    whole = audit.filter(attribute="all", by="all")
    assert whole["accuracy"][0] == whole["accuracy_high"][0] == 1
    assert whole["accuracy_low"][0] == pytest.approx(wilson_interval(6, 6)[0])
    assert audit.filter(pl.col("n") > 0)["accuracy_low"].max() < 1


@pytest.mark.slow
def test_a_fault_in_one_group_of_a_thousand_faces_is_found_beside_all_other_groups():
    """Done where it is: flipped at 10 % in one of six groups, labels else right for 98 %, twelve attributes."""
    found = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        n, groups = 1000, np.random.default_rng(seed).integers(0, 3, 1000)
        ids = [f"{i}.jpg" for i in range(n)]
        wrong = np.where(groups == 1, 0.02 + 0.1 * 0.96, 0.02)
        gender = rng.integers(0, 2, n)
        label = np.where(rng.random(n) < wrong, 1 - gender, gender)
        color = rng.integers(0, 3, n)
        kinds = {a: pl.Enum(o) for a, o in OPTIONS.items()}

        def named(name, codes, kinds=kinds):
            return pl.Series([OPTIONS[name][i] for i in codes], dtype=kinds[name])

        truth = {"true_gender": named("gender", gender), "true_ethnicity": named("ethnicity", groups)}
        truth |= {"true_hair_color": named("hair_color", color)}
        image = {"gender": named("gender", label), "ethnicity": named("ethnicity", groups)}
        image |= {"hair_color": named("hair_color", color)}
        audit = fs.audit.accuracy(
            pl.DataFrame({"image_id": ids, **image}), ATTRIBUTES, pl.DataFrame({"image_id": ids, **truth})
        )
        findings = fs.audit.findings(audit=audit).filter(kind="group", level="alarm", attribute="gender")
        found.append(any("ethnicity African" in text for text in findings["finding"]))
    assert np.mean(found) >= 0.9


def test_the_card_shows_all_faces_and_every_source_first(world, tmp_path):
    config = fs.load_config("config/demo.yaml").model_copy(
        update={"data_dir": tmp_path, "raw_dir": tmp_path / "raw"}
    )
    audit = fs.audit.accuracy(world[0], ATTRIBUTES, world[1])
    tables = {"Scores": audit.drop("slice")}
    path = fs.audit.write_card(
        config, fs.Store(tmp_path), findings=fs.audit.findings(), tables=tables, truth=world[1]
    )
    scores = path.read_text().split("## Scores")[1].split("## Prompts")[0]
    first, _, groups = scores.partition("What such groups could have shown")
    for source in ("merged", "image", "text"):
        assert f"| all | {source} |" in first
        assert f"| hair\\_color | {source} |".replace("\\_", "_") in first
    assert "would have been found four times in five" in groups
    assert "male, African" not in groups.split("smaller")[-1].split("|", 1)[1]


def test_one_kind_of_finding_does_not_push_the_others_off_the_top(world):
    master, truth = world
    faulty = master
    for name in ("gender", "hair_color"):
        options = OPTIONS[name]
        turned = dict(zip(options, (*options[1:], options[0]), strict=True))
        text = pl.col(f"text_{name}").cast(pl.String).replace_strict(turned, default=None)
        faulty = faulty.with_columns(text.cast(pl.Enum(options)).alias(f"text_{name}"))
    hit = (truth["true_ethnicity"].cast(pl.String) == "African") & pl.Series(np.arange(N) % 5 == 0)
    other = pl.col("gender").cast(pl.String).replace_strict({"male": "female", "female": "male"})
    faulty = faulty.with_columns(
        gender=pl.when(hit).then(other.cast(pl.Enum(OPTIONS["gender"]))).otherwise("gender")
    )
    found = findings_of(faulty, truth)
    alarms = found.filter(level="alarm")
    kinds = alarms["kind"].unique().len()
    assert kinds > 1
    assert alarms["kind"].head(kinds).n_unique() == kinds


def test_label_sets_hold_the_label_and_sometimes_more(world):
    master, truth = world
    sets = fs.audit.label_sets(master, ATTRIBUTES, truth.head(300), coverage=0.97)
    assert sets["image_id"].equals(master["image_id"])
    inside = pl.select(sets["gender_set"].list.contains(truth["true_gender"])).to_series()
    assert inside.tail(300).mean() > 0.94
    assert set(sets["gender_set"].list.len()) <= {1, 2}


def test_truth_is_read_from_metadata_and_from_files(tmp_path):
    (tmp_path / "raw/sub").mkdir(parents=True)
    (tmp_path / "raw/metadata.csv").write_text(
        "file_name,text,true_gender,licence\na.jpg,x,male,CC0\nb.jpg,y,,\n"
    )
    (tmp_path / "raw/sub/metadata.csv").write_text("file_name,text,true_gender\nc.jpg,x,female\n")
    found = fs.human_labels.read_truth(tmp_path / "raw", ATTRIBUTES)
    assert found.to_dict(as_series=False) == {
        "image_id": ["a.jpg", "sub/c.jpg"],
        "true_gender": ["male", "female"],
    }
    file = tmp_path / "truth.csv"
    file.write_text("file_name,gender\na.jpg,female\n")
    assert fs.human_labels.read_truth(file, ATTRIBUTES)["true_gender"].to_list() == ["female"]
    file.write_text("file_name,gender\na.jpg,woman\n")
    with pytest.raises(fs.tables.TableError, match=r"holds \['woman'\], which are no options"):
        fs.human_labels.read_truth(file, ATTRIBUTES)
    file.write_text("file_name,gender\na.jpg,male\na.jpg,male\n")
    with pytest.raises(fs.tables.TableError, match=r"'a.jpg' is named twice"):
        fs.human_labels.read_truth(file, ATTRIBUTES)


def test_the_card_has_its_parts_and_nothing_in_it_is_alive(world, tmp_path):
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "metadata.csv").write_text(
        "file_name,text,licence,consent\na.jpg,x,<script>alert(1)</script>|CC0,signed\n"
    )
    config = fs.load_config("config/demo.yaml").model_copy(update={"data_dir": tmp_path, "raw_dir": raw})
    audit = fs.audit.accuracy(world[0], ATTRIBUTES, world[1])
    path = fs.audit.write_card(
        config,
        fs.Store(tmp_path),
        findings=fs.audit.findings(audit=audit),
        tables={"Scores": audit},
        truth=world[1],
    )
    text, page = path.read_text(), path.with_suffix(".html").read_text()
    parts = ["Most alarming", "Intended use", "Data", "Licence and consent", "Models", "Counts", "Scores"]
    places = [text.index(f"## {part}") for part in [*parts, "Prompts", "Limits"]]
    assert places == sorted(places)
    assert "Not to be used" in text
    assert "consent | signed" in text
    assert "<script>" not in page
    assert "<table>" in page


def test_what_the_vector_of_a_text_says_is_scored_where_there_is_a_text_and_raises_no_alarm(world):
    master, truth = world
    always = {
        f"vector_{name}": pl.when(pl.int_range(pl.len()) < 100).then(pl.lit(options[0], pl.Enum(options)))
        for name, options in OPTIONS.items()
    }
    said = master.with_columns(**always).with_columns(
        *(pl.col(f"{name}_score").alias(f"vector_{name}_score") for name in OPTIONS),
        *(pl.col(f"{name}_probs").alias(f"vector_{name}_probs") for name in OPTIONS),
    )
    audit = fs.audit.accuracy(said, ATTRIBUTES, truth)
    row = audit.row(by_predicate=pl.col("slice") == "gender|vector|all|all", named=True)
    assert row["n"] == 100
    assert row["accuracy"] == (truth["true_gender"].head(100) == "male").mean()
    assert fs.audit.findings(audit=audit).filter(level="alarm").height == 0
