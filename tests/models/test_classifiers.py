import pickle

import numpy as np
import pytest
from PIL import Image

import facestats as fs
from facestats.core.config import AttributeSettings, ClassifierSettings
from facestats.core.protocols import ModelError

OPTIONS = ("male", "female", "non-binary")
LABELS = {"man": "male", "boy": "male", "woman": "female", "unclear": None}


def attribute(options=OPTIONS):
    side = {"image": ["x"], "text": ["x"]}
    return AttributeSettings.model_validate(
        {
            "title": "X",
            "image_templates": ["{}"],
            "text_templates": ["{}"],
            "options": dict.fromkeys(options, side),
        }
    )


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A ViT with random weights, as save_pretrained writes it."""
    import torch
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

    folder = tmp_path_factory.mktemp("vit") / "tiny-vit"
    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, image_size=32, patch_size=8,
        id2label=dict(enumerate(LABELS)), label2id={label: i for i, label in enumerate(LABELS)}, initializer_range=0.5,
    )  # fmt: skip
    ViTForImageClassification(config).save_pretrained(folder)
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


def handle(folder, labels=None, **more):
    settings = {"gender": ClassifierSettings(model=str(folder), labels=labels or LABELS, **more)}
    return fs.models.classifiers(settings, {"gender": attribute()})["gender"]


def pictures(n):
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 255, (48, 48, 3), dtype=np.uint8)) for _ in range(n)]


def test_probabilities_of_labels_add_up_to_options(checkpoint):
    import torch
    from transformers import AutoImageProcessor, AutoModelForImageClassification

    images = pictures(5)
    found = handle(checkpoint, precision="fp32").classify(images)
    network = AutoModelForImageClassification.from_pretrained(checkpoint).eval()
    inputs = AutoImageProcessor.from_pretrained(checkpoint)(images=images, return_tensors="pt")
    with torch.inference_mode():
        bare = network(**inputs).logits.softmax(-1).numpy()
    assert found.shape == (5, 3)
    assert np.allclose(found[:, 0], bare[:, 0] + bare[:, 1], atol=1e-5)
    assert np.allclose(found[:, 1], bare[:, 2], atol=1e-5)
    assert np.allclose(found[:, 2], 0)
    assert np.allclose(found.sum(axis=1), 1 - bare[:, 3], atol=1e-5)


def test_batches_and_order_change_nothing(checkpoint):
    images = pictures(7)
    whole = handle(checkpoint, precision="fp32", batch_size=7).classify(images)
    small = handle(checkpoint, precision="fp32", batch_size=2).classify(images[::-1])[::-1]
    assert np.allclose(whole, small, atol=1e-5)
    assert handle(checkpoint).classify([]).shape == (0, 3)


def test_the_name_tells_weights_and_mapping_and_no_place(checkpoint, tmp_path):
    import shutil

    copy = shutil.copytree(checkpoint, tmp_path / "tiny-vit")
    assert handle(copy).name == handle(checkpoint).name
    assert handle(checkpoint, {**LABELS, "unclear": "non-binary"}).name != handle(checkpoint).name
    data = bytearray((copy / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (copy / "model.safetensors").write_bytes(data)
    assert handle(copy).name != handle(checkpoint).name


def test_the_repr_is_short_and_loads_nothing(checkpoint):
    one = handle(checkpoint)
    assert repr(one) == f"HfClassifier(model={str(checkpoint)!r}, device='auto', loaded=False)"
    assert one._source is None
    used = handle(checkpoint, device="cpu")
    used.classify(pictures(1))
    assert repr(used) == f"HfClassifier(model={str(checkpoint)!r}, device='cpu', loaded=True)"


def test_a_handle_travels_without_weights(checkpoint):
    one = handle(checkpoint, precision="fp32")
    before = one.classify(pictures(2))
    data = pickle.dumps(one)
    assert len(data) < 4000
    assert np.array_equal(pickle.loads(data).classify(pictures(2)), before)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (
            {"man": "male"},
            r"has the labels \['man', 'boy', 'woman', 'unclear'\].*leaves out \['boy', 'woman', 'unclear'\]",
        ),
        ({**LABELS, "girl": "female"}, r"names \['girl'\] that it does not have, and leaves out none"),
    ],
)
def test_labels_that_the_model_has_not_are_named_with_those_it_has(checkpoint, labels, message):
    with pytest.raises(ModelError, match=message):
        handle(checkpoint, labels).classify(pictures(1))


def test_options_and_attributes_that_there_are_not_are_named():
    with pytest.raises(
        ValueError, match=r"classifiers.gender.labels names the options \['mail'\]; gender has male, female"
    ):
        handle("x", {"man": "mail"})
    with pytest.raises(ValueError, match="names the attribute 'sex'; the attributes are gender"):
        fs.models.classifiers(
            {"sex": ClassifierSettings(model="x", labels={"a": None})}, {"gender": attribute()}
        )


def test_a_folder_without_a_model_says_what_is_needed(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(ModelError, match=r"needs model.safetensors, config.json, preprocessor_config.json"):
        _ = handle(tmp_path).name


def test_damaged_weights_are_refused(checkpoint, tmp_path):
    import shutil

    copy = shutil.copytree(checkpoint, tmp_path / "broken")
    (copy / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(ModelError, match="cannot be loaded"):
        handle(copy).classify(pictures(1))
