"""Natural language inference through transformers: BART-MNLI, or any sequence classifier trained for NLI."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from facestats.core.protocols import ModelError
from facestats.models.domain import Domain, find_domain
from facestats.models.pretrained import find_pretrained, load_pretrained
from facestats.models.runtime import (
    LOADING,
    BatchThreads,
    describe_handle,
    give_back_memory,
    pick_device,
    pick_precision,
)
from facestats.models.text_windows import split_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from facestats.core.config import TextLabelsSettings

log = logging.getLogger(__name__)

PAIRS_PER_BLOCK = 4096  # pairs tokenised and sorted together: a bound on memory, whatever the number of texts
PAIRS_PER_BATCH = {"cpu": 32, "cuda": 512, "mps": 64}  # for a model as wide as BART-large
BART_LARGE_WIDTH = 1024
MAX_NARROW_BATCH = 128  # for narrower models: larger batches are not faster, and they fragment memory
TOKENS_PER_PAIR = 64  # a batch holds fewer pairs where they are longer than this


def bart(settings: TextLabelsSettings) -> Bart:
    """Make a handle on a model of natural language inference (NLI); it is loaded at its first use.

    Loading on a CPU sets two environment variables for the rest of the process, unless they are set already:
    ``ONEDNN_PRIMITIVE_CACHE_CAPACITY`` and ``LRU_CACHE_CAPACITY``, because texts of many lengths would otherwise fill
    memory with kernels.

    Parameters
    ----------
    settings
        `model` (name on the Hugging Face hub, or folder), `device`, `precision`, `batch_size` and `window_tokens`
        are used.

    Returns
    -------
    A handle for :func:`facestats.label_texts`.

    Examples
    --------
    >>> import facestats as fs
    >>> from facestats.core.config import TextLabelsSettings
    >>> fs.models.bart(TextLabelsSettings())
    Bart(model='facebook/bart-large-mnli', device='auto', loaded=False)
    """
    return Bart(settings)


class Bart:
    """A handle on an NLI model (protocol `TextClassifier`): it loads on first use and pickles without weights.

    `name` holds the model, the revision of its weights (commit, or hash of the files), the precision and the
    length of a window, because each of them changes the logits.

    Parameters
    ----------
    settings
        As for :func:`facestats.models.bart`.

    Examples
    --------
    The model of the demo, which comes with the package:

    >>> import facestats as fs
    >>> from facestats.core.config import PACKAGE, TextLabelsSettings
    >>> demo = fs.models.bart(TextLabelsSettings(model=str(PACKAGE / "demo" / "bart"), device="cpu"))
    >>> logits = demo.score(["A woman with red hair."], ["The person has red hair.", "The person is bald."])
    >>> logits.shape
    (1, 2, 2)
    >>> (logits[0, :, 1] > logits[0, :, 0]).tolist()  # entailment against contradiction
    [True, False]
    """

    def __init__(self, settings: TextLabelsSettings) -> None:
        self.settings = settings
        self._source: tuple[Path, str] | None = None
        self._precision: tuple[str, str] | None = None
        self._loaded: _Loaded | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_loaded": None}

    def __repr__(self) -> str:
        device = self._loaded.device if self._loaded else self.settings.device
        return describe_handle(
            self, model=self.settings.model, device=device, loaded=self._loaded is not None
        )

    @property
    def name(self) -> str:
        """Model, revision, precision and length of a window."""
        folder, revision = self._find()
        # the name of a folder belongs to the model, its place on the disk does not
        model = self.settings.model if folder.name.startswith(revision) else folder.name
        return f"{model}@{revision} {self._pick()[0]} windows of {self.settings.window_tokens}"

    @property
    def folder(self) -> Path:
        """Folder with the files of the model."""
        return self._find()[0]

    @property
    def domain(self) -> Domain | None:
        """The only kind of texts that the model knows, if its folder says so; else None."""
        return find_domain(self.settings.model)

    @property
    def precision_reason(self) -> str:
        """The chosen precision, and the reason for it."""
        return self._pick()[1]

    def score(self, texts: Sequence[str], hypotheses: Sequence[str]) -> NDArray[np.float32]:
        """Score every text against every hypothesis; equal pairs are computed once.

        A text longer than ``window_tokens`` is cut at sentence ends into windows. For each hypothesis, the window
        that supports it most counts: it is enough that one sentence makes the statement.

        Parameters
        ----------
        texts
            Premises of any length.
        hypotheses
            Statements about them.

        Returns
        -------
        Logits of contradiction and entailment, (n_texts, n_hypotheses, 2) float32.

        Raises
        ------
        ModelError
            If the model is not found, cannot be loaded, is no NLI model, or returns NaN.
        """
        premises, statements = list(dict.fromkeys(texts)), list(dict.fromkeys(hypotheses))
        if not premises or not statements:
            return np.zeros((len(texts), len(hypotheses), 2), dtype=np.float32)
        model = self._load()
        cut = model.cut(premises, statements, limit=self.settings.window_tokens)
        windows = list(dict.fromkeys(window for parts in cut for window in parts))
        place = {window: i for i, window in enumerate(windows)}
        by_window = self._score_windows(model, windows, statements)
        logits = np.stack([_keep_best_window(by_window[[place[w] for w in parts]]) for parts in cut])
        rows = {t: i for i, t in enumerate(premises)}
        columns = {h: i for i, h in enumerate(statements)}
        return logits[np.ix_([rows[t] for t in texts], [columns[h] for h in hypotheses])]

    def _score_windows(
        self, model: _Loaded, windows: list[str], statements: list[str]
    ) -> NDArray[np.float32]:
        """Return logits (n_windows, n_statements, 2), computed for a bounded number of pairs at a time."""
        step = max(1, PAIRS_PER_BLOCK // len(statements))
        blocks = [windows[start : start + step] for start in range(0, len(windows), step)]
        flat = []
        for block in blocks:
            flat.append(model.logits([(w, h) for w in block for h in statements], self.settings.batch_size))
            if len(blocks) > 1:
                give_back_memory()
        return np.concatenate(flat).reshape(len(windows), len(statements), 2)

    def _find(self) -> tuple[Path, str]:
        if self._source is None:
            self._source = find_pretrained(
                self.settings.model, needed=("config.json",), revision=self.settings.revision
            )
        return self._source

    def _pick(self) -> tuple[str, str]:
        if self._precision is None:
            self._precision = pick_precision(self.settings.precision, pick_device(self.settings.device))
            log.info("the NLI model runs in %s", self._precision[1])
        return self._precision

    def _load(self) -> _Loaded:
        with LOADING:
            if self._loaded is None:
                folder, _ = self._find()
                device = pick_device(self.settings.device)
                self._loaded = _Loaded(self.settings.model, folder, device=device, precision=self._pick()[0])
        return self._loaded


class _Loaded:
    """The model in memory."""

    def __init__(self, model: str, folder: Path, *, device: str, precision: str) -> None:
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        classes = AutoModelForSequenceClassification, AutoTokenizer
        network, self.tokenizer = load_pretrained(
            model, folder, classes=classes, device=device, precision=precision
        )
        self.columns = _label_columns(network.config.label2id, model)
        self.device, self.threads = device, BatchThreads(device)
        self.network = network
        network.config.use_cache = False  # nothing is generated, so keys and values need not be kept
        positions = getattr(network.config, "max_position_embeddings", 512) - _reserved_positions(network)
        self.max_tokens = min(positions, self.tokenizer.model_max_length)
        # a narrow model computes a small batch faster than the next one is prepared
        narrower = max(
            1, BART_LARGE_WIDTH // max(1, getattr(network.config, "hidden_size", BART_LARGE_WIDTH))
        )
        size = PAIRS_PER_BATCH[device.partition(":")[0]]
        self.batch_size = max(size, min(size * narrower, MAX_NARROW_BATCH))

    def cut(self, premises: list[str], statements: list[str], *, limit: int) -> list[list[str]]:
        """Cut premises into windows of at most `limit` tokens that fit the model with the longest statement."""
        longest = max(self._count(statements)) + self.tokenizer.num_special_tokens_to_add(pair=True)
        limit = min(limit, self.max_tokens - longest)
        if limit < 1:
            msg = (
                f"a hypothesis of {longest} tokens leaves no room for a text, because the model reads"
                f" {self.max_tokens} tokens. Shorten the text templates or options in attributes.yaml."
            )
            raise ModelError(msg)
        lengths = self._count(premises)
        parts = [
            [text] if n <= limit else split_text(text, limit, lambda t: self._count([t])[0])
            for text, n in zip(premises, lengths, strict=True)
        ]
        if n_long := sum(n > limit for n in lengths):
            log.info("%d texts are longer than %d tokens and are read in windows", n_long, limit)
        return parts

    def logits(self, pairs: list[tuple[str, str]], batch_size: int) -> NDArray[np.float32]:
        """Score pairs in batches of similar length, which need little padding; the results keep the given order."""
        ids = self.tokenizer(*map(list, zip(*pairs, strict=True)), truncation=False, verbose=False)
        lengths = np.array([len(tokens) for tokens in ids["input_ids"]])
        # the longest first: if memory does not suffice, the first batch fails
        order = np.argsort(-lengths, kind="stable")
        batches = list(_batches(order, lengths, batch_size or self.batch_size))
        inputs = [{key: [values[i] for i in rows] for key, values in ids.items()} for rows in batches]
        out = np.empty((len(pairs), 2), dtype=np.float32)
        for rows, logits in zip(batches, self.threads.map(self._forward, inputs), strict=True):
            out[rows] = logits[:, self.columns]
        if not np.isfinite(out).all():
            msg = "the NLI model returned NaN or infinity. Set text_labels.precision: fp32."
            raise ModelError(msg)
        return out

    def _count(self, texts: list[str]) -> list[int]:
        """Count the tokens of each text, without those that mark beginning and end."""
        ids = self.tokenizer(texts, add_special_tokens=False, truncation=False, verbose=False)["input_ids"]
        return [len(tokens) for tokens in ids]

    def _forward(self, batch: dict[str, list[list[int]]]) -> NDArray[np.float32]:
        import torch

        with torch.inference_mode():
            padded = self.tokenizer.pad(batch, return_tensors="pt").to(self.device)
            return self.network(**padded).logits.float().cpu().numpy()


def _keep_best_window(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Keep, of (n_windows, n_statements, 2), for each statement the window that supports it most."""
    if len(logits) == 1:
        return logits[0]
    best = (logits[..., 1] - logits[..., 0]).argmax(axis=0)
    return logits[best, np.arange(logits.shape[1])]


def _batches(order: NDArray[np.intp], lengths: NDArray[np.int64], size: int) -> Iterator[NDArray[np.intp]]:
    """Yield the rows of each batch, the longest first: `size` rows, fewer where they are long."""
    start = 0
    while start < len(order):
        n = max(1, min(size, size * TOKENS_PER_PAIR // int(lengths[order[start]])))
        yield order[start : start + n]
        start += n


def _label_columns(label2id: dict[str, int], model: str) -> list[int]:
    """Find the columns of contradiction and entailment by the model's own label names."""
    names = {label.lower(): i for label, i in label2id.items()}
    contradiction = [i for label, i in names.items() if label.startswith(("contra", "not_entail"))]
    entailment = [i for label, i in names.items() if label.startswith("entail")]
    if len(contradiction) != 1 or len(entailment) != 1:
        msg = (
            f"the model {model!r} is no NLI model: it has the labels {label2id}, but needs entailment and"
            " contradiction. Choose a model trained on MNLI, such as facebook/bart-large-mnli, or name its labels in"
            " its config.json (label2id)."
        )
        raise ModelError(msg)
    return [contradiction[0], entailment[0]]


def _reserved_positions(network: Any) -> int:
    """Return the number of positions that models of the RoBERTa family reserve for padding: padding_idx + 1."""
    padding = getattr(network.config, "pad_token_id", None)
    return (padding or 0) + 1 if network.config.model_type in {"roberta", "xlm-roberta", "camembert"} else 0
