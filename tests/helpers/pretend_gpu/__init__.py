"""A pretend GPU: a program's tensors say that they are on `cuda:0`, and lie in the CPU's memory.

    python -m pretend_gpu [--counts FILE] [--room N --error NAME] MODULE [ARGUMENTS ...]

Like a GPU it refuses tensors of two devices in one operation, `.numpy()`, generators of the wrong
device, and operations that CUDA does not have. It counts by file and line what makes the host wait
for the device, and what is copied between them. It counts the bytes of tensors as CUDA does: what
is freed stays cached until `empty_cache`. It has no speed, no memory limit of its own and no kernels
of CUDA: everything is computed as on the CPU, step by step.

It uses private interfaces of one version of PyTorch, and must be there before PyTorch is imported,
so that a program on it is a process of its own. This module does not import PyTorch.
"""

import hashlib
import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

VERSION = "2.13"  # of PyTorch
SOURCE = Path(__file__).parent / "guard.cpp"
BUILT = Path.home() / ".cache" / "diffae-tests" / "pretend_gpu"


def reason_to_skip() -> str | None:
    """Why there is no pretend GPU here, in words; None if there is one."""
    version = importlib.metadata.version("torch")
    if not version.startswith(VERSION + "."):
        return f"the pretend GPU is made for PyTorch {VERSION}, this is {version}"
    if (torch_folder() / "lib" / "libtorch_cuda.so").exists():
        return "the pretend GPU needs a PyTorch for CPUs"
    if compiler() is None:
        return "the pretend GPU needs a C++ compiler: $CXX, c++ or g++"
    return None


def torch_folder() -> Path:
    spec = importlib.util.find_spec("torch")
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent


def compiler() -> str | None:
    names = filter(None, (os.environ.get("CXX"), "c++", "g++"))
    return next(filter(None, map(shutil.which, names)), None)


def library() -> Path:
    """The compiled guard.cpp; compiled once for each version of it, of PyTorch and of the compiler."""
    include = torch_folder() / "include"
    folders = (include, include / "torch" / "csrc" / "api" / "include")
    command = [compiler() or "c++", "-std=c++20", "-O0", "-shared", "-fPIC", str(SOURCE)]
    command += [f"-I{folder}" for folder in folders]
    version = importlib.metadata.version("torch")
    key = hashlib.sha256(f"{version} {command} {SOURCE.read_text()}".encode()).hexdigest()
    built = BUILT / f"guard-{key[:16]}.so"
    if not built.exists():
        BUILT.mkdir(parents=True, exist_ok=True)
        partial = built.with_suffix(f".{os.getpid()}")
        subprocess.run([*command, "-o", str(partial)], check=True)
        partial.replace(built)
    return built


def words(*program: object) -> list[str]:
    """The command line of a program on the pretend GPU."""
    return [sys.executable, "-m", "pretend_gpu", *map(str, program)]
