"""Where a model runs, in which precision and on how many threads: shared by the CLIP, BART and classifier handles."""

from __future__ import annotations

import ctypes
import functools
import logging
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Barrier, RLock
from typing import TYPE_CHECKING, Any, TypeVar

from facestats.core.protocols import ModelError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

# Only one network is built at a time: transformers and torch use settings that all threads share while they build it.
LOADING = RLock()

T = TypeVar("T")
R = TypeVar("R")

_CPUINFO = Path("/proc/cpuinfo")


def pick_device(wanted: str) -> str:
    """Name the torch device for the setting `wanted`; ``auto`` prefers cuda, then mps, then cpu."""
    import torch

    if wanted == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    if wanted.startswith("cuda") and not torch.cuda.is_available():
        msg = (
            f"the setting device is {wanted!r}, but torch {torch.__version__} finds no CUDA device."
            " Set device: auto, or install torch with CUDA."
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
    The precision, and the reason for it as a phrase for logs and provenance.
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
    """Return the flags of the first processor; none where the system does not list them (macOS, Windows)."""
    if not _CPUINFO.is_file():
        return frozenset()
    lines = _CPUINFO.read_text(errors="replace").splitlines()
    return next((frozenset(line.split()) for line in lines if line.startswith("flags")), frozenset())


def describe_handle(handle: object, *, model: str, device: str, loaded: bool) -> str:
    """Write the repr of a model handle."""
    return f"{type(handle).__name__}(model={model!r}, device={device!r}, loaded={loaded})"


@contextmanager
def undo_side_effects() -> Iterator[None]:
    """Restore torch's random state and the root logger after the block.

    open_clip draws random weights before it reads the real ones, and its log lines give the root logger a handler,
    after which ``logging.basicConfig`` of the user would do nothing.
    """
    import torch

    before = list(logging.root.handlers)
    try:
        with torch.random.fork_rng(devices=[]):  # networks are built on the CPU
            yield
    finally:
        for handler in [h for h in logging.root.handlers if h not in before]:
            logging.root.removeHandler(handler)


class BatchThreads:
    """Threads that each compute one batch on one core, for models on a CPU; one thread on any other device.

    One torch operation spread over all cores waits for the slowest of them at every step. This is very slow
    while other processes decode pictures on the same cores. Whole batches side by side need no such waiting.
    """

    def __init__(self, device: str) -> None:
        import torch

        if device == "cpu":
            _limit_kernel_caches()
        self.count = torch.get_num_threads() if device == "cpu" else 1
        self._pool = ThreadPoolExecutor(self.count) if self.count > 1 else None
        if self._pool is not None:
            barrier = Barrier(self.count)  # so that each thread of the pool takes exactly one of the tasks
            list(self._pool.map(lambda _: _use_one_core(barrier), range(self.count)))
            # set_num_threads in a thread also sets the default of threads to come: set it back
            torch.set_num_threads(self.count)

    def part_size(self, n: int, *, largest: int) -> int:
        """Rows per part if `n` rows are spread evenly and no part exceeds `largest`."""
        return max(1, min(largest, -(-n // self.count)))

    def map(self, func: Callable[[T], R], parts: Iterable[T]) -> list[R]:
        """Apply `func` to all parts in parallel, and return the results in order."""
        return [func(part) for part in parts] if self._pool is None else list(self._pool.map(func, parts))


def _use_one_core(barrier: Barrier) -> None:
    import torch

    barrier.wait()
    torch.set_num_threads(1)
    barrier.wait()


def _limit_kernel_caches() -> None:
    """Let oneDNN and torch keep 32 kernels each, unless the user has set another number.

    Each keeps 1,024 by default, with scratch memory, one for each shape of a batch: texts of many lengths fill
    gigabytes. The variables must stay set: they are read at the first operation, in torch by each thread.
    """
    for name in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
        os.environ.setdefault(name, "32")


def give_back_memory() -> None:
    """Return freed memory to the system, which glibc would otherwise keep in fragments.

    Batches of many lengths fragment the memory: without this call it grows by a fifth over the first 10,000 texts.
    """
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # another C library, such as musl
            ctypes.CDLL(None).malloc_trim(0)


def check_finite(network: Any, model: str) -> None:
    """Raise ModelError if a weight of `network` is NaN or infinite."""
    bad = [name for name, p in network.named_parameters() if not p.isfinite().all()]
    if bad:
        msg = (
            f"the weights of the model {model!r} are damaged: {bad[0]} holds NaN or infinity."
            " Download or copy its files again."
        )
        raise ModelError(msg)


@contextmanager
def discard_standard_error() -> Iterator[None]:
    """Discard what this process writes to standard error, C++ libraries included, while the block runs."""
    try:
        original = os.dup(2)
    except OSError:  # there is no standard error to silence
        yield
        return
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        os.dup2(original, 2)
        os.close(original)
        os.close(null)
