"""Whether a device multiplies bfloat16 natively.

Without such instructions every number is unpacked and rounded again, and a network is several times
slower than in float32: five times on a processor restricted to AVX2.
"""

import os
import re
from collections.abc import Mapping

import torch

# What oneDNN multiplies bfloat16 with, matrices (AMX, which makes it faster than float32) before vectors: x86 since Sapphire
# Rapids, and since Cooper Lake and Zen 4; ARM since Neoverse V1.
INSTRUCTIONS = ("amx_bf16", "avx512_bf16", "arm_bf16", "bf16")
LIMITS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")  # oneDNN reads the first that is set
# Their values that exclude all of these, in any case of letters (oneDNN 3.x, `cpu_isa_hints`).
TOO_LOW = ("sse41", "avx", "avx2", "avx2_vnni", "avx2_vnni_2", "avx512_core", "avx512_core_vnni")


def support(device: str) -> tuple[bool, str]:
    """Whether a device ("cpu", "cuda" or "cuda:N") multiplies bfloat16, and the reason in words.

    False for any other device.
    """
    kind = torch.device(device).type
    if kind not in ("cpu", "cuda"):
        return False, f"{kind} is not known to multiply it"
    if kind == "cuda":
        with torch.cuda.device(device):
            has = torch.cuda.is_bf16_supported(including_emulation=False)
        return has, "this GPU has it" if has else "this GPU has no bfloat16"
    instructions = [name for name in INSTRUCTIONS if name in capabilities()]
    if not instructions:
        return False, "this processor has no instructions for bfloat16"
    if limit := limited_by(os.environ):
        return False, f"{limit} keeps oneDNN from the processor's {instructions[0]}"
    return True, f"this processor has {instructions[0]}"


def capabilities() -> set[str]:
    """The capabilities of the processor, by the names of Linux and torch."""
    get_capabilities = getattr(torch.cpu, "get_capabilities", None)  # torch >= 2.10
    if get_capabilities is not None:
        return {name for name, value in get_capabilities().items() if value is True}
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
            return named_in(file.read())
    except OSError:
        return set()


def named_in(cpuinfo: str) -> set[str]:
    """The words of the first processor's `flags` (x86) or `Features` (ARM) in a /proc/cpuinfo."""
    match = re.search(r"^(?:flags|Features)\s*:(.*)$", cpuinfo, re.MULTILINE)
    return set(match[1].split()) if match else set()


def limited_by(environment: Mapping[str, str]) -> str:
    """The environment variable, "NAME=VALUE", that keeps oneDNN from using bfloat16 instructions.

    Empty if there is none.
    """
    name = next((name for name in LIMITS if environment.get(name)), "")
    return f"{name}={environment[name]}" if environment.get(name, "").lower() in TOO_LOW else ""
