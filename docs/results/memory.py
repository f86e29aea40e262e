"""Peak memory of a run with so many images, and with ten times as many.

    python docs/results/memory.py [--images 256] [--factor 10] [BENCHMARK ...]

The system is a dummy that costs nothing, on portraits of 128 px, of which one takes 0.19 MiB as the networks see
it. If a benchmark held its images, the peak would grow by that much an image; what does grow is what is kept of
each: features, thumbnails and codes. Every benchmark is a process of its own.
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
BENCHMARKS = ("reconstruction", "probes", "denoising", "unconditional", "memorisation", "fewshot")
COUNTS = (
    "reconstruction_images",
    "denoising_images",
    "fit_images",
    "probe_train",
    "probe_valid",
    "probe_test",
    "fid_samples",
    "fid_reference",
    "memorisation_train",
    "fewshot_pool",
    "fewshot_reference",
)


def peak(benchmark: str, images: int, data: Path) -> float:
    """Peak resident MiB of `benchmark` on so many images of everything, in an empty cache."""
    settings = [part for name in COUNTS for part in ("--set", f"{name}={images}")]
    with tempfile.TemporaryDirectory(prefix="memory-") as folder:
        command = [sys.executable, __file__, "--worker", benchmark, "--profile", "smoke"]
        command += ["--systems", "dummy-constant,pixels-pca", "--data", str(data)]
        command += ["--out", f"{folder}/run", *settings]
        environment = os.environ | {"DIFFAE_CACHE": folder, "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{benchmark} with {images} images: status {os.waitstatus_to_exitcode(status)}")
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
    parser.add_argument("benchmarks", nargs="*", default=BENCHMARKS)
    args = parser.parse_args()
    more = args.images * args.factor
    rows = []
    with tempfile.TemporaryDirectory(prefix="memory-data-") as data:
        # a third of the portraits are in the test split, so that every split has enough
        draw = ["portraits", "--out", data, "--count", str(4 * more), "--size", str(SIZE)]
        subprocess.run([sys.executable, "-m", "diffae.data", *draw], check=True)
        for benchmark in args.benchmarks:
            one, many = (peak(benchmark, count, Path(data)) for count in (args.images, more))
            growth = (many - one) * 1024 / (more - args.images)
            rows.append([benchmark, f"{one:.0f}", f"{many:.0f}", f"{growth:.1f}"])
            print(f"{benchmark}: {one:.0f} -> {many:.0f} MiB", file=sys.stderr)
    headers = ["benchmark", f"MiB, {args.images:,} images", f"MiB, {more:,} images"]
    print(tabulate(rows, [*headers, "KiB an image more"], "pipe", disable_numparse=True))
    print(f"\none image as float32: {3 * SIZE**2 * 4 / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
