"""Natural language inference through transformers: BART-MNLI, or any sequence classifier trained for it."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facestats.core.protocols import ModelError
from facestats.models.runtime import Lanes, check_finite, pick_device, pick_precision, torch_dtype
from facestats.models.weights import hash_files, hub_folder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from facestats.core.config import TextLabelsSettings

log = logging.getLogger(__name__)

WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
PAIRS_AT_ONCE = 4096  # pairs tokenised and sorted together: bounds memory, whatever the number of texts


def bart(settings: TextLabelsSettings) -> Bart:
    """Make a handle on the NLI model of `settings`; nothing is loaded before it is needed."""
    return Bart(settings)


class Bart:
    """A handle on an NLI model (protocol `TextClassifier`): loads on first use, pickles without weights.

    `name` holds the model, the revision of its weights (commit, or hash of the files) and the precision,
    because each of them changes the logits.
    """

    def __init__(self, settings: TextLabelsSettings) -> None:
        self.settings = settings
        self._source: tuple[Path, str] | None = None
        self._precision: tuple[str, str] | None = None
        self._loaded: _Loaded | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_loaded": None}

    @property
    def name(self) -> str:
        """Model, revision and precision."""
        folder, revision = self._find()
        # where a folder lies changes no logit
        model = self.settings.model if folder.name.startswith(revision) else folder.name
        return f"{model}@{revision} {self._pick()[0]}"

    @property
    def precision_reason(self) -> str:
        """Which precision was chosen, and why."""
        return self._pick()[1]

    def score(self, texts: Sequence[str], hypotheses: Sequence[str]) -> NDArray[np.float32]:
        """Score every text against every hypothesis; equal ones are computed once.

        Parameters
        ----------
        texts
            Premises; what exceeds the model's length is cut off, with a warning.
        hypotheses
            Statements about them.

        Returns
        -------
        Logits of contradiction and entailment, (n_texts, n_hypotheses, 2).
        """
        premises, statements = list(dict.fromkeys(texts)), list(dict.fromkeys(hypotheses))
        pairs = [(t, h) for t in premises for h in statements]
        flat = np.empty((len(pairs), 2), dtype=np.float32)
        for start in range(0, len(pairs), PAIRS_AT_ONCE):
            block = pairs[start : start + PAIRS_AT_ONCE]
            flat[start : start + len(block)] = self._load().logits(block, self.settings.batch_size)
        logits = flat.reshape(len(premises), len(statements), 2)
        rows = {t: i for i, t in enumerate(premises)}
        columns = {h: i for i, h in enumerate(statements)}
        return logits[[rows[t] for t in texts]][:, [columns[h] for h in hypotheses]]

    def _find(self) -> tuple[Path, str]:
        if self._source is None:
            self._source = _find_source(self.settings.model)
        return self._source

    def _pick(self) -> tuple[str, str]:
        if self._precision is None:
            self._precision = pick_precision(self.settings.precision, pick_device(self.settings.device))
            log.info("the NLI model runs in %s", self._precision[1])
        return self._precision

    def _load(self) -> _Loaded:
        if self._loaded is None:
            folder, _ = self._find()
            device = pick_device(self.settings.device)
            self._loaded = _Loaded(self.settings.model, folder, device=device, precision=self._pick()[0])
        return self._loaded


class _Loaded:
    """The model in memory."""

    def __init__(self, model: str, folder: Path, *, device: str, precision: str) -> None:
        from safetensors import SafetensorError
        from transformers import AutoModelForSequenceClassification, AutoTokenizer
        from transformers.utils import logging

        options = {"local_files_only": True, "trust_remote_code": False}
        noisy = logging.is_progress_bar_enabled()
        logging.disable_progress_bar()  # one of ours is open
        try:
            network = AutoModelForSequenceClassification.from_pretrained(
                folder, use_safetensors=True, **options
            )
            self.tokenizer = AutoTokenizer.from_pretrained(folder, **options)
        except (SafetensorError, OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
            msg = f"the model {model!r} in {folder} cannot be loaded: {error}"
            raise ModelError(msg) from error
        finally:
            if noisy:
                logging.enable_progress_bar()
        check_finite(network, model)
        self.columns = _label_columns(network.config.label2id, model)
        self.device, self.lanes = device, Lanes(device)
        self.network = (
            network.to(device=device, dtype=torch_dtype(precision)).eval().requires_grad_(requires_grad=False)
        )
        room = getattr(network.config, "max_position_embeddings", 512) - _position_offset(network)
        self.longest = min(room, self.tokenizer.model_max_length)

    def logits(self, pairs: list[tuple[str, str]], batch_size: int) -> NDArray[np.float32]:
        """Score pairs, sorted by length so that hardly anything is padding; results in the order given."""
        encoded = self.tokenizer(
            [t for t, _ in pairs],
            [h for _, h in pairs],
            truncation="only_first",
            max_length=self.longest,
            return_overflowing_tokens=False,
        )
        lengths = np.array([len(ids) for ids in encoded["input_ids"]])
        if n := int((lengths >= self.longest).sum()):
            log.warning(
                "%d pairs of text and hypothesis reach the model's %d tokens and may be cut", n, self.longest
            )
        order = np.argsort(-lengths, kind="stable")  # the longest first: memory shows its peak at once
        batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
        inputs = [{key: [values[i] for i in rows] for key, values in encoded.items()} for rows in batches]
        out = np.empty((len(pairs), 2), dtype=np.float32)
        for rows, logits in zip(batches, self.lanes.map(self._forward, inputs), strict=True):
            out[rows] = logits[:, self.columns]
        if not np.isfinite(out).all():
            msg = "the NLI model returned NaN; set text_labels.precision: fp32"
            raise ModelError(msg)
        return out

    def _forward(self, batch: dict[str, list[list[int]]]) -> NDArray[np.float32]:
        import torch

        with torch.inference_mode():
            padded = self.tokenizer.pad(batch, return_tensors="pt").to(self.device)
            return self.network(**padded).logits.float().cpu().numpy()


def _find_source(model: str) -> tuple[Path, str]:
    """Find the folder of a model and the revision of its weights."""
    name = model.removeprefix("local-dir:")
    folder = Path(name).expanduser()
    if folder.is_dir() or name != model or folder.is_absolute() or name.startswith("."):
        weights = list(folder.glob("*.safetensors"))
        if not weights or not (folder / "config.json").is_file():
            msg = (
                f"the model {model!r} was not found: {folder.absolute()} needs config.json, model.safetensors and"
                " the tokenizer's files, as save_pretrained of transformers writes them."
            )
            raise ModelError(msg)
        others = [p for s in ("*.json", "*.txt", "*.model") for p in folder.glob(s)]
        return folder, hash_files([*weights, *others])
    folder, revision = hub_folder(model, required=("config.json",), weights=WEIGHTS, setting=model)
    return folder, revision[:12]


def _label_columns(label2id: dict[str, int], model: str) -> list[int]:
    """Find the columns of contradiction and entailment by the model's own label names."""
    names = {label.lower(): i for label, i in label2id.items()}
    contradiction = [i for label, i in names.items() if label.startswith(("contra", "not_entail"))]
    entailment = [i for label, i in names.items() if label.startswith("entail")]
    if len(contradiction) != 1 or len(entailment) != 1:
        msg = (
            f"the model {model!r} is no NLI model: its labels are {label2id}, needed are entailment and"
            " contradiction. Take one trained on MNLI, such as facebook/bart-large-mnli, or name its labels in"
            " config.json (label2id)."
        )
        raise ModelError(msg)
    return [contradiction[0], entailment[0]]


def _position_offset(network: Any) -> int:
    """Positions that RoBERTa and its kin keep for padding: their count includes padding_idx + 1 more."""
    padding = getattr(network.config, "pad_token_id", None)
    return (padding or 0) + 1 if network.config.model_type in {"roberta", "xlm-roberta", "camembert"} else 0
