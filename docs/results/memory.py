"""Peak memory of a run with a number of images, and with ten times as many.

    python docs/results/memory.py

The system is one of the tests that costs nothing, on portraits of 128 px, each of which takes
0.19 MiB as networks see it. If a benchmark held its images, the peak would grow by that much per
image; what does grow is what is kept of each: features, thumbnails and codes. Every measurement is
a process of its own.
"""

import resource
import sys
import tempfile
from pathlib import Path

from measure import program, table

from benchmarks import run
from diffae.system import cli

SIZE = 128
FEW, MANY = 256, 2_560  # images
BENCHMARKS = ["reconstruction", "probes", "denoising", "unconditional", "memorisation", "fewshot"]
COUNTS = """
    reconstruction.images denoising.images probes.train probes.valid probes.test samples.count
    unconditional.reference memorisation.train fewshot.pool fewshot.reference
"""


def peak(benchmark: str, images: int, data: Path) -> float:
    """Peak resident MiB of a benchmark on a number of images of each kind, with an empty cache."""
    settings = [f"--set={name}={images}" for name in COUNTS.split()]
    with tempfile.TemporaryDirectory(prefix="memory-") as folder:
        words = [benchmark, "--profile", "smoke", "--systems", "dummy-constant", "--data", data]
        words += ["--out", f"{folder}/run", *settings]
        printed = program(__file__, "--worker", *words, DIFFAE_CACHE=folder)
    return float(printed.split()[-1])


def worker(arguments: list[str]) -> None:
    """Run `benchmarks.run` with the tests' systems of 128 px, and print its peak."""
    sys.path.append(str(Path(__file__).parents[2] / "tests" / "kit"))
    import dummies

    dummies.SIZE = dummies.Constant.image_size = SIZE
    run.main(arguments)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def main() -> None:
    if sys.argv[1:2] == ["--worker"]:
        cli.run(lambda: worker(sys.argv[2:]))
    rows = []
    with tempfile.TemporaryDirectory(prefix="memory-data-") as data:
        # 60 % of the portraits are in the training split, a third in the test split
        draw = ["portraits", "--out", data, "--count", 4 * MANY, "--size", SIZE]
        program("-m", "diffae.data", *draw)
        for benchmark in BENCHMARKS:
            low, high = (peak(benchmark, count, Path(data)) for count in (FEW, MANY))
            growth = (high - low) * 1024 / (MANY - FEW)
            rows.append([benchmark, f"{low:.0f}", f"{high:.0f}", f"{growth:.1f}"])
            print(*rows[-1], file=sys.stderr)
    heads = [f"MiB, {FEW:,} images", f"{MANY:,} images", "KiB per further image"]
    print(table(rows, ["", *heads]))


if __name__ == "__main__":
    main()
