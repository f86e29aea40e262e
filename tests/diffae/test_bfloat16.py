"""Where bfloat16 is computed natively and where it is emulated: by /proc/cpuinfo, oneDNN and a GPU."""

from contextlib import nullcontext

import pytest
import torch

from diffae.networks import bfloat16

# Lines of real machines, shortened.
SAPPHIRE_RAPIDS = """\
processor\t: 0
model name\t: Intel(R) Xeon(R) Platinum 8481C
flags\t\t: fpu sse2 avx2 avx512f avx512bw avx512_bf16 amx_bf16 avx512_fp16 amx_tile amx_int8
bugs\t\t: spectre_v1
processor\t: 1
"""
SKYLAKE = """\
processor\t: 0
model name\t: Intel(R) Xeon(R) Gold 6148, not avx512_bf16
flags\t\t: fpu sse2 avx2 avx512f avx512dq avx512bw avx512vl
"""
NEOVERSE_V1 = """\
processor\t: 0
Features\t: fp asimd aes sve asimdfhm svei8mm svebf16 i8mm bf16 dgh
CPU part\t: 0xd40
"""
NEOVERSE_N1 = "processor\t: 0\nFeatures\t: fp asimd aes asimddp ssbs\n"


@pytest.fixture
def unlimited(monkeypatch):
    for name in bfloat16.LIMITS:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("cpuinfo", "said"),
    [
        (SAPPHIRE_RAPIDS, (True, "this processor has amx_bf16")),
        (SKYLAKE, (False, "this processor has no instructions for bfloat16")),
        (NEOVERSE_V1, (True, "this processor has bf16")),
        (NEOVERSE_N1, (False, "this processor has no instructions for bfloat16")),
        ("", (False, "this processor has no instructions for bfloat16")),
    ],
)
def test_a_processor_has_what_its_cpuinfo_says(cpuinfo, said, unlimited, monkeypatch):
    monkeypatch.setattr(bfloat16, "capabilities", lambda: bfloat16.named_in(cpuinfo))
    assert bfloat16.support("cpu") == said


def test_pytorch_and_linux_say_the_same_of_this_processor(unlimited):
    try:
        with open("/proc/cpuinfo") as file:
            said = bfloat16.named_in(file.read())
    except FileNotFoundError:
        pytest.skip("no /proc/cpuinfo")
    if torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512"):
        for name in ("avx2", "avx512_bf16", "amx_bf16"):
            assert (name in bfloat16.capabilities()) == (name in said), name


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({}, ""),
        ({"ONEDNN_MAX_CPU_ISA": "AVX2"}, "ONEDNN_MAX_CPU_ISA=AVX2"),
        ({"ONEDNN_MAX_CPU_ISA": "avx512_core"}, "ONEDNN_MAX_CPU_ISA=avx512_core"),
        ({"DNNL_MAX_CPU_ISA": "AVX2"}, "DNNL_MAX_CPU_ISA=AVX2"),
        ({"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_AMX"}, ""),
        ({"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_BF16"}, ""),
        ({"ONEDNN_MAX_CPU_ISA": "ALL", "DNNL_MAX_CPU_ISA": "AVX2"}, ""),
        ({"ONEDNN_MAX_CPU_ISA": "", "DNNL_MAX_CPU_ISA": "AVX2"}, "DNNL_MAX_CPU_ISA=AVX2"),
    ],
)
def test_a_limit_set_for_onednn_is_obeyed(environment, said, unlimited, monkeypatch):
    assert bfloat16.limited_by(environment) == said
    monkeypatch.setattr(bfloat16, "capabilities", lambda: {"avx512_bf16"})
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    has, why = bfloat16.support("cpu")
    assert has == (not said) and why.startswith(said)


@pytest.mark.parametrize("has", [True, False])
def test_a_gpu_that_emulates_it_does_not_have_it(has, monkeypatch):
    """No GPU is needed: PyTorch's question is answered for it, and it must be the one without
    emulation.
    """
    asked = []
    monkeypatch.setattr(torch.cuda, "device", lambda name: asked.append(name) or nullcontext())
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation=True: has or including_emulation
    )
    assert bfloat16.support("cuda:1")[0] == has and asked == ["cuda:1"]


def test_no_other_device_is_known_to_have_it():
    assert bfloat16.support("mps") == (False, "mps is not known to multiply it")
