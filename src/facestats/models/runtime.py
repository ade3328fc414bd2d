"""Where a model runs, in which precision, and on how many threads: shared by the CLIP and BART handles."""

from __future__ import annotations

import ctypes
import functools
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Barrier, RLock
from typing import TYPE_CHECKING, Any, TypeVar

from facestats.core.protocols import ModelError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

# transformers and torch build a network with settings that all threads share: one at a time
LOADING = RLock()

T = TypeVar("T")
R = TypeVar("R")

_CPUINFO = Path("/proc/cpuinfo")

# oneDNN and the layer of torch above it each keep 1,024 kernels with their scratch memory, one for each shape of a
# batch: texts of all lengths fill gigabytes with them. Read once, at their first use.
for _cache in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
    os.environ.setdefault(_cache, "32")


def pick_device(wanted: str) -> str:
    """Name the torch device for the setting `wanted`; ``auto`` prefers cuda, then mps, then cpu."""
    import torch

    if wanted == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    if wanted.startswith("cuda") and not torch.cuda.is_available():
        msg = (
            f"device {wanted!r} was asked for, but torch {torch.__version__} sees no CUDA. Set device: auto."
        )
        raise ModelError(msg)
    return wanted


def pick_precision(wanted: str, device: str) -> tuple[str, str]:
    """Choose fp32, bf16 or fp16 for `device`, and say why.

    Parameters
    ----------
    wanted
        Setting: ``auto`` or the precision itself.
    device
        Device as :func:`pick_device` names it.

    Returns
    -------
    The precision and the reason for it, one sentence for logs and provenance.
    """
    if wanted != "auto":
        return wanted, f"{wanted} on {device}: set in the configuration"
    if device.startswith("cuda"):
        import torch

        major, minor = torch.cuda.get_device_capability(device)
        chosen = "bf16" if major >= 8 else "fp16"
        return chosen, f"{chosen} on {device}: compute capability {major}.{minor}, bf16 needs 8.0"
    found = [flag for flag in ("amx_bf16", "avx512_bf16") if flag in _cpu_flags()] if device == "cpu" else []
    if found:
        return "bf16", f"bf16 on cpu: the processor has {' and '.join(found)}"
    return "fp32", f"fp32 on {device}: no fast 16-bit arithmetic known there"


def torch_dtype(precision: str) -> Any:
    """Return the torch dtype of a precision."""
    import torch

    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]


@functools.cache
def _cpu_flags() -> frozenset[str]:
    """Flags of the first processor; empty where the system does not tell (macOS, Windows)."""
    if not _CPUINFO.is_file():
        return frozenset()
    lines = _CPUINFO.read_text(errors="replace").splitlines()
    return next((frozenset(line.split()) for line in lines if line.startswith("flags")), frozenset())


class Lanes:
    """Threads that each compute on one core, for models on a processor.

    One torch operation spread over all cores waits for the slowest of them at every step, which is ruinous
    while other processes decode pictures on the same cores. Whole batches side by side wait for nothing.
    """

    def __init__(self, device: str) -> None:
        import torch

        self.count = torch.get_num_threads() if device == "cpu" else 1
        self._pool = ThreadPoolExecutor(self.count) if self.count > 1 else None
        if self._pool is not None:
            everyone = Barrier(self.count)
            list(self._pool.map(lambda _: _take_one_core(everyone), range(self.count)))
            torch.set_num_threads(self.count)  # what the lanes set for themselves counts for new threads too

    def part_size(self, n: int, *, largest: int) -> int:
        """Rows per part if `n` rows are spread evenly and no part exceeds `largest`."""
        return max(1, min(largest, -(-n // self.count)))

    def map(self, func: Callable[[T], R], parts: Iterable[T]) -> list[R]:
        """Apply `func` to all parts, side by side, and return the results in order."""
        return [func(part) for part in parts] if self._pool is None else list(self._pool.map(func, parts))


def _take_one_core(everyone: Barrier) -> None:
    import torch

    everyone.wait()
    torch.set_num_threads(1)
    everyone.wait()


def give_back_memory() -> None:
    """Return freed memory to the system, where glibc would keep it in pieces.

    Batches of all lengths leave holes of all sizes: without this, memory grows by a fifth over the first 10,000 texts.
    """
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # another C library, such as musl
            ctypes.CDLL(None).malloc_trim(0)


def check_finite(network: Any, model: str) -> None:
    """Raise ModelError if a weight of `network` is NaN or infinite."""
    bad = [name for name, p in network.named_parameters() if not p.isfinite().all()]
    if bad:
        msg = f"the weights of the model {model!r} are damaged: {bad[0]} holds NaN or infinity. Copy them again."
        raise ModelError(msg)
