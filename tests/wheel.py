"""The package as published: built, installed into a new environment, used in an empty folder.

    pytest tests/wheel.py          (or: tox -e wheel)

Not collected by default: it installs all dependencies again, in a minute or two. Needs build, twine
and check-wheel-contents. `--dist-folder dist` keeps what was built and tried, for a release.
"""

import csv
import email.message
import json
import os
import re
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("diffae", "probes", "benchmarks", "reports")
COMMANDS = "run list weights doctor docs measure compare report train data convert images"


def check(*words: object, cwd: Path = ROOT) -> str:
    """Run a command outside of this checkout and return its output."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    env["DIFFAE_CACHE"] = str(cwd / "cache")
    ended = subprocess.run(
        list(map(str, words)), cwd=cwd, env=env, text=True, capture_output=True, timeout=1_200
    )
    assert ended.returncode == 0, f"{words}\n{ended.stdout[-2_000:]}\n{ended.stderr[-4_000:]}"
    return ended.stdout


@pytest.fixture(scope="module")
def dist(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the source distribution, and of the wheel that was built from it."""
    asked: Path | None = request.config.getoption("--dist-folder")
    folder = asked.resolve() if asked else tmp_path_factory.mktemp("dist")
    assert not folder.exists() or not any(folder.iterdir()), f"{folder}: not empty"
    check(sys.executable, "-m", "build", "--outdir", folder, ROOT)
    return folder


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    (file,) = dist.glob("*.whl")
    return file


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin/ of an environment with only the wheel and its requirements."""
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, with_pip=True)
    check(folder / "bin" / "pip", "install", "-q", wheel)
    return folder / "bin"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("empty")


def test_every_file_of_the_packages_is_in_the_wheel(wheel):
    tracked = check("git", "ls-files", *PACKAGES).splitlines()
    ours = {name for name in tracked if not name.startswith("benchmarks/baseline/")}
    shown = check(
        "git", "ls-files", "README.md", "mkdocs.yml", "docs/*.md", "examples"
    ).splitlines()
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert held == ours | {f"benchmarks/{file}" for file in shown}


def test_the_wheel_has_no_usual_fault(wheel):
    check(sys.executable, "-m", "check_wheel_contents", wheel)


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> email.message.Message:
    archive = zipfile.ZipFile(wheel)
    (name,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
    return email.message_from_bytes(archive.read(name))


def test_the_description_can_be_shown(dist, metadata):
    check(sys.executable, "-m", "twine", "check", "--strict", *dist.iterdir())
    told = metadata.get_payload()
    assert told.startswith("# DiffAE bench") and not re.search(r"\]\((?!https?://|#)", told)


def test_the_packages_are_those_of_the_wheel(installed, folder):
    asks = "; ".join(["import " + ", ".join(PACKAGES), *(f"print({p}.__file__)" for p in PACKAGES)])
    files = check(installed / "python", "-c", asks, cwd=folder).split()
    assert all(Path(file).is_relative_to(installed.parent) for file in files)


def test_commands_that_need_nothing_answer(installed, folder, metadata):
    bench = installed / "diffae-bench"
    assert check(bench, "--version", cwd=folder) == f"diffae-bench {metadata['Version']}\n"
    usage = check(bench, "--help", cwd=folder)
    assert re.findall(r"^  (\w+) ", usage, re.M) == COMMANDS.split()
    assert "portraits-ddim" in check(bench, "list", cwd=folder)
    assert "efficientnet" in check(bench, "doctor", cwd=folder)
    for page, file in (("solvers", "docs/solvers.md"), ("README", "README.md")):
        assert check(bench, "docs", page, cwd=folder) == (ROOT / file).read_text()
    for page in ("metrics", "profiles", "presets", "every-protocol", "commands/run", "api/diffae"):
        assert check(bench, "docs", page, cwd=folder).startswith("# "), page
    named = re.search(r"^The examples/ .* are in (.*)$", check(bench, "docs", cwd=folder), re.M)
    assert Path(named[1]).is_relative_to(installed.parent)
    assert (Path(named[1]) / "examples/slurm/train.sbatch").is_file()


def test_a_run_has_its_weights_its_profile_and_its_page(installed, folder):
    bench = installed / "diffae-bench"
    check(bench, "run", "reconstruction", "--profile", "smoke", "--out", "run", cwd=folder)
    with open(folder / "run" / "records.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {"DiffAE", "DDIM"} <= {row["system"] for row in rows if row["value"]}
    assert "<svg" in (folder / "run" / "report.html").read_text()
    check(bench, "report", "run", "--out", "tables", cwd=folder)
    assert (folder / "tables" / "report.html").is_file()


def test_the_papers_numbers_are_there(installed, folder):
    text = (
        "from reports.records.published import published_records; print(len(published_records()))"
    )
    assert int(check(installed / "python", "-c", text, cwd=folder)) > 100


def shown(cell: dict) -> list[set[str]]:
    """The kinds of data that each output of a cell has; text on stderr does not count."""
    outputs = [one for one in cell.get("outputs", []) if one.get("name") != "stderr"]
    return [set(one.get("data", ["text"])) for one in outputs]


def test_the_notebook_runs_and_shows_what_the_committed_one_shows(installed, folder):
    """The last test: it adds Jupyter to the environment, and the notebook adds diffusers."""
    check(installed / "pip", "install", "-q", "ipykernel", "nbclient")
    copy = shutil.copy(ROOT / "examples" / "evaluate.ipynb", folder)
    committed = json.loads(Path(copy).read_text())["cells"]
    assert len(committed) == 10
    check(installed / "jupyter-execute", "--inplace", copy, cwd=folder)
    cells = json.loads(Path(copy).read_text())["cells"]
    assert [shown(cell) for cell in cells] == [shown(cell) for cell in committed]
    (table,) = cells[-1]["outputs"][-1:]
    assert "regression" in "".join(table["data"]["text/plain"])
    for run in ("packaged", "before", "after"):
        assert (folder / run / "report.html").is_file()
