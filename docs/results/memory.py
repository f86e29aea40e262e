"""Peak memory of a run with so many images, and with ten times as many.

    python docs/results/memory.py [--images 256] [--factor 10] [BENCHMARK | pixels-pca ...]

The system is a dummy that costs nothing, on portraits of 128 px, of which one takes 0.19 MiB as the networks see
it. If a benchmark held its images, the peak would grow by that much an image; what does grow is what is kept of
each: features, thumbnails and codes. `pixels-pca` is the fit of pixels + PCA, on 1,024 images and up. Every
measurement is a process of its own.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tabulate import tabulate

from benchmarks import run
from benchmarks.systems import dummy
from diffae import cli

SIZE = 128
FIT, FIT_IMAGES = "pixels-pca", 1024  # two of its batches
ALL = (
    "reconstruction",
    "probes",
    "denoising",
    "unconditional",
    "memorisation",
    "fewshot",
    FIT,
)
COUNTS = (
    "reconstruction.images",
    "denoising.images",
    "probes.train",
    "probes.valid",
    "probes.test",
    "samples.count",
    "unconditional.reference",
    "memorisation.train",
    "fewshot.pool",
    "fewshot.reference",
)


def peak(what: str, images: int, data: Path) -> float:
    """Peak resident MiB of a benchmark (or of FIT) on so many images of everything, in an empty cache."""
    fit = what == FIT
    benchmark, systems = ("probes", f"dummy-constant,{FIT}") if fit else (what, "dummy-constant")
    settings = [f"--set={name}={images}" for name in (["data.fit_images"] if fit else COUNTS)]
    with tempfile.TemporaryDirectory(prefix="memory-") as folder:
        command = [sys.executable, __file__, "--worker", benchmark, "--profile", "smoke"]
        command += ["--systems", systems, "--data", str(data), "--out", f"{folder}/run", *settings]
        environment = os.environ | {"DIFFAE_CACHE": folder, "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{what} with {images} images: status {os.waitstatus_to_exitcode(status)}")
    return usage.ru_maxrss / 1024


def worker(arguments: list[str]) -> None:
    """`benchmarks.run` with a dummy of 128 px."""
    dummy.SIZE = dummy.Constant.image_size = SIZE
    cli.run(lambda: run.main(arguments))


def main() -> None:
    if sys.argv[1:2] == ["--worker"]:
        worker(sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--factor", type=int, default=10)
    parser.add_argument("benchmarks", nargs="*", default=ALL)
    args = parser.parse_args()
    counts = {what: FIT_IMAGES if what == FIT else args.images for what in args.benchmarks}
    rows = []
    with tempfile.TemporaryDirectory(prefix="memory-data-") as data:
        # 60 % of the portraits are in the training split, a third in the test split
        portraits = args.factor * max(4 * args.images, 7 * counts.get(FIT, 0) // 4)
        draw = ["portraits", "--out", data, "--count", str(portraits), "--size", str(SIZE)]
        subprocess.run([sys.executable, "-m", "diffae.data", *draw], check=True)
        for what, images in counts.items():
            more = args.factor * images
            one, many = (peak(what, count, Path(data)) for count in (images, more))
            growth = (many - one) * 1024 / (more - images)
            rows.append([what, images, more, f"{one:.0f}", f"{many:.0f}", f"{growth:.1f}"])
            print(f"{what}: {one:.0f} -> {many:.0f} MiB", file=sys.stderr)
    headers = ["", "images", "and then", "MiB", "and then", "KiB an image more"]
    print(tabulate(rows, headers, "pipe", intfmt=",", disable_numparse=[3, 4, 5]))
    print(f"\none image as float32: {3 * SIZE**2 * 4 / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
