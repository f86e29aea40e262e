"""Options of the test suite."""

import gc
import os
import signal
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import resvg_py
from drawing import drawing
from PIL import Image, PngImagePlugin

# Before torch is imported: in small tests two threads mostly wait for each other, so
# the suite runs in processes of one thread (`-n 2`).
os.environ.setdefault("OMP_NUM_THREADS", "1")

# What a person has fetched or computed does not decide tests, nor do portraits that were drawn otherwise.
CACHE = Path(os.environ.get("DIFFAE_CACHE") or Path.home() / ".cache" / "diffae-tests")
DRAWN = f"drawn-{drawing()}"
os.environ["DIFFAE_CACHE"] = str(CACHE if CACHE.name == DRAWN else CACHE / DRAWN)

# Rewritten asserts, and modules of the many short processes, are compiled once and not each time.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def pytest_configure(config: pytest.Config) -> None:
    # pytest-xdist would start with the files of many tests; the slowest files have few, and would run last.
    config.option.loadscopereorder = False
    gc.disable()


def pytest_collection_finish() -> None:
    """What was imported and collected stays: no collection of garbage looks through it, now or later.

    The rest is looked through less often, or it would take 4 % of the time.
    """
    gc.freeze()
    gc.set_threshold(10_000)
    gc.enable()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--run-folder", type=Path, help="folder of a finished quick run, for claims.py"
    )
    parser.addoption(
        "--dist-folder", type=Path, help="empty folder in which wheel.py leaves what it built"
    )


@pytest.fixture(scope="session", autouse=True)
def pictures_are_compressed_less() -> Iterator[None]:
    """PNG files have the same pixels, and take a third of the time to write."""
    write = Image.SAVE[PngImagePlugin.PngImageFile.format]

    def quick(image: Image.Image, *how: Any) -> None:
        image.encoderinfo.setdefault("compress_level", 1)
        write(image, *how)

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(Image.SAVE, PngImagePlugin.PngImageFile.format, quick)
        yield


@pytest.fixture(scope="session", autouse=True)
def a_portrait_is_drawn_once() -> Iterator[None]:
    """Tests draw the same portraits again and again; a drawing of another SVG is another."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resvg_py, "svg_to_bytes", lru_cache(2_000)(resvg_py.svg_to_bytes))
        yield


THEIRS = (
    "PYTEST_CURRENT_TEST",
    "TORCHINDUCTOR_CACHE_DIR",
    "HF_HUB_DISABLE_TELEMETRY",
)  # of pytest and PyTorch
# How the variables begin that commands and tests read or set; libraries set others when they are imported.
READ = (
    "CUBLAS_",
    "CUDA_",
    "DIFFAE_",
    "GITHUB_",
    "HF_",
    "MASTER_",
    "OMP_",
    "PYTHON",
    "RANK",
    "WORLD_SIZE",
)


@pytest.fixture(autouse=True)
def leaves_the_process_as_it_was() -> Iterator[None]:
    """Fail a test that leaves something behind which the next one would see, in whatever order."""
    before = _state()
    yield
    after = _state()
    ours = tuple(f"${name}" for name in READ)
    both = before.keys() & after.keys() | {n for n in before if n[0] == "$"}
    both |= {name for name in after if name.startswith(ours)}
    told = {name: (before.get(name), after.get(name)) for name in both}
    left = {name: values for name, values in told.items() if values[0] != values[1]}
    assert not left, f"left behind (before, after): {left}"


def _state() -> dict[str, Any]:
    """What belongs to the whole process, of those things that commands and tests change."""
    found: dict[str, Any] = {
        "sys.argv": list(sys.argv),
        "sys.path": list(sys.path),
        "folder": os.getcwd(),
        "signals": [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)],
        "sys.excepthook": sys.excepthook,
    }
    if torch := sys.modules.get("torch"):
        found |= {
            "dtype": torch.get_default_dtype(),
            "gradients": torch.is_grad_enabled(),
            "deterministic": torch.are_deterministic_algorithms_enabled(),
            "threads": torch.get_num_threads(),
            "products": torch.get_float32_matmul_precision(),
            "cuDNN": (torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark),
            "autocast": torch.is_autocast_enabled("cpu"),
        }
    return found | {f"${name}": value for name, value in os.environ.items() if name not in THEIRS}
