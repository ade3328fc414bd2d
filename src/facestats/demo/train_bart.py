"""Train the demo's tiny BART, which tells what a caption says of a person: `python -m facestats.demo.train_bart --out DIR`."""

from __future__ import annotations

import argparse
import logging
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from facestats.demo.captions import Caption, write_caption
from facestats.demo.nli import CONTRADICTION, ENTAILMENT, Hypothesis, evaluate, judge, read_hypotheses
from facestats.demo.people import draw_record

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import torch
    from transformers import PreTrainedTokenizerFast

_log = logging.getLogger(__name__)
EVAL_SEED = 1_000_003
MAX_TOKENS = 160
_POOL = 2048
_BATCH = 128
# Matching a caption with a hypothesis is learned on short captions first: from this share of training on, this many tokens.
_LENGTHS = {0.0: 24, 0.35: 48, 0.6: MAX_TOKENS}
_NEUTRAL = (
    "The light is soft.",
    "The weather was fine that day.",
    "The picture was found in an old box.",
    "Nobody knows where this was.",
    "It was posted yesterday.",
    "The camera stood on a table.",
    "The frame is made of wood.",
    "There is some noise in the corner.",
    "The background is blurred.",
    "A green lamp hangs from the ceiling.",
    "The walls are white and brown.",
    "Many thanks to everyone who helped.",
    "It took two hours to finish.",
    "The street was long and empty.",
    "A black cat sleeps on the red sofa.",
    "The sky was gray and heavy.",
    "More pictures of this series will follow.",
    "The artist works in a modern building.",
    "File 12 of 40.",
)


def draw_captions(n: int, *, seed: int, split: str = "eval") -> list[Caption]:
    """Draw captions about as many characters, half of them sentences, half tag lists."""
    rng = np.random.default_rng([seed, split == "eval"])
    return [
        write_caption(draw_record(rng, split=split), rng, kind=("sentence", "tags")[i % 2], split=split)
        for i in range(n)
    ]


def build_tokenizer(texts: Sequence[str], *, vocab_size: int = 1600) -> PreTrainedTokenizerFast:
    """Build a lower-casing WordPiece tokenizer that joins pairs as BART does: `<s> A </s></s> B </s>`.

    Parameters
    ----------
    texts
        What the vocabulary is learned from.
    vocab_size
        Entries at most; the five special ones have BART's ids.

    Returns
    -------
    PreTrainedTokenizerFast
        Loads again by `AutoTokenizer.from_pretrained`.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokenizer = Tokenizer(models.WordPiece(unk_token="<unk>", max_input_chars_per_word=40))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.BertPreTokenizer(), pre_tokenizers.Digits(individual_digits=True)]
    )
    alphabet = list("abcdefghijklmnopqrstuvwxyz0123456789.,;:/-_'!?()")
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocab_size,
        min_frequency=8,
        special_tokens=special,
        initial_alphabet=alphabet,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    names = ("bos", "pad", "eos", "unk", "mask")
    tokens = {f"{name}_token": token for name, token in zip(names, special, strict=True)}
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        cls_token="<s>",
        sep_token="</s>",
        model_max_length=MAX_TOKENS,
        model_input_names=["input_ids", "attention_mask"],
        **tokens,
    )


def build_model(vocab_size: int, *, seed: int) -> torch.nn.Module:
    """Build an untrained BART for sequence classification with the labels of `facebook/bart-large-mnli`."""
    import torch
    from transformers import BartConfig, BartForSequenceClassification

    labels = {0: "contradiction", 1: "neutral", 2: "entailment"}
    torch.manual_seed(seed)
    config = BartConfig(
        vocab_size=vocab_size,
        d_model=128,
        encoder_layers=2,
        decoder_layers=1,
        encoder_ffn_dim=256,
        decoder_ffn_dim=256,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        activation_function="relu",
        max_position_embeddings=MAX_TOKENS,
        dropout=0.0,
        attention_dropout=0.0,
        classifier_dropout=0.0,
        id2label=labels,
        label2id={name: i for i, name in labels.items()},
    )
    model = BartForSequenceClassification(config)
    # Sinusoids let attention learn "just before me" once for all positions, instead of once for each.
    model.model.shared.weight.data.normal_(std=0.1)
    for half in (model.model.encoder, model.model.decoder):
        half.embed_positions.weight.data = 0.1 * _sinusoids(*half.embed_positions.weight.shape)
    return model


def _sinusoids(n: int, width: int) -> torch.Tensor:
    """Position vectors of Vaswani et al. 2017, section 3.5."""
    import torch

    angles = torch.arange(n)[:, None] * torch.exp(torch.arange(0, width, 2) * (-math.log(1000.0) / width))
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def score_with(model: torch.nn.Module, tokenizer: PreTrainedTokenizerFast):
    """Give a scorer for `evaluate` that runs the model in its own precision, pairs sorted by length."""
    import torch

    def score_pairs(texts: list[str], hypotheses: list[str]) -> np.ndarray:
        firsts, seconds = [t for t in texts for _ in hypotheses], hypotheses * len(texts)
        ids = tokenizer(firsts, seconds, truncation="only_first")["input_ids"]
        order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
        scores = np.empty((len(ids), 2), np.float32)
        for start in range(0, len(order), 256):
            rows = order[start : start + 256]
            batch = tokenizer.pad({"input_ids": [ids[i] for i in rows]}, return_tensors="pt")
            with torch.inference_mode():
                scores[rows] = model(**batch).logits.float().softmax(-1)[:, [ENTAILMENT, 0]].numpy()
        return scores.reshape(len(texts), len(hypotheses), 2)

    return score_pairs


def _lengthen(text: str, rng: np.random.Generator) -> str:
    """Put neutral sentences round a share of the captions, so that late positions are trained too."""
    if rng.random() < 0.85:
        return text
    extra = [_NEUTRAL[i] for i in rng.integers(len(_NEUTRAL), size=1 + int(rng.integers(8)))]
    place = int(rng.integers(len(extra) + 1))
    return " ".join([*extra[:place], text if text.endswith(".") else f"{text}.", *extra[place:]])


def _choose(truth: np.ndarray, rng: np.random.Generator, *, k: int) -> list[int]:
    """Draw k hypotheses of one caption: entailed, contradicted and neutral ones in fixed shares."""
    kinds = [np.flatnonzero(truth == label) for label in (0, 1, 2)]
    chosen = []
    for share in rng.random(k):
        label = 2 if share < 0.34 else 0 if share < 0.6 else 1
        found = kinds[label] if len(kinds[label]) else np.arange(len(truth))
        chosen.append(int(found[int(rng.random() * len(found))]))
    return chosen


def _batches(
    tokenizer: PreTrainedTokenizerFast,
    hypotheses: Sequence[Hypothesis],
    *,
    rng: np.random.Generator,
    k: int,
    longest: int,
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Endless batches of fresh pairs of about one length: token ids, premise lengths, hypothesis, truth of all hypotheses."""
    seconds = [ids[1:] for ids in tokenizer([h.text for h in hypotheses])["input_ids"]]
    while True:
        captions = [write_caption(draw_record(rng, split="train"), rng) for _ in range(_POOL)]
        firsts = tokenizer(
            [_lengthen(c.text, rng) for c in captions], truncation=True, max_length=MAX_TOKENS - 16
        )
        firsts = firsts["input_ids"]
        fitting = [i for i, first in enumerate(firsts) if len(first) <= longest]
        captions, firsts = [captions[i] for i in fitting], [firsts[i] for i in fitting]
        truths = np.array([[judge(c, h) for h in hypotheses] for c in captions])
        pairs = [
            (first, j, truth)
            for first, truth in zip(firsts, truths, strict=True)
            for j in _choose(truth, rng, k=k)
        ]
        pairs.sort(key=lambda pair: len(pair[0]) + len(seconds[pair[1]]))
        starts = list(range(0, len(pairs), _BATCH))
        rng.shuffle(starts)
        for start in starts:
            part = pairs[start : start + _BATCH]
            rows = [[*first, 2, *seconds[j]] for first, j, _ in part]
            ids = np.full((len(rows), max(map(len, rows))), 1)
            for row, tokens in zip(ids, rows, strict=True):
                row[: len(tokens)] = tokens
            yield (
                ids,
                np.array([len(p[0]) for p in part]),
                np.array([p[1] for p in part]),
                np.stack([p[2] for p in part]),
            )


def _heads(d_model: int, n_hypotheses: int) -> torch.nn.ModuleDict:
    """Helpers of training that are thrown away: they read all that a caption says from the encoder's states."""
    from torch import nn

    return nn.ModuleDict(
        {
            "look": nn.Linear(d_model, n_hypotheses),
            "say": nn.Linear(d_model, 3 * n_hypotheses),
            "which": nn.Linear(d_model, n_hypotheses),
        }
    )


def _attend(
    attention: torch.nn.Module, query: torch.Tensor, keys: torch.Tensor, blocked: torch.Tensor
) -> tuple:
    """One query per text through a BART attention: its result, and where each head looks."""
    shape = (*keys.shape[:2], attention.num_heads, attention.head_dim)
    q = attention.q_proj(query).view(len(query), attention.num_heads, -1) * attention.head_dim**-0.5
    k, v = attention.k_proj(keys).view(shape), attention.v_proj(keys).view(shape)
    seen = (q[:, None] * k).sum(-1).masked_fill(blocked[..., None], -1e9).softmax(1)
    return attention.out_proj((seen[..., None] * v).sum(1).flatten(1)), seen


def decode_end(model: torch.nn.Module, ids: torch.Tensor, states: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Run a one-layer decoder for the last token alone, the only one that the classifier reads: a third of the work.

    Returns
    -------
    tuple
        Logits (n, 3), as the whole model gives them; the decoder's state (n, d); cross-attention (n, tokens, heads).
    """
    import torch
    from transformers.models.bart.modeling_bart import shift_tokens_right

    decoder, pad = model.model.decoder, ids == 1
    (layer,) = decoder.layers
    shifted = shift_tokens_right(ids, 1, 2)
    tokens = decoder.layernorm_embedding(decoder.embed_tokens(shifted) + decoder.embed_positions(shifted))
    state = tokens[torch.arange(len(ids)), (~pad).sum(1) - 1]
    state = layer.self_attn_layer_norm(state + _attend(layer.self_attn, state, tokens, pad)[0])
    found, seen = _attend(layer.encoder_attn, state, states, pad)
    state = layer.encoder_attn_layer_norm(state + found)
    state = layer.final_layer_norm(state + layer.fc2(layer.activation_fn(layer.fc1(state))))
    return model.classification_head(state), state, seen


def _loss(
    model: torch.nn.Module, heads: torch.nn.ModuleDict, batch: tuple, *, help_share: float
) -> tuple[torch.Tensor, ...]:
    """Cross-entropy of the pair, plus the helpers' losses."""
    import torch
    from torch.nn.functional import cross_entropy

    ids, lengths, which, truth = (torch.from_numpy(part) for part in batch)
    every = torch.arange(len(ids))
    states = model.model.encoder(ids, attention_mask=(ids != 1).long()).last_hidden_state
    logits, state, seen = decode_end(model, ids, states)
    target = truth[every, which]
    main = cross_entropy(logits, target)
    # Attention of each hypothesis over the caption's tokens; <s> and </s> may mean that nothing is said.
    outside = torch.arange(ids.shape[1])[None, :, None] >= lengths[:, None, None]
    look = heads["look"](states).masked_fill(outside, -1e4).softmax(1)
    said = heads["say"](states).view(*states.shape[:2], -1, 3)
    dense = cross_entropy((look[..., None] * said).sum(1).flatten(0, 1), truth.flatten())
    which_loss = cross_entropy(heads["which"](state), which)
    # Two cross-attention heads learn to look where the helpers look: at what entails, at what contradicts, else at <s>.
    evidence, nowhere = look.detach()[every, :, which], torch.zeros_like(look[:, :, 0])
    nowhere[:, 0] = 1.0
    guide = 0.0
    for head, label in ((0, ENTAILMENT), (1, CONTRADICTION)):
        goal = torch.where((target == label)[:, None], evidence, nowhere)
        guide = guide - (goal * seen[..., head].clamp_min(1e-6).log()).sum(1).mean()
    loss = main + help_share * (3 * dense + 0.3 * which_loss + 0.3 * guide)
    return loss, main, dense, which_loss, guide


def train(
    out: Path, *, attributes: Path, seed: int = 0, n_pairs: int = 900_000, k: int = 2, peak_rate: float = 2e-3
) -> None:
    """Train from scratch on fresh captions and write the folder: weights, tokenizer, model card.

    Parameters
    ----------
    out
        Folder to write; a checkpoint is saved there every few minutes, so that training can be stopped at any time.
    attributes
        The attribute file with the hypotheses.
    seed
        Seed of weights and captions.
    n_pairs
        Number of (caption, hypothesis) pairs to learn from.
    k
        Hypotheses per caption.
    peak_rate
        Highest learning rate.
    """
    import torch

    hypotheses = read_hypotheses(attributes)
    texts = [caption.text for caption in draw_captions(20_000, seed=seed, split="train")]
    tokenizer = build_tokenizer([*texts, *_NEUTRAL * 20, *[h.text for h in hypotheses] * 50])
    model = build_model(len(tokenizer), seed=seed)
    heads = _heads(model.config.d_model, len(hypotheses))
    weights = [*model.parameters(), *heads.parameters()]
    optimizer = torch.optim.AdamW(weights, lr=peak_rate, betas=(0.9, 0.98), weight_decay=0.01)
    mean = torch.optim.swa_utils.AveragedModel(
        model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.999)
    )
    steps = n_pairs // _BATCH
    lengths = {int(part * steps): longest for part, longest in _LENGTHS.items()}
    start = saved = time.monotonic()
    held_out = draw_captions(100, seed=EVAL_SEED + 1)
    sums = np.zeros(4)
    for step in range(steps):
        if step in lengths:
            rng = np.random.default_rng([seed, 2, step])
            batches = _batches(tokenizer, hypotheses, rng=rng, k=k, longest=lengths[step])
        rise, fall = min(1.0, (step + 1) / 300), 0.5 + 0.5 * math.cos(math.pi * step / steps)
        for group in optimizer.param_groups:
            group["lr"] = peak_rate * rise * max(fall, 0.01)
        loss, *parts = _loss(model, heads, next(batches), help_share=1.0 if step < 0.6 * steps else 0.3)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        mean.update_parameters(model)
        sums += [part.item() for part in parts]
        if (step + 1) % 100 == 0:
            seconds = time.monotonic() - start
            _log.info(
                "step %d of %d, %.0f s: pair %.3f, all %.3f, which %.3f, guide %.3f",
                step + 1,
                steps,
                seconds,
                *sums / 100,
            )
            sums[:] = 0
        if time.monotonic() - saved > 240 or step + 1 == steps:
            scores = evaluate(score_with(mean.module.eval(), tokenizer), held_out, hypotheses=hypotheses)
            _log.info(
                "macro-F1 on %d held-out captions: %.3f", len(held_out), scores["all"]["mean"]["macro_f1"]
            )
            _save(mean.module, tokenizer, out)
            saved = time.monotonic()


def _save(model: torch.nn.Module, tokenizer: PreTrainedTokenizerFast, out: Path) -> None:
    """Write weights in half precision as safetensors, and the tokenizer."""
    import copy

    copy.deepcopy(model).half().save_pretrained(out)
    tokenizer.save_pretrained(out)


def main() -> None:
    """Run the training from the command line."""
    import torch

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--attributes", type=Path, default=Path("config/attributes.yaml"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pairs", type=int, default=900_000)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(args.threads)
    train(args.out, attributes=args.attributes, seed=args.seed, n_pairs=args.pairs)


if __name__ == "__main__":
    main()
