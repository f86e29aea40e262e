"""bfloat16 where the processor multiplies it, float32 where it would only pretend to.

Without such instructions a step in bfloat16 takes several times as long as one in float32.
"""

import torch

AUTO, BFLOAT16, FLOAT32 = "auto", "bfloat16", "float32"
CHOICES = (AUTO, BFLOAT16, FLOAT32)
# What oneDNN multiplies bfloat16 with: x86 since Cooper Lake, Zen 4 and Sapphire Rapids, ARM since Neoverse V1.
INSTRUCTIONS = ("avx512_bf16", "amx_bf16", "arm_bf16", "bf16")


def choose(asked: str, device: str) -> tuple[str, str]:
    """The precision of a training, "bfloat16" or "float32", and why, in words."""
    if asked != AUTO:
        return asked, "as asked"
    if device != "cpu":
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return BFLOAT16, "this GPU has it"
        return FLOAT32, "this GPU has no bfloat16"
    found = [name for name in INSTRUCTIONS if name in capabilities()]
    if found:
        return BFLOAT16, f"this processor has {found[0]}"
    return FLOAT32, "this processor has no instructions for bfloat16"


def capabilities() -> set[str]:
    """What the processor can do, by the names of Linux and torch."""
    known = getattr(torch.cpu, "get_capabilities", None)  # torch >= 2.10
    if known is not None:
        return {name for name, value in known().items() if value is True}
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
            return set(file.read().split())
    except OSError:
        return set()
