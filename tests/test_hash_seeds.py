"""Outputs are equal to the byte, whatever the order of sets is in a process (PYTHONHASHSEED).

The data has ties: equal values of two systems, names that differ by case, persons with equally many
pictures.
"""

import contextlib
import hashlib
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from runs import SCORES, change_notes, measured, number, write_entry, write_run
from small_systems import write_people

ROOT = Path(__file__).parents[1]
TIMED = ("run.json", "run/report.html")
SEEDS = ("0", "1")
REPORTS = """
from reports import compare, make
make.main(["entry-B", "entry-a", "--out", "board"])
make.main(["b", "a", "--out", "tables"])
print(compare.main(["a", "b", "--page", "page.md", "--junit", "gate.xml"]))
"""
HARNESS = """
from small_systems import Everything, Tokens
from benchmarks import evaluate, measure, run
sizes = {"reconstruction.images": 12, "identity.images": 3, "latent.images": 12, "samples.count": 24,
         "latent.training": 12, "memorisation.train": 24, "unconditional.overlap": 3}
models = {"Same": Everything(), "same": Everything(), "tokens": Tokens()}
tasks = ["reconstruction", "latent", "denoising", "variation", "unconditional", "memorisation"]
found = evaluate(models, tasks, "portraits", "smoke", "run", settings=sizes, progress=False,
                 stand_ins=True, explain=True)
print(found.summary())
print(found.frame().to_csv(), found.samples().to_csv())
run.main(["list"])
measure.main(["ssim,mse,psnr", "portraits/img_align_celeba", "portraits/img_align_celeba"])
"""


def outputs(script: str, seed: str, folder: Path) -> dict[str, str]:
    """What the script leaves in a process with this seed."""
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "helpers")])
    given = {"PYTHONHASHSEED": seed, "PYTHONPATH": paths, "DIFFAE_CACHE": str(folder / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=folder, env=os.environ | given, capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode()
    return left(done.stdout, folder)


def outputs_here(script: str, folder: Path) -> dict[str, str]:
    """What it leaves in this process, whose seed is another each time."""
    printed = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(printed):
        exec(script, {})
    return left(printed.getvalue().encode(), folder)


def left(printed: bytes, folder: Path) -> dict[str, str]:
    """What a script has printed and the files in its folder, by hash.

    Times are left out, and so are run.json and the page of a run, which are full of them.
    """
    found = {"stdout": printed}
    found |= {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "cache" not in path.parts and not path.as_posix().endswith(TIMED)
    }
    return {name: hashlib.sha256(plain(name, x)).hexdigest() for name, x in found.items()}


def plain(name: str, content: bytes) -> bytes:
    return re.sub(rb"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(\+00:00)?", b"TIME", content)


def grounded(ground, place: Path) -> Path:
    place.mkdir()
    ground(place)
    return place


def equal(one: dict[str, str], other: dict[str, str]) -> None:
    assert {name for name in one.keys() | other.keys() if one.get(name) != other.get(name)} == set()


def tied_runs(folder: Path) -> None:
    """Two runs and two entries, of systems with equal numbers whose names differ by case."""
    names = ("DiffAE", "diffae", "b", "B", "a", "A", "ddim", "DDIM")
    for run, behind in (("a", 0.0), ("b", 0.1)):
        records = [
            measured(number(table, metric, None, system=system, setting=setting), SCORES - behind)
            for system in names
            for table, metric, setting in (
                ("table1_reconstruction", "ssim", "x_T inverted"),
                ("table1_reconstruction", "ssim", "x_T random"),
                ("table1_reconstruction", "mse", "x_T inverted"),
            )
        ]
        about = {"settings": {"seed": 0, "data": "portraits"}}
        change_notes(write_run(folder / run, records, **about), ended="2026-01-01T00:00:00+00:00")
    for name, systems in (("entry-a", ("one", "One")), ("entry-B", ("two", "Two"))):
        write_entry(folder / name, dict.fromkeys(systems, SCORES))


def test_reports_do_not_depend_on_the_order_of_sets(tmp_path):
    """Of a process with a seed that this one has not, and of this one: starting takes a second."""
    seed = SEEDS[os.environ.get("PYTHONHASHSEED") == SEEDS[0]]
    there = outputs(REPORTS, seed, grounded(tied_runs, tmp_path / "there"))
    equal(there, outputs_here(REPORTS, grounded(tied_runs, tmp_path / "here")))


@pytest.mark.slow
def test_runs_do_not_depend_on_the_order_of_sets(tmp_path):
    def people(folder: Path) -> None:
        write_people(folder / "portraits")

    equal(*(outputs(HARNESS, seed, grounded(people, tmp_path / seed)) for seed in SEEDS))
