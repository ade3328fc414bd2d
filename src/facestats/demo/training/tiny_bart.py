"""The tiny BART of the demo before training: its tokenizer, its network and the losses of its training."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from facestats.demo.training.nli import CONTRADICTION, ENTAILMENT

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from transformers import PreTrainedTokenizerFast

MAX_TOKENS = 160


def build_tokenizer(texts: Sequence[str], *, vocab_size: int = 1600) -> PreTrainedTokenizerFast:
    """Build a lower-casing WordPiece tokenizer that joins pairs as BART does: `<s> A </s></s> B </s>`.

    Parameters
    ----------
    texts
        Texts from which the vocabulary is learned.
    vocab_size
        Highest number of entries; the five special ones have the ids of BART.

    Returns
    -------
    PreTrainedTokenizerFast
        `AutoTokenizer.from_pretrained` can load it once it is saved.
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
        encoder_layers=3,
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
        attn_implementation="eager",
        id2label=labels,
        label2id={name: i for i, name in labels.items()},
    )
    model = BartForSequenceClassification(config)
    # With sinusoids, attention learns a relation such as "the token before" once for all positions, not once for each.
    model.model.shared.weight.data.normal_(std=0.1)
    for half in (model.model.encoder, model.model.decoder):
        half.embed_positions.weight.data = 0.1 * _sinusoids(*half.embed_positions.weight.shape)
    return model


def _sinusoids(n: int, width: int) -> torch.Tensor:
    """Return the position vectors of Vaswani et al. (2017), section 3.5, with base 1,000 instead of 10,000."""
    import torch

    angles = torch.arange(n)[:, None] * torch.exp(torch.arange(0, width, 2) * (-math.log(1000.0) / width))
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def build_helpers(d_model: int, n_hypotheses: int) -> torch.nn.ModuleDict:
    """Build auxiliary heads for training: they predict all that a caption says from the states of the encoder."""
    from torch import nn

    return nn.ModuleDict(
        {
            "look": nn.Linear(d_model, n_hypotheses),
            "say": nn.Linear(d_model, 3 * n_hypotheses),
            "which": nn.Linear(d_model, n_hypotheses),
        }
    )


def _attend(
    attention: torch.nn.Module, query: torch.Tensor, *, keys: torch.Tensor, blocked: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Compute a BART attention for one query per text; return its result, and the attention weights of each head."""
    shape = (*keys.shape[:2], attention.num_heads, attention.head_dim)
    q = attention.q_proj(query).view(len(query), attention.num_heads, -1) * attention.head_dim**-0.5
    k, v = attention.k_proj(keys).view(shape), attention.v_proj(keys).view(shape)
    seen = (q[:, None] * k).sum(-1).masked_fill(blocked[..., None], -1e9).softmax(1)
    return attention.out_proj((seen[..., None] * v).sum(1).flatten(1)), seen


def decode_end(model: torch.nn.Module, ids: torch.Tensor, states: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Compute a one-layer decoder for the last token only, the one that the classifier reads: a third of the work.

    Returns
    -------
    tuple
        Logits (n, 3), equal to those of the whole model; state of the decoder (n, d); cross-attention
        (n, tokens, heads).
    """
    import torch
    from transformers.models.bart.modeling_bart import shift_tokens_right

    decoder, pad = model.model.decoder, ids == 1
    (layer,) = decoder.layers
    shifted = shift_tokens_right(ids, 1, 2)
    tokens = decoder.layernorm_embedding(decoder.embed_tokens(shifted) + decoder.embed_positions(shifted))
    state = tokens[torch.arange(len(ids), device=ids.device), (~pad).sum(1) - 1]
    state = layer.self_attn_layer_norm(state + _attend(layer.self_attn, state, keys=tokens, blocked=pad)[0])
    found, seen = _attend(layer.encoder_attn, state, keys=states, blocked=pad)
    state = layer.encoder_attn_layer_norm(state + found)
    state = layer.final_layer_norm(state + layer.fc2(layer.activation_fn(layer.fc1(state))))
    return model.classification_head(state), state, seen


def training_loss(
    model: torch.nn.Module, helpers: torch.nn.ModuleDict, batch: tuple, *, help_share: float
) -> tuple[torch.Tensor, ...]:
    """Compute the loss of a batch of pairs and of the auxiliary heads.

    Returns
    -------
    tuple
        Total; loss of the pairs; of everything that is said; of the hypothesis; of the guided attention.
    """
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

    device = helpers["look"].weight.device
    ids, lengths, which, truth = (torch.from_numpy(part).to(device) for part in batch)
    every = torch.arange(len(ids), device=device)
    states = model.model.encoder(ids, attention_mask=(ids != 1).long()).last_hidden_state
    logits, state, seen = decode_end(model, ids, states)
    logits, target = logits.float(), truth[every, which]
    # Two choices are trained: among all three labels, and entailment against contradiction alone.
    entails = (target == ENTAILMENT).float()
    against = binary_cross_entropy_with_logits(logits[:, ENTAILMENT] - logits[:, CONTRADICTION], entails)
    main = cross_entropy(logits, target) + against
    # Attention of each hypothesis to the tokens of the caption; on <s> or </s>, it means that nothing is said.
    outside = torch.arange(ids.shape[1], device=device)[None, :, None] >= lengths[:, None, None]
    look = helpers["look"](states).masked_fill(outside, -1e4).softmax(1)
    said = helpers["say"](states).view(*states.shape[:2], -1, 3)
    dense = cross_entropy((look[..., None] * said).sum(1).flatten(0, 1).float(), truth.flatten())
    which_loss = cross_entropy(helpers["which"](state).float(), which)
    # Two cross-attention heads learn the attention of the auxiliary heads: one to what entails, one to what
    # contradicts; if there is nothing of the kind, to <s>.
    evidence, nowhere = look.detach()[every, :, which], torch.zeros_like(look[:, :, 0])
    nowhere[:, 0] = 1.0
    guide = 0.0
    for head, label in ((0, ENTAILMENT), (1, CONTRADICTION)):
        goal = torch.where((target == label)[:, None], evidence, nowhere)
        guide = guide - (goal * seen[..., head].float().clamp_min(1e-6).log()).sum(1).mean()
    loss = main + help_share * (3 * dense + 0.3 * which_loss + 0.3 * guide)
    return loss, main, dense, which_loss, guide
