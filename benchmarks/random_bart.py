"""BART-large with random weights, other ways to run it for comparison, and bf16 on processors without it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from facestats.demo.training.bart_card import draw_captions
from facestats.demo.training.tiny_bart import build_tokenizer
from facestats.models.runtime import pick_device, pick_precision

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from facestats.core.config import AttributeSettings

BATCH = 32
HEAD_SCALE = 20.0  # makes the logits of random weights about as large as trained ones


def save_random_bart(folder: Path, *, seed: int = 0) -> Path:
    """Save a randomly initialised BART-large (407 M parameters) for NLI, with a tokenizer trained on the captions."""
    import torch
    from transformers import BartConfig, BartForSequenceClassification

    torch.manual_seed(seed)
    labels = {0: "contradiction", 1: "neutral", 2: "entailment"}
    config = BartConfig(num_labels=3, id2label=labels, label2id={v: k for k, v in labels.items()})
    model = BartForSequenceClassification(config)
    model.classification_head.out_proj.weight.data *= HEAD_SCALE
    model.save_pretrained(folder)
    texts = [caption.text for caption in draw_captions(2000, seed=seed)]
    tokenizer = build_tokenizer(texts, vocab_size=4000)
    tokenizer.model_max_length = 1024
    tokenizer.save_pretrained(folder)
    return folder


def pick_texts(n: int) -> list[str]:
    """Draw `n` distinct captions of 8 to 40 words."""
    found = dict.fromkeys(c.text for c in draw_captions(20 * n, seed=1) if 8 <= len(c.text.split()) <= 40)
    return list(found)[:n]


def as_captions(texts: list[str]) -> pl.DataFrame:
    """Make a frame for the stage: `image_id` is the number of the text."""
    return pl.DataFrame({"image_id": [str(i) for i in range(len(texts))], "text": texts})


def stock_pipeline(
    folder: Path, texts: list[str], attributes: dict[str, AttributeSettings], **options: Any
) -> Callable[[], dict[str, np.ndarray]]:
    """Return a function that runs the stock pipeline, one call per attribute; probabilities are in our order."""
    import torch
    from transformers import pipeline

    device = 0 if torch.cuda.is_available() else "cpu"
    classifier = pipeline(
        "zero-shot-classification", model=str(folder), device=device, dtype=torch.float32, **options
    )

    def run() -> dict[str, np.ndarray]:
        probs = {}
        for name, attribute in attributes.items():
            labels = [option.text[0] for option in attribute.options.values()]
            results = classifier(texts, labels, hypothesis_template=attribute.text_templates[0])
            scored = [dict(zip(r["labels"], r["scores"], strict=True)) for r in results]
            probs[name] = np.array([[by_label[label] for label in labels] for by_label in scored])
        return probs

    return run


def bare_model(folder: Path, texts: list[str], hypotheses: list[str], precision: str) -> Callable[[], None]:
    """Return a function that runs the bare model on batches sorted by length: forward passes and nothing else."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}[precision]
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=dtype).eval().to(device)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    pairs = [(t, h) for t in texts for h in hypotheses]
    lengths = np.argsort([len(ids) for ids in tokenizer(*map(list, zip(*pairs, strict=True)))["input_ids"]])
    size = BATCH if device == "cpu" else 16 * BATCH
    parts = [lengths[start : start + size] for start in range(0, len(lengths), size)]
    batches = [
        tokenizer([pairs[i][0] for i in part], [pairs[i][1] for i in part], padding=True, return_tensors="pt")
        for part in parts
    ]
    ready = [batch.to(device) for batch in batches]

    def run() -> None:
        with torch.inference_mode():
            for batch in ready:
                model(**batch).logits.float().cpu()

    return run


@contextmanager
def bf16_arithmetic() -> Iterator[str]:
    """Emulate bf16 on a processor without it: sums in fp32, results rounded to bf16. Yields how it was done.

    Torch itself would run a loop that takes hours.
    """
    from torch.nn import functional

    if pick_precision("auto", pick_device("auto"))[0] == "bf16":
        yield "bf16"
        return
    linear, attention = functional.linear, functional.scaled_dot_product_attention

    def in_fp32(func: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            def to_fp32(value: Any) -> Any:
                return (
                    value.float()
                    if hasattr(value, "is_floating_point") and value.is_floating_point()
                    else value
                )

            return func(*map(to_fp32, args), **{k: to_fp32(v) for k, v in kwargs.items()}).to(args[0].dtype)

        return call

    functional.linear, functional.scaled_dot_product_attention = in_fp32(linear), in_fp32(attention)
    try:
        yield "bf16, with products in fp32 that are rounded, because this processor has no bf16"
    finally:
        functional.linear, functional.scaled_dot_product_attention = linear, attention
