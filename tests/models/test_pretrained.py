"""Lower precision keeps what it must: any architecture runs, and large logits stay apart."""

import pytest

from facestats.models.pretrained import _no_progress_bars, load_pretrained, lower_precision

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
PICTURE = {"image_size": 32, "patch_size": 8}
BART = {"vocab_size": 100, "d_model": 32, "encoder_layers": 2, "decoder_layers": 2} | {
    f"{part}_{what}": n
    for part in ("encoder", "decoder")
    for what, n in {"attention_heads": 2, "ffn_dim": 64}.items()
}
# convolutions, raw matrices beside Linear, a last layer that is no Linear, shared embeddings
PICTURES = {
    "ViT": SMALL | PICTURE,
    "ConvNext": {"hidden_sizes": [8, 16, 32, 32], "depths": [1, 1, 1, 1], "image_size": 32},
    "ResNet": {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"},
    "Siglip": {"vision_config": SMALL | PICTURE, "text_config": {}},
}
TEXTS = {
    "Bart": BART,
    "Roberta": SMALL | {"vocab_size": 100},
    "DebertaV2": SMALL
    | {"vocab_size": 100, "relative_attention": True, "pos_att_type": ["p2c", "c2p"], "conv_kernel_size": 3},
    "XLNet": {"vocab_size": 100, "d_model": 32, "n_layer": 2, "n_head": 2, "d_inner": 64},
}


def build(name, task, settings):
    torch.manual_seed(0)
    config = getattr(transformers, f"{name}Config")(**settings)
    return getattr(transformers, f"{name}For{task}Classification")(config).eval()


def logits(network, **inputs):
    with torch.inference_mode():
        return network(**inputs).logits.float()


@pytest.mark.parametrize("name", PICTURES)
def test_classifiers_of_pictures_stay_close_in_bf16(name):
    network, pixels = build(name, "Image", PICTURES[name]), torch.randn(3, 3, 32, 32)
    exact = logits(network, pixel_values=pixels)
    found = logits(lower_precision(network, "bf16"), pixel_values=pixels.bfloat16())
    assert found == pytest.approx(exact, abs=0.05 * float(exact.std()))
    assert next(network.parameters()).dtype == torch.bfloat16


@pytest.mark.parametrize("name", TEXTS)
def test_classifiers_of_texts_stay_close_in_bf16(name):
    network = build(name, "Sequence", TEXTS[name])
    ids = torch.randint(5, 90, (2, 12))
    ids[:, -1] = 2
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    exact = logits(network, **inputs)
    found = logits(lower_precision(network, "bf16"), **inputs)
    assert found == pytest.approx(exact, abs=0.05 * float(exact.std()))


def test_large_logits_are_not_rounded_to_eighths():
    network = build("Bart", "Sequence", BART)
    ids = torch.randint(5, 90, (64, 12))
    ids[:, -1] = 2
    with torch.no_grad():
        network.classification_head.out_proj.bias.fill_(-20)
    exact = logits(network, input_ids=ids)
    found = logits(lower_precision(network, "bf16"), input_ids=ids)
    assert float((found - exact).abs().max()) < 0.01
    assert torch.equal(found.argmax(dim=1), exact.argmax(dim=1))
    assert len(found.unique()) > 100, "bf16 knows 8 numbers between -20.5 and -19.5"


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_precision_of_a_file_decides_nothing(tmp_path, precision):
    network = build("Bart", "Sequence", BART).half()
    network.save_pretrained(tmp_path)
    ids = torch.randint(5, 90, (2, 12))
    ids[:, -1] = 2
    exact = logits(network.float(), input_ids=ids)
    classes = transformers.AutoModelForSequenceClassification, transformers.AutoConfig
    loaded, _ = load_pretrained("m", tmp_path, classes=classes, device="cpu", precision=precision)
    rest = torch.float32 if precision == "fp32" else torch.bfloat16
    kinds = {type(m): {p.dtype for p in m.parameters(recurse=False)} for m in loaded.modules()}
    assert kinds[torch.nn.LayerNorm] == {torch.float32}
    assert loaded.model.encoder.layers[0].fc1.weight.dtype == rest
    assert logits(loaded, input_ids=ids) == pytest.approx(exact, abs=1e-6 if precision == "fp32" else 0.01)


def test_fp32_is_left_as_it_is():
    network = build("Bart", "Sequence", BART)
    ids = torch.randint(5, 90, (2, 12))
    ids[:, -1] = 2
    before = logits(network, input_ids=ids)
    assert torch.equal(logits(lower_precision(network, "fp32"), input_ids=ids), before)


@pytest.mark.parametrize("shown", [True, False])
@pytest.mark.parametrize("hub_shown", [True, False])
def test_progress_bars_are_hidden_while_a_model_loads_and_then_as_before(shown, hub_shown):
    from huggingface_hub import utils
    from transformers.utils import logging

    def state():
        return logging.is_progress_bar_enabled(), not utils.are_progress_bars_disabled()

    before = state()
    try:
        logging.enable_progress_bar() if shown else logging.disable_progress_bar()
        utils.enable_progress_bars() if hub_shown else utils.disable_progress_bars()
        with _no_progress_bars():
            assert state() == (False, False)
        assert state() == (shown, hub_shown)
    finally:
        logging.enable_progress_bar() if before[0] else logging.disable_progress_bar()
        utils.enable_progress_bars() if before[1] else utils.disable_progress_bars()
