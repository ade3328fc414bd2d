"""Choose the characters of the gallery: balanced, plausible combinations of all options."""

from __future__ import annotations

import zlib
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

OPTIONS: dict[str, tuple[str, ...]] = {
    "age": ("child", "teen", "young adult", "middle-aged", "elderly"),
    "gender": ("male", "female", "non-binary"),
    "ethnicity": ("Asian", "African", "Caucasian", "Hispanic", "Middle Eastern"),
    "hair_style": ("straight", "curly", "wavy", "ponytail", "bun", "braided"),
    "hair_color": ("black", "brown", "blonde", "red", "white", "gray", "colorful"),
    "hair_length": ("bald", "short", "medium", "long"),
    "eye_color": ("brown", "blue", "green", "gray", "hazel", "amber"),
    "body_type": ("slim", "average", "muscular", "curvy", "heavy"),
    "dress": ("casual", "formal", "traditional", "uniform", "fantasy", "modern"),
}
SHARES = {  # uneven, to make up for the implausible combinations that are left out
    "hair_length": (0.15, 0.27, 0.29, 0.29),
    "body_type": (0.17, 0.17, 0.20, 0.29, 0.17),
}
HELD_OUT = 6  # one combination in six is drawn for evaluation only


@lru_cache(maxsize=16)
def _shares(attribute: str) -> tuple[float, ...]:
    """Return the probability of each option."""
    n = len(OPTIONS[attribute])
    return SHARES.get(attribute, (1 / n,) * n)


def is_held_out(record: Mapping[str, str | None]) -> bool:
    """Whether a combination of options belongs to evaluation.

    Parameters
    ----------
    record
        The option of each attribute, None where it cannot be seen.

    Returns
    -------
    bool
        True for one combination in six, chosen by its checksum; they never occur in training.
    """
    key = "|".join(str(record[name]) for name in OPTIONS)
    return zlib.crc32(key.encode()) % HELD_OUT == 0


def _plausible(record: dict[str, str | None], rng: np.random.Generator) -> bool:
    """Whether to keep a record: implausible combinations never, rare ones by chance."""
    young = record["age"] in {"child", "teen"}
    if record["hair_length"] == "bald" and (record["age"] == "child" or (young and rng.random() < 0.6)):
        return False
    if record["age"] == "child" and record["body_type"] == "muscular":
        return False
    if record["body_type"] == "curvy" and (young or record["gender"] == "male"):
        return False
    if record["age"] == "teen" and record["body_type"] == "muscular" and rng.random() < 0.5:
        return False
    return not (young and record["hair_color"] in {"white", "gray"} and rng.random() < 0.5)


def sample_records(n: int, *, seed: int, style: str = "train") -> list[dict[str, str | None]]:
    """Draw records in which every option is frequent.

    Parameters
    ----------
    n
        Number of records.
    seed
        The same seed gives the same records; the first k of n do not depend on n.
    style
        "train" or "eval"; no combination occurs in both.

    Returns
    -------
    list of dict
        Attribute to option, in the order of `OPTIONS`; hair style and hair colour of bald characters are None.

    Raises
    ------
    ValueError
        If `style` is neither.
    """
    if style not in {"train", "eval"}:
        msg = f"style must be 'train' or 'eval', got {style!r}"
        raise ValueError(msg)
    rng = np.random.default_rng([seed, style == "eval"])
    records: list[dict[str, str | None]] = []
    while len(records) < n:
        record: dict[str, str | None] = {
            name: str(rng.choice(options, p=_shares(name))) for name, options in OPTIONS.items()
        }
        if not _plausible(record, rng):
            continue
        if record["hair_length"] == "bald":
            record["hair_style"] = record["hair_color"] = None
        if is_held_out(record) == (style == "eval"):
            records.append(record)
    return records
