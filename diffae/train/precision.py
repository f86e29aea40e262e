"""bfloat16 where the processor multiplies it, float32 where it would only pretend to."""

from diffae import bfloat16

AUTO, BFLOAT16, FLOAT32 = "auto", "bfloat16", "float32"
CHOICES = (AUTO, BFLOAT16, FLOAT32)


def choose(asked: str, device: str) -> tuple[str, str]:
    """The precision of a training, "bfloat16" or "float32", and why, in words."""
    if asked != AUTO:
        return asked, "as asked"
    has, why = bfloat16.support(device)
    return BFLOAT16 if has else FLOAT32, why
