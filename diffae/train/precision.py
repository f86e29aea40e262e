"""bfloat16 where it is faster, float32 where it is not; float16 on a GPU that is asked for it."""

import torch

from diffae import bfloat16
from diffae.errors import UserError

AUTO, BFLOAT16, FLOAT16, FLOAT32 = "auto", "bfloat16", "float16", "float32"
CHOICES = (AUTO, BFLOAT16, FLOAT16, FLOAT32)
# Multiplies vectors of bfloat16, not matrices: a step takes 1.5 times as long as in float32 (docs/results/training_speed.py).
VECTORS, MATRICES = "avx512_bf16", "amx_bf16"
DTYPES = {BFLOAT16: torch.bfloat16, FLOAT16: torch.float16}  # of autocast


def choose(asked: str, device: str) -> tuple[str, str]:
    """The precision of a training and why, in words. Raises UserError for float16 where there is no GPU: the
    processor computes it many times slower."""
    if asked == FLOAT16 and not device.startswith("cuda"):
        raise UserError("--precision float16: is for GPUs; take bfloat16 or float32")
    if asked != AUTO:
        return asked, "as asked"
    has, why = bfloat16.support(device)
    if has and device == "cpu" and _has_vectors_alone():
        return FLOAT32, f"this processor's {VECTORS} is slower"
    return BFLOAT16 if has else FLOAT32, why


def _has_vectors_alone() -> bool:
    found = bfloat16.capabilities()
    return VECTORS in found and MATRICES not in found
