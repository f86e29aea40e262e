"""The floating-point precision of a system's networks: a setting of the run, never the machine's default.

    float32    TF32 off, for matrix products and for convolutions (which PyTorch computes in TF32 unless told not to)
    tf32       products of 10 bits on GPUs that have TensorFloat-32; the sums stay float32
    bfloat16   autocast: products of 7 bits where PyTorch thinks it safe, on CPU and GPU alike

It applies to the networks of a system only. Metric networks always compute in float32, and so does
everything under `full_precision`, such as path length: it divides a difference of images by 10^-8,
and emulated TF32 turns a path length of 6.9 into 1,379.
"""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Protocol

import torch
from torch import backends

from diffae.networks import bfloat16
from diffae.system.errors import UserError

EXACT, TF32 = "ieee", "tf32"  # PyTorch's own words

OVERRIDE = "NVIDIA_TF32_OVERRIDE"  # read by cuBLAS and cuDNN themselves: 0 never TF32, 1 always

_of_networks = "float32"  # the precision of systems' networks at the moment


@contextmanager
def precision(name: str) -> Iterator[None]:
    """Within the block, systems' networks compute in `name` (of PRECISIONS), and all else in float32."""
    global _of_networks
    before, _of_networks = _of_networks, name
    try:
        with _products(EXACT), _autocast(False):
            yield
    finally:
        _of_networks = before


def refuse_what_cannot_be(name: str, device: str) -> None:
    """Raise UserError if `device` would emulate precision `name`, or an environment variable
    overrides it.
    """
    value = os.environ.get(OVERRIDE, "")
    if value and (value == "0") == (name == "tf32"):
        raise UserError(f"{OVERRIDE}={value}: overrides --precision {name}; unset it")
    has, why = bfloat16.support(device) if name == "bfloat16" else (True, "")
    if not has:
        raise UserError(
            f"--precision bfloat16: {why}; emulated it takes several times as long as float32: use --precision float32"
        )


def full_precision() -> AbstractContextManager[None]:
    """Within the block everything computes in float32, the systems' networks included."""
    return precision("float32")


@contextmanager
def of_networks() -> Iterator[None]:
    """Context for every call of a system: its networks compute in the precision that was set."""
    with _products(TF32 if _of_networks == "tf32" else EXACT):
        with _autocast(_of_networks == "bfloat16"):
            yield


@contextmanager
def _autocast(on: bool) -> Iterator[None]:
    """Switch autocast to bfloat16 on or off on all devices."""
    devices = ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",)
    with ExitStack() as stack:
        for device in devices:
            stack.enter_context(torch.autocast(device, torch.bfloat16, enabled=on))
        yield


@contextmanager
def _products(mode: str) -> Iterator[None]:
    """Compute products of float32 numbers in `mode` on GPUs, and exactly on the CPU."""
    matmul, before = _matmul_precision(), _read_switches()
    _turn_switches("high" if mode == TF32 else "highest", (mode, mode, mode, EXACT, EXACT))
    try:
        yield
    finally:
        _turn_switches(matmul, before)


# ----------------------------------------------------------------------------------------------
# PyTorch's switches, the old ones (for matrix products and cuDNN) and the new ones (one an operator, since 2.9)


class _Switch(Protocol):
    fp32_precision: str


def _switches() -> tuple[_Switch, ...]:
    """PyTorch's switches: matrix products, convolutions and recurrent networks on GPUs, then the
    first two on CPUs; none before 2.9.
    """
    if not hasattr(backends.cuda.matmul, "fp32_precision"):
        return ()
    on_gpus = (backends.cuda.matmul, *(getattr(backends.cudnn, name) for name in ("conv", "rnn")))
    return (*on_gpus, *(getattr(backends.mkldnn, name) for name in ("matmul", "conv")))


def _matmul_precision() -> str:
    """The word that `torch.set_float32_matmul_precision` set: "highest", "high" or "medium"."""
    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:  # a new switch was set alone, and PyTorch refuses to read the two
        return "highest"


def _read_switches() -> tuple[str, ...]:
    if switches := _switches():
        return tuple(switch.fp32_precision for switch in switches)
    old = (backends.cuda.matmul.allow_tf32, backends.cudnn.allow_tf32)
    return tuple(TF32 if on else EXACT for on in old)


def _turn_switches(matmul: str, modes: tuple[str, ...]) -> None:
    """Set the old switches, then the new ones: the last one set counts, and PyTorch refuses to read
    two that differ. `matmul` is a word of `torch.set_float32_matmul_precision`.
    """
    torch.set_float32_matmul_precision(matmul)
    backends.cudnn.allow_tf32 = modes[1] == TF32
    for switch, mode in zip(_switches(), modes, strict=False):
        switch.fp32_precision = mode
