"""Peak memory of a run with a number of images, and with ten times as many.

    python docs/results/memory.py [BENCHMARK | pixels-pca ...]

The system is a dummy without cost, on portraits of 128 px, each of which takes 0.19 MiB as networks
see it. If a benchmark held its images, the peak would grow by that much per image; what does grow
is what is kept of each: features, thumbnails and codes. `pixels-pca` is the fit of pixels + PCA, on
1,024 and 10,240 images, the others are measured on 256 and 2,560. Every measurement is a process of its own.
"""

import argparse
import resource
import sys
import tempfile
from pathlib import Path

from measure import program, table

from benchmarks import run
from benchmarks.systems import dummy
from diffae.system import cli

SIZE = 128
FIT, FACTOR = "pixels-pca", 10
ALL = ["reconstruction", "probes", "denoising", "unconditional", "memorisation", "fewshot", FIT]
COUNTS = """
    reconstruction.images denoising.images probes.train probes.valid probes.test samples.count
    unconditional.reference memorisation.train fewshot.pool fewshot.reference
"""


def peak(what: str, images: int, data: Path) -> float:
    """Peak resident MiB of a benchmark (or of FIT) on a number of images of each kind, with an
    empty cache.
    """
    fit = what == FIT
    benchmark, systems = ("probes", f"dummy-constant,{FIT}") if fit else (what, "dummy-constant")
    settings = [
        f"--set={name}={images}" for name in (["data.fit_images"] if fit else COUNTS.split())
    ]
    with tempfile.TemporaryDirectory(prefix="memory-") as folder:
        words = [benchmark, "--profile", "smoke", "--systems", systems, "--data", data]
        words += ["--out", f"{folder}/run", *settings]
        printed = program(__file__, "--worker", *words, DIFFAE_CACHE=folder)
    return float(printed.split()[-1])


def worker(arguments: list[str]) -> None:
    """Run `benchmarks.run` with a dummy of 128 px, and print its peak."""
    dummy.SIZE = dummy.Constant.image_size = SIZE
    run.main(arguments)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def main() -> None:
    if sys.argv[1:2] == ["--worker"]:
        cli.run(lambda: worker(sys.argv[2:]))
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("benchmarks", nargs="*", default=ALL)
    args = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory(prefix="memory-data-") as data:
        # 60 % of the portraits are in the training split, a third in the test split
        portraits = FACTOR * (1792 if FIT in args.benchmarks else 1024)
        draw = ["portraits", "--out", data, "--count", portraits, "--size", SIZE]
        program("-m", "diffae.data", *draw)
        for what in args.benchmarks:
            images = 1024 if what == FIT else 256  # two batches of the fit
            more = FACTOR * images
            one, many = (peak(what, count, Path(data)) for count in (images, more))
            growth = (many - one) * 1024 / (more - images)
            rows.append(
                [what, f"{images:,}", f"{more:,}", f"{one:.0f}", f"{many:.0f}", f"{growth:.1f}"]
            )
            print(f"{what}: {one:.0f} -> {many:.0f} MiB", file=sys.stderr)
    print(table(rows, ["", "images, few", "many", "MiB, few", "many", "KiB per further image"]))
    print(f"\none image as float32: {3 * SIZE**2 * 4 / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
