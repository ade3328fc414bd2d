from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import facestats as fs
from facestats.core.config import AttributeSettings, Config, ConfigError

ROOT = Path(__file__).parents[2]


def write(tmp_path, text, name="c.yaml"):
    (tmp_path / "attributes.yaml").write_text((ROOT / "config/attributes.yaml").read_text())
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize("name", ["default", "demo"])
def test_shipped_configurations_load(name):
    cfg = fs.load_config(ROOT / f"config/{name}.yaml")
    assert cfg.data_dir.is_absolute()
    assert len(cfg.attributes) == 9


def test_the_nine_attributes_have_the_agreed_options_and_prompts_of_their_own():
    attributes = fs.load_config(ROOT / "config/demo.yaml").attributes
    assert [a.title for a in attributes.values()] == [
        "Age", "Gender", "Ethnicity", "Hair_Style", "Hair_Color", "Hair_Length", "Eye_Color", "Body_Type", "Dress",
    ]  # fmt: skip
    assert [len(a.options) for a in attributes.values()] == [5, 3, 5, 6, 7, 4, 6, 5, 6]
    prompts = [p for a in attributes.values() for ps in a.image_prompts().values() for p in ps]
    assert len(prompts) == len(set(prompts))
    assert all("hair" in p for ps in attributes["hair_color"].image_prompts().values() for p in ps)
    assert all("eye" in p for ps in attributes["eye_color"].image_prompts().values() for p in ps)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("faces: {crop_sise: 3}", "unknown setting 'faces.crop_sise'; did you mean 'crop_size'?"),
        ("dta_dir: x", "unknown setting 'dta_dir'; did you mean 'data_dir'?"),
        ("faces: {crop_size: -3}", "faces.crop_size: Input should be greater than or equal to 64, found -3"),
        ("faces: {policy: some}", "Input should be 'largest' or 'reject', found 'some'"),
        ("embeddings: {batch_size: many}", "embeddings.batch_size"),
        ("[1, 2]", "expected settings as `key: value`, found list"),
        ("", "found NoneType"),
        ("a: [", "not readable as YAML"),
        ("seed:\t1\n\tfaces: 2", "A tab cannot begin a line or follow a colon"),
        ("a: !!python/object:os.system {}", "not readable as YAML"),
        (b"seed: 1\ndata_dir: \xff\xfe", "line 2: not UTF-8"),
        ("seed: 1\nseed: 2", "the key 'seed' occurs twice"),
        ("seed: 1\nfaces:\n  crop_size: -3", "line 3: faces.crop_size"),
        (
            "attributes: nowhere.yaml",
            "nowhere.yaml: cannot be read (No such file or directory). Copy attributes.yaml of facestats there",
        ),
    ],
)
def test_a_bad_file_is_an_error_that_names_it(tmp_path, text, message):
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        fs.load_config(path)
    assert message in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_paths_are_relative_to_the_file_and_a_byte_order_mark_is_fine(tmp_path):
    path = write(tmp_path, b"\xef\xbb\xbfdata_dir: ../there\n")
    cfg = fs.load_config(path)
    assert cfg.data_dir == tmp_path.parent / "there"
    assert cfg.raw_dir == cfg.data_dir / "raw"


def test_options_keep_the_words_that_people_write(tmp_path):
    attribute = """
      glasses:
        title: Glasses
        image_templates: ["{}"]
        text_templates: ["{}"]
        options:
          yes: {image: [a face with glasses], text: [has glasses]}
          no: {image: [a bare face], text: [has no glasses]}
          off: {image: [x], text: [x]}
          2: {image: [y], text: [y]}
          null: {image: [z], text: [z]}
          2024-01-31: {image: [w], text: [w]}
    """
    cfg = fs.load_config(write(tmp_path, f"attributes: {attribute}"))
    assert list(cfg.attributes["glasses"].options) == ["yes", "no", "off", "2", "null", "2024-01-31"]


def test_a_number_in_the_place_of_a_phrase_is_named_with_file_and_line(tmp_path):
    path = write(tmp_path, "seed: 1")
    (tmp_path / "attributes.yaml").write_text(
        "a:\n  title: A\n  image_templates: ['{}']\n  text_templates: ['{}']\n  options:\n"
        "    old: {image: [1920], text: [is old]}\n    new: {image: [new], text: [is new]}\n"
    )
    with pytest.raises(ConfigError, match=r"attributes.yaml, line 6: .*found 1920; put it in quotes"):
        fs.load_config(path)


def test_a_configuration_is_shown_in_a_few_lines(tmp_path):
    cfg = fs.load_config(write(tmp_path, "seed: 7\nclassifiers: {gender: {model: m, labels: {man: male}}}"))
    assert repr(cfg) == str(cfg)
    assert repr(cfg).splitlines() == [
        "Config",
        f"  data_dir: {tmp_path / 'data'}",
        f"  raw_dir: {tmp_path / 'data/raw'}",
        "  embeddings.model: ViT-B-32-quickgelu/openai",
        "  text_labels.model: facebook/bart-large-mnli",
        "  classifiers.gender.model: m",
        "  attributes: 9",
        "  seed: 7",
    ]


def test_settings_are_frozen(tmp_path):
    cfg = fs.load_config(write(tmp_path, "seed: 7"))
    with pytest.raises(ValueError, match="frozen"):
        cfg.seed = 8


@settings(deadline=None)
@given(st.sampled_from(sorted(Config.model_fields)), st.integers(0, 20))
def test_a_misspelt_key_is_an_error_that_names_the_right_one(tmp_path_factory, key, place):
    place %= len(key)
    typo = key[:place] + key[place + 1 :]
    folder = tmp_path_factory.mktemp("c")
    if typo in Config.model_fields or len(key) < 5:
        return
    with pytest.raises(ConfigError, match=f"did you mean '{key}'"):
        fs.load_config(write(folder, yaml.safe_dump({typo: 1})))


def test_a_template_needs_a_slot():
    option = {"image": ["x"], "text": ["is x"]}
    with pytest.raises(ValueError, match="exactly one {}"):
        AttributeSettings.model_validate(
            {
                "title": "A",
                "image_templates": ["a photo"],
                "text_templates": ["He {}."],
                "options": {"a": option, "b": option},
            }
        )


def test_labels_lie_beside_the_pictures_by_default(tmp_path):
    cfg = fs.load_config(write(tmp_path, "raw_dir: here"))
    assert cfg.labels_file == tmp_path.resolve() / "here/labels.csv"
    cfg = fs.load_config(write(tmp_path, "labels_file: mine/answers.csv"))
    assert cfg.labels_file == tmp_path.resolve() / "mine/answers.csv"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "gender: {model: m, labels: {man: mail}}",
            r"names the options \['mail'\]; gender has male, female, non-binary",
        ),
        ("sex: {model: m, labels: {man: male}}", "names the attribute 'sex'; the attributes are age, gender"),
        ("gender: {modle: m, labels: {man: male}}", "'classifiers.gender.modle'; did you mean 'model'"),
    ],
)
def test_a_classifier_names_attributes_and_options_that_exist(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message):
        fs.load_config(write(tmp_path, f"classifiers: {{{text}}}"))
    labels = "{man: male, unclear: null}"
    cfg = fs.load_config(write(tmp_path, f"classifiers: {{gender: {{model: m, labels: {labels}}}}}"))
    assert cfg.classifiers["gender"].labels == {"man": "male", "unclear": None}


def test_the_folder_of_a_model_is_relative_to_the_file(tmp_path):
    (tmp_path / "models" / "bart").mkdir(parents=True)
    text = "embeddings: {model: local-dir:models/clip}\ntext_labels: {model: models/bart}\nclassifiers:\n  gender: {model: ./c, labels: {m: male}}"
    cfg = fs.load_config(write(tmp_path, text))
    assert cfg.embeddings.model == f"local-dir:{tmp_path}/models/clip"
    assert cfg.text_labels.model == f"{tmp_path}/models/bart"
    assert cfg.classifiers["gender"].model == f"{tmp_path}/c"


@pytest.mark.parametrize("model", ["local-dir:models/clip", "./c", "models/bart"])
@pytest.mark.parametrize("section", ["embeddings", "text_labels", "classifiers.gender"])
def test_a_folder_has_no_revision(tmp_path, section, model):
    (tmp_path / "models" / "bart").mkdir(parents=True)
    first, _, attribute = section.partition(".")
    settings = f"{{model: {model}, revision: v1, labels: {{m: male}}}}"
    settings = f"{{{attribute}: {settings}}}" if attribute else settings.replace(", labels: {m: male}", "")
    with pytest.raises(ConfigError) as error:
        fs.load_config(write(tmp_path, f"seed: 1\n{first}: {settings}"))
    said = str(error.value)
    assert f"line 2: {section}.revision: only models of the Hugging Face hub have revisions, and " in said
    assert "is a folder. Remove the revision" in said


def test_a_model_of_the_hub_may_have_a_revision(tmp_path):
    text = (
        "embeddings: {revision: 0f3c}\nclassifiers: {gender: {model: m, revision: v1, labels: {man: male}}}"
    )
    cfg = fs.load_config(write(tmp_path, text))
    assert "  embeddings.model: ViT-B-32-quickgelu/openai@0f3c\n" in f"{cfg}\n"
    assert "  classifiers.gender.model: m@v1\n" in f"{cfg}\n"
    assert "  text_labels.model: facebook/bart-large-mnli\n" in f"{cfg}\n"
    with pytest.raises(ConfigError, match=r"text_labels.revision: .*found 1234567; put it in quotes"):
        fs.load_config(write(tmp_path, "text_labels: {revision: 1234567}"))


def test_a_folder_is_a_model(tmp_path):
    (tmp_path / "clip").mkdir()
    cfg = fs.load_config(write(tmp_path, f"embeddings: {{model: {tmp_path}/clip}}"))
    assert cfg.embeddings.model == f"local-dir:{tmp_path}/clip"
