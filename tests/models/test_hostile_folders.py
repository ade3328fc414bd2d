"""A model folder of strangers: whatever it holds, no code of it runs, and the end is a sentence.

Each hostile file would make a marker file if it ran. Nobody is asked either: the tests answer every question with yes.
"""

import json
import os
import pickle
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

import facestats as fs
from facestats.core.config import ClassifierSettings, EmbeddingsSettings
from facestats.core.protocols import ModelError
from facestats.models.clip import clip
from facestats.models.safe_loading import check_configs
from tests.models.test_bart import HYPOTHESES, TEXTS, save_bart, save_tokenizer
from tests.models.test_bart import handle as bart_handle
from tests.models.test_clip import TINY, noise, save_clip
from tests.models.test_clip import handle as clip_handle

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

CLASSES = (
    *("AutoConfig", "AutoModel", "AutoModelForSequenceClassification", "AutoModelForImageClassification"),
    *(
        "AutoTokenizer",
        "AutoImageProcessor",
        "AutoImageProcessorFast",
        "AutoFeatureExtractor",
        "AutoProcessor",
    ),
)
CODE = """
import pathlib
pathlib.Path({marker!r}).touch()
from transformers import AutoConfig, BartConfig, BartForSequenceClassification, PreTrainedTokenizerFast
from transformers import ViTForImageClassification, ViTImageProcessor
class Config(BartConfig):
    model_type = "stranger"
class Model(BartForSequenceClassification):
    pass
class Tokenizer(PreTrainedTokenizerFast):
    pass
class Processor(ViTImageProcessor):
    pass
"""
NAMES = ("Config", "Model", "Model", "Model", "Tokenizer", "Processor", "Processor", "Processor", "Processor")


class Touch:
    """A pickle of it makes a file when it is loaded."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return os.mkdir, (str(self.file),)


@pytest.fixture
def marker(tmp_path, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda *_: "y")  # a user who says yes to everything
    file = tmp_path / "marker"
    yield file
    assert not file.exists(), "code of the folder was run"


def auto_map(kinds=CLASSES):
    names = dict(zip(CLASSES, NAMES, strict=True))
    return {"auto_map": {kind: f"stranger.{names[kind]}" for kind in kinds}}


def change(file, **entries):
    """Add entries to a JSON file; those of a dictionary are added to the dictionary that is there."""
    content = json.loads(file.read_text()) if file.exists() else {}
    for key, value in entries.items():
        content[key] = {**content.get(key, {}), **value} if isinstance(value, dict) else value
    file.write_text(json.dumps(content))


def plant(folder, marker):
    """Put code into a folder of transformers, and name it wherever transformers looks for a name."""
    (folder / "stranger.py").write_text(CODE.format(marker=str(marker)))
    for file in ("config.json", "tokenizer_config.json", "preprocessor_config.json", "processor_config.json"):
        change(folder / file, **auto_map(), trust_remote_code=True)
    return folder


def as_pickles(folder, marker, kind):
    """Replace all weights by a pickle that makes the marker when it is loaded."""
    for file in folder.glob("*.safetensors"):
        file.unlink()
    if kind == "torch":
        torch.save({"state_dict": Touch(marker)}, folder / "stranger")
    else:
        (folder / "stranger").write_bytes(pickle.dumps(Touch(marker)))
    return folder / "stranger"


def of_hub(folder, home, monkeypatch):
    """Move a folder into the cache of the hub, as a snapshot of org/name."""
    from huggingface_hub import constants

    commit = "0123456789abcdef0123456789abcdef01234567"
    repo = home / "models--org--name"
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text(commit)
    shutil.move(folder, repo / "snapshots" / commit)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(home))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return "org/name"


def clip_with_tokenizer(folder, marker, **text):
    """A CLIP folder with its own tokenizer, as open_clip reads it, and code that this tokenizer asks for."""
    save_clip(folder)
    save_tokenizer(folder, 77)
    text = {"hf_tokenizer_name": "stranger", **text}
    change(folder / "open_clip_config.json", model_cfg={**TINY, "text_cfg": {**TINY["text_cfg"], **text}})
    change(folder / "tokenizer_config.json", tokenizer_class="Tokenizer")
    return plant(folder, marker)


TRUST = [{"tokenizer_kwargs": {"trust_remote_code": True}}, {"tokenizer_kwargs": {"allow_x": 1}}, {}]


@pytest.mark.parametrize("text", TRUST)
def test_the_tokenizer_of_a_clip_folder_runs_no_code(text, tmp_path, marker):
    folder = clip_with_tokenizer(tmp_path / "clip", marker, **text)
    try:
        clip_handle(folder).encode_texts(["a man"])
    except ModelError as error:
        assert str(folder) in str(error)


@pytest.mark.parametrize("text", TRUST)
def test_the_tokenizer_of_a_clip_snapshot_of_the_hub_runs_no_code(text, tmp_path, marker, monkeypatch):
    repo = of_hub(clip_with_tokenizer(tmp_path / "clip", marker, **text), tmp_path / "hub", monkeypatch)
    try:
        clip(EmbeddingsSettings(model=f"hf-hub:{repo}", device="cpu")).encode_texts(["a man"])
    except ModelError as error:
        assert repo in str(error)


def test_a_tokenizer_in_a_clip_folder_works_without_code(tmp_path):
    folder = save_clip(tmp_path)
    save_tokenizer(folder, 77)
    text = {**TINY["text_cfg"], "hf_tokenizer_name": "own", "tokenizer_kwargs": {"strip_sep_token": True}}
    change(folder / "open_clip_config.json", model_cfg={**TINY, "text_cfg": text})
    one, other = clip_handle(folder).encode_texts(["a man", "a woman"])
    assert not np.allclose(one, other)


@pytest.mark.parametrize("inside", [False, True])
def test_a_text_tower_that_a_clip_folder_names_runs_no_code(inside, tmp_path, marker):
    folder = save_clip(tmp_path / "clip")
    other = folder if inside else tmp_path / "other"
    plant(save_bart(other), marker)
    change(other / "config.json", model_type="stranger")
    text = {**TINY["text_cfg"], "hf_model_name": str(other), "hf_tokenizer_name": str(other)}
    change(folder / "open_clip_config.json", model_cfg={**TINY, "text_cfg": text})
    with pytest.raises(ModelError, match=re.escape(str(folder))):
        clip_handle(folder).encode_images(noise(1))


@pytest.mark.parametrize(
    ("where", "entry"),
    [
        ("text_cfg", {"hf_model_name": "."}),
        ("text_cfg", {"hf_model_name": "../other"}),
        ("text_cfg", {"tokenizer_kwargs": {"bpe_path": "/etc/passwd"}}),
        ("text_cfg", {"trust_remote_code": True}),
        ("text_cfg", {"width": "64"}),
        ("text_cfg", {"act_kwargs": {"approximate": ["tanh"]}}),
        ("vision_cfg", {"timm_model_name": "hf-hub:org/name"}),
        ("vision_cfg", {"timm_model_name": "local-dir:/tmp"}),
        ("vision_cfg", {"image_size": 10**9}),
        ("vision_cfg", {"head_width": 0}),
        ("vision_cfg", {"layers": []}),
        ("vision_cfg", {"stranger": 1}),
        ("multimodal_cfg", {"tokenizer_kwargs": {"trust_remote_code": True}}),
    ],
)
def test_a_clip_configuration_holds_only_what_may_stand_in_it(where, entry, tmp_path, marker):
    folder = save_clip(tmp_path / "clip")
    model = {**TINY, where: {**TINY.get(where, {}), **entry}}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": model}))
    with pytest.raises(ModelError, match=re.escape(str(folder))):
        clip_handle(folder).encode_images(noise(1))


@pytest.mark.parametrize("kind", ["torch", "pickle"])
@pytest.mark.parametrize(
    "name", ["open_clip_pytorch_model.bin", "model.pth", "model.safetensors", "open_clip_model.safetensors"]
)
def test_pickled_weights_of_clip_end_in_a_sentence(name, kind, tmp_path, marker):
    folder = save_clip(tmp_path / "clip")
    as_pickles(folder, marker, kind).rename(folder / name)
    with pytest.raises(ModelError, match=re.escape(str(folder))) as error:
        clip_handle(folder).encode_images(noise(1))
    assert "weights_only=False" not in str(error.value)


def test_weights_of_torch_that_hold_tensors_alone_are_read(tmp_path):
    from safetensors.torch import load_file

    file = save_clip(tmp_path) / "open_clip_model.safetensors"
    expected = clip_handle(tmp_path).encode_images(noise(1))
    torch.save(load_file(file), tmp_path / "open_clip_pytorch_model.bin")
    file.unlink()
    assert np.array_equal(clip_handle(tmp_path).encode_images(noise(1)), expected)


@pytest.mark.parametrize("part", ["config.json", "tokenizer_config.json"])
@pytest.mark.parametrize("hub", [True, False])
def test_the_code_in_the_folder_of_an_nli_model_is_not_run(part, hub, tmp_path, marker, monkeypatch):
    folder = plant(save_bart(tmp_path / "bart"), marker)
    change(folder / part, model_type="stranger", tokenizer_class="Tokenizer")
    model = of_hub(folder, tmp_path / "hub", monkeypatch) if hub else folder
    try:
        bart_handle(model).score(TEXTS, HYPOTHESES)
    except ModelError as error:
        assert "runs no code" in str(error)
        assert "trust_remote_code" not in str(error)
    else:
        assert part == "tokenizer_config.json"  # a tokenizer.json is read without the class


def test_code_beside_a_model_that_needs_none_is_left_alone(tmp_path, marker):
    folder = save_bart(tmp_path / "bart")
    expected = bart_handle(folder).score(TEXTS, HYPOTHESES)
    plant(folder, marker)
    assert np.array_equal(bart_handle(folder).score(TEXTS, HYPOTHESES), expected)


@pytest.mark.parametrize(
    "entry",
    [
        {"attn_implementation": "stranger/kernel"},
        {"_attn_implementation": "stranger/kernel@v1:own"},
        {"text_config": {"attn_implementation": {"": "stranger/kernel"}}},
        {"quantization_config": {"quant_method": "gptq"}},
    ],
)
def test_a_configuration_that_asks_for_code_from_elsewhere_is_refused(entry, tmp_path, marker):
    folder = save_bart(tmp_path / "bart")
    change(folder / "config.json", **entry)
    with pytest.raises(ModelError, match=r"config\.json"):
        bart_handle(folder).score(TEXTS, HYPOTHESES)


@pytest.mark.parametrize("kind", ["torch", "pickle"])
@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.safetensors"])
def test_pickled_weights_of_transformers_end_in_a_sentence(name, kind, tmp_path, marker):
    folder = save_bart(tmp_path / "bart")
    as_pickles(folder, marker, kind).rename(folder / name)
    with pytest.raises(ModelError, match=re.escape(str(folder))):
        bart_handle(folder).score(TEXTS, HYPOTHESES)


@pytest.mark.parametrize("part", ["config.json", "preprocessor_config.json", ""])
def test_the_code_in_the_folder_of_a_classifier_is_not_run(part, tmp_path, marker):
    from tests.models.test_classifiers import LABELS, attribute, pictures

    folder = tmp_path / "vit"
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, image_size=32, patch_size=8,
        id2label=dict(enumerate(LABELS)), label2id={label: i for i, label in enumerate(LABELS)},
    )  # fmt: skip
    transformers.ViTForImageClassification(config).save_pretrained(folder)
    transformers.ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    plant(folder, marker)
    if part:
        change(folder / part, model_type="stranger", image_processor_type="Processor")
    settings = {"gender": ClassifierSettings(model=str(folder), labels=LABELS)}
    handle = fs.models.classifiers(settings, {"gender": attribute()})["gender"]
    if not part:
        assert handle.classify(pictures(1)).shape == (1, 3)
        return
    with pytest.raises(ModelError, match="runs no code"):
        handle.classify(pictures(1))


def test_a_ratings_model_and_probes_run_no_code(tmp_path, marker):
    folder = tmp_path / "calm"
    folder.mkdir()
    spec = {"kind": "facestats ratings model", "name": "x", "n_layers": 1}
    for content in (pickle.dumps(Touch(marker)), b"\x80\x04garbage"):
        (folder / "model.json").write_text(json.dumps(spec))
        for name in ("model.safetensors", "model.json"):
            (folder / name).write_bytes(content)
            with pytest.raises(ModelError, match=re.escape(str(folder))):
                fs.ratings.load_model(folder, encoder="x")
        (tmp_path / "probes.safetensors").write_bytes(content)
        with pytest.raises(ModelError, match="holds no probes"):
            fs.attributes.load_probes(tmp_path / "probes.safetensors", "x")


@pytest.mark.parametrize(
    "wrong",
    [
        {"encoder": None},
        {"probes": None},
        {"probes": "not JSON"},
        {"probes": '{"age": 1}'},
        {"probes": '{"age": {"options": 5, "view": "face", "members": []}}'},
        {"probes": '{"nobody": {"options": ["a", "b"], "view": "face", "members": []}}'},
        {"report": "[{}"},
        {"curves": "{{"},
        {"parts": "[" * 10_000},
    ],
)
def test_probes_whose_description_is_wrong_end_in_a_sentence(wrong, tmp_path):
    from safetensors.numpy import save_file

    about = {"format": "facestats probes 3", "encoder": "x", "name": "p", "probes": "{}", "report": "[]"}
    about = {**about, "curves": "[]", "parts": "{}", **wrong}
    from facestats.attributes.probes import FILE_VERSION

    about["format"] = f"facestats probes {FILE_VERSION}"
    file = tmp_path / "p.safetensors"
    save_file({"x": np.zeros(1)}, file, metadata={k: v for k, v in about.items() if v is not None})
    with pytest.raises(ModelError, match=re.escape(str(file))):
        fs.attributes.load_probes(file, "x")


def test_the_models_of_the_demo_pass_the_check():
    from facestats.core.config import PACKAGE

    for name in ("clip", "bart"):
        check_configs(PACKAGE / "demo" / name, name)


def test_every_architecture_of_open_clip_passes_the_check(tmp_path):
    import open_clip

    for file in (Path(open_clip.__file__).parent / "model_configs").glob("*.json"):
        config = {"model_cfg": json.loads(file.read_text())}
        (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
        check_configs(tmp_path, file.stem)


@pytest.mark.parametrize(
    "index",
    [
        "{",
        "[]",
        "{}",
        '{"weight_map": 3}',
        '{"weight_map": {"a": ["x"]}}',
        '{"weight_map": {"a": "../../x.safetensors"}}',
    ],
)
def test_a_list_of_weights_that_is_none_ends_in_a_sentence(index, tmp_path, marker, monkeypatch):
    folder = save_bart(tmp_path / "bart")
    (folder / "model.safetensors").rename(folder / "other.safetensors")
    (folder / "model.safetensors.index.json").write_text(index)
    model = of_hub(folder, tmp_path / "hub", monkeypatch)
    with pytest.raises(ModelError, match="no list of weights"):
        bart_handle(model).score(TEXTS, HYPOTHESES)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
@pytest.mark.parametrize("name", ["x.json", "x.safetensors"])
def test_a_pipe_in_a_model_folder_does_not_block(name, tmp_path):
    for handle, save in ((clip_handle, save_clip), (bart_handle, save_bart)):
        folder = save(tmp_path / save.__name__)
        os.mkfifo(folder / name)
        with pytest.raises(ModelError, match="is no file"):
            _ = handle(folder).name
