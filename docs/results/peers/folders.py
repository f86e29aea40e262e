"""How fast are the commands that measure two folders of JPEG files? Each with the same random networks.

    python docs/results/peers/folders.py [--images 2000] [--rounds 1] [--threads 2]

Ours measures the Frechet distance and KID, those of other libraries what they have of these. Random
weights are written in each one's own format, so that nothing is fetched. The commands run in turn, each in a
process of its own; of each the round with the least wall time counts. A command whose package is
missing is left out. Run it on an idle machine; `sets.csv` is written.
"""

import argparse
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from skimage import data
from torch import nn

from benchmarks.metrics.networks.inception import _fid_inception_v3
from benchmarks.weights import KNOWN

TABLE = Path(__file__).with_name("sets.csv")
SIDE = 256
PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket")
CLEAN_FID = Path("/tmp/inception-2015-12-05.pt")  # where clean-fid looks for its network


def write_images(folder: Path, count: int, seed: int) -> None:
    """Crops of photographs with some noise, as JPEG files."""
    folder.mkdir()
    draw = np.random.default_rng(seed)
    photographs = [getattr(data, name)() for name in PHOTOGRAPHS]
    for number in range(count):
        whole = photographs[draw.integers(len(photographs))]
        top, left = (int(draw.integers(0, size - SIDE + 1)) for size in whole.shape[:2])
        crop = whole[top : top + SIDE, left : left + SIDE] + draw.normal(
            0, 4 * seed, (SIDE, SIDE, 3)
        )
        Image.fromarray(crop.clip(0, 255).astype(np.uint8)).save(
            folder / f"{number:05}.jpg", quality=92
        )


class Scripted(nn.Module):
    """Inception as clean-fid loads it: `layers` makes features of images of 299 px in [-1, 1]."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        network.fc = nn.Identity()
        self.layers = torch.jit.trace(network.eval(), torch.zeros(1, 3, 299, 299))


def write_weights(root: Path) -> None:
    """The same random weights in the format of each command."""
    torch.manual_seed(0)
    network = _fid_inception_v3()
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight)
    hub = root / "hub" / "checkpoints"
    hub.mkdir(parents=True)
    ours = root / KNOWN["inception"].files[-1].filename
    for path in (ours, hub / "pt_inception-2015-12-05-6726825d.pth", root / "torch-fidelity.pth"):
        torch.save(network.state_dict(), path)
    torch.jit.script(Scripted(network)).save(CLEAN_FID)


# SciPy no longer takes the argument `disp` that pytorch-fid and clean-fid give `sqrtm`.
SQRTM = "import scipy.linalg as l; f = l.sqrtm; l.sqrtm = lambda m, disp: (f(m), None); "


def commands(root: Path, count: int) -> dict[str, list[str]]:
    """The words of each command that compares two sets of `count` images, by its package."""
    a, b, python = str(root / "a"), str(root / "b"), sys.executable
    fid = (
        SQRTM
        + f"import sys; sys.argv[1:] = [{a!r}, {b!r}, '--device', 'cpu']; import pytorch_fid.fid_score as s; s.main()"
    )
    clean = (
        SQRTM
        + f"from cleanfid.fid import compute_fid; print('FID:', compute_fid({a!r}, {b!r}, device='cpu', use_dataparallel=False))"
    )
    weights = str(root / "torch-fidelity.pth")
    subset = str(min(count, 1_000))
    of_fidelity = ["--input1", a, "--input2", b, "--fid", "--kid", "--kid-subset-size", subset]
    of_fidelity += ["--cpu", "--feature-extractor-weights-path", weights]
    ours = [python, "-m", "benchmarks.measure", "fid,kid", a, b, "--weights-dir", str(root)]
    return {
        "diffae-bench": [*ours, "--allow-unknown-weights"],
        "pytorch-fid": [python, "-c", fid],
        "torch-fidelity": [python, "-m", "torch_fidelity.fidelity", *of_fidelity],
        "clean-fid": [python, "-c", clean],
    }


def timed(words: list[str], root: Path, threads: int) -> dict[str, float | str]:
    """Wall and processor seconds and memory of a command, with its children, and the last number that
    it printed of FID.
    """
    environment = os.environ | {"TORCH_HOME": str(root), "OMP_NUM_THREADS": str(threads)}
    program = (
        "import resource, subprocess, sys, time; t = time.time(); "
        "subprocess.run(sys.argv[1:], check=True); u = resource.getrusage(resource.RUSAGE_CHILDREN); "
        "print('TIMES', time.time() - t, u.ru_utime + u.ru_stime, u.ru_maxrss / 1024)"
    )
    called = [sys.executable, "-c", program, *words]
    said = subprocess.run(
        called,
        env=environment,
        check=True,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ).stdout
    wall, processor, memory = map(float, said.split("TIMES")[1].split())
    value = re.findall(r"(?i)(?:fid|inception.distance):? +([\d.]+)\s", said)[-1]
    return {"wall": wall, "processor": processor, "MB": memory, "value": value}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=int, default=2_000, help="in each of the two folders")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="peers-") as folder:
        root = Path(folder)
        write_weights(root)
        for seed, name in enumerate("ab"):
            write_images(root / name, args.images, seed)
        lines = in_rounds(commands(root, args.images), root, args.rounds, args.threads)
        pd.DataFrame(lines).to_csv(TABLE, index=False)


def in_rounds(
    commands: dict[str, list[str]], root: Path, rounds: int, threads: int
) -> list[dict[str, str]]:
    """One line of the table for each command."""
    found: dict[str, list[dict[str, float | str]]] = {}
    for _ in range(rounds):
        for package, words in commands.items():
            if importlib.util.find_spec(MODULES[package]) is None:
                print(f"{package} is not installed: left out")
                continue
            found.setdefault(package, []).append(timed(words, root, threads))
            print(package, found[package][-1], flush=True)
    best = {package: min(of, key=lambda one: one["wall"]) for package, of in found.items()}
    return [
        {
            "command": f"{package} {version(package)}",
            "wall seconds": f"{one['wall']:.1f}",
            "CPU seconds": f"{one['processor']:.1f}",
            "MB": f"{one['MB']:.0f}",
            "wall / ours": f"{one['wall'] / best['diffae-bench']['wall']:.2f}",
            "value": one["value"],
        }
        for package, one in best.items()
    ]


MODULES = {
    "diffae-bench": "benchmarks",
    "pytorch-fid": "pytorch_fid",
    "torch-fidelity": "torch_fidelity",
    "clean-fid": "cleanfid",
}

if __name__ == "__main__":
    main()
