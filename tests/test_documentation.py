"""The documentation: commands are parsed by the real parsers, snippets run.

A block of a Markdown file (fenced or indented) is shell commands, Python, or neither (a layout of
folders). Commands are parsed in process, with files provided for the paths that they name, so that
an unknown option, preset, metric or benchmark fails. Cheap commands are run below.
"""

import ast
import importlib
import re
import shlex
import subprocess
import sys
import textwrap
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import in_process
import numpy as np
import pytest
import torch
from plug_ins import offer

from benchmarks import console, measure
from benchmarks.commands import pages, running
from benchmarks.metrics.codes.table import NUMBERS
from diffae.checkpoints import checkpoint, hub
from diffae.networks import bfloat16
from diffae.networks.config import AUTOENCODER, DDIM_BASELINE
from diffae.system import cli
from diffae.train.presets import find_preset
from reports.records.metrics import METRICS
from reports.records.record import read_records

ROOT = Path(__file__).parents[1]
TOP = ("README.md", "CONTRIBUTING.md", "RELEASING.md", "SECURITY.md")
PAGES = [*(ROOT / page for page in TOP), *sorted((ROOT / "docs").rglob("*.md"))]
COMMANDS = (
    "benchmarks.run benchmarks.measure benchmarks.commands.train_identity "
    "diffae.convert diffae.data diffae.images diffae.train "
    "reports.compare reports.make"
).split()
# Programs of others, whose options are theirs to check.
OTHERS = set("pip apt-get cp mkdir export ruff mypy venv git hf sbatch tensorboard".split())
PROGRAMS = {"python", "python3", "pytest", "tox", "torchrun", "srun", "diffae-bench"} | OTHERS


@dataclass(frozen=True)
class Text:
    """Text on a page, with its line."""

    page: Path
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page):
    """The fenced and the indented blocks of a page."""
    lines = page.read_text(encoding="utf-8").splitlines()
    fenced, found, start = False, [], 0
    for number, line in enumerate([*lines, ""], start=1):
        fence = line.startswith("```")
        inside = not fence and (fenced or line.startswith("    ") or (bool(found) and not line))
        if inside:
            start = start if found else number
            found.append(line)
        elif "".join(found).strip():
            yield Text(page, start, textwrap.dedent("\n".join(found)).strip("\n"))
        if not inside:
            found = []
        fenced ^= fence


def inline(page):
    """Commands within a sentence."""
    text = page.read_text(encoding="utf-8")
    text = re.sub(r"^```.*?^```", lambda m: "\n" * m[0].count("\n"), text, flags=re.M | re.S)
    for match in re.finditer(r"`([^`]+)`", text):
        content = " ".join(match[1].split())
        if re.match(
            r"(\.venv/bin/)?(python3? (-m )?[\w/.]+|pytest |tox |torchrun |diffae-bench )", content
        ):
            yield Text(page, text.count("\n", 0, match.start()) + 1, content)


def program(line):
    """The program that a line starts, after settings of the environment."""
    words = re.sub(r"^(- run: )?(\w+=\S* )*", "", line).split()
    return Path(words[0]).name if words else ""


def is_shell(block):
    first = next(line for line in block.text.splitlines() if not line.startswith("#"))
    return program(first) in PROGRAMS


def is_python(block):
    return re.search(r"^(from \S+ )?import ", block.text, re.M) is not None and not is_shell(block)


def commands():
    """Every command as (where, words)."""
    for page in PAGES:
        typed = page.name.startswith("tutorial-")  # tests/test_tutorials.py types their blocks
        in_blocks = [b for b in blocks(page) if is_shell(b) and not typed]
        for block in [*in_blocks, *inline(page)]:
            text = block.text.replace("\\\n", " ")
            for line in re.sub(r"^- run: ", "", text, flags=re.M).splitlines():
                if re.match(r"(#|\w+=\$\()", line):  # a comment; a variable of the shell's
                    continue
                for words in split(shlex.split(line, comments=True), "&&"):
                    yield pytest.param(words, id=f"{block}: {' '.join(words)[:60]}")


def split(words, separator):
    part = []
    for word in [*words, separator]:
        if word != separator:
            part.append(word)
        elif part:
            yield part
            part = []


def module_and_arguments(words):
    """What a command starts: ("module", name), ("script", path) or ("program", name), and its
    arguments.
    """
    while re.match(r"\w+=", words[0]) or words[0] == "srun":
        words = words[1:]
    name = Path(words[0]).name
    if name in ("python", "python3", "torchrun"):
        if "-m" in words:
            at = words.index("-m")
            return ("module", words[at + 1]), words[at + 2 :]
        return ("script", words[1]), words[2:]
    return ("program", name), words[1:]


def main_of(command):
    """What `python -m command` calls."""
    is_package = hasattr(importlib.import_module(command), "__path__")
    return importlib.import_module(f"{command}.__main__" if is_package else command).main


class Parsed(Exception):
    """Raised when the command line was accepted."""


@pytest.fixture
def parse(monkeypatch, tmp_path):
    """Run a command's `main` until it has parsed its arguments, in a folder with the files that
    they name.
    """
    reader = cli.Parser.parse

    def read(self, arguments=None, intermixed=False):
        found = reader(self, arguments, intermixed)
        if self.prog != "python -m benchmarks.run":  # which goes on to check names and settings
            raise Parsed(found)
        return found

    def reached(options, *_):
        raise Parsed(options)

    def opened(path):
        baseline = re.search("ddpm|ddim|baseline", str(path)) is not None
        kind = DDIM_BASELINE if baseline else AUTOENCODER
        return SimpleNamespace(config=SimpleNamespace(kind=kind))

    monkeypatch.setattr(cli.Parser, "parse", read)
    for name in ("run", "prepare"):
        monkeypatch.setattr(running, name, reached)
    monkeypatch.setattr(bfloat16, "support", lambda device: (True, ""))  # whatever runs the tests
    monkeypatch.setattr(checkpoint, "open_checkpoint", opened)
    monkeypatch.setattr(hub, "find", lambda path: (path, ""))
    monkeypatch.chdir(tmp_path)
    for folder in (".", "system_plugin", "benchmark_plugin"):  # which pages name, or quote
        monkeypatch.syspath_prepend(ROOT / "examples" / folder)
    offer(monkeypatch, "diffae.benchmarks", {"colour": "colour_error:BENCHMARK"})

    def run(module, arguments):
        arguments = ["all" if word == "..." else word.strip("[]") for word in arguments]
        arguments = ["cpu" if word == "cuda" else word for word in arguments]
        if "--weights-dir" in arguments:
            Path(arguments[arguments.index("--weights-dir") + 1]).mkdir(exist_ok=True)
        with pytest.raises(Parsed) as parsed:
            main_of(module)(arguments)
        return parsed.value.args[0]

    ours = set(METRICS)
    yield run
    for name in set(METRICS) - ours:  # those of the plug-in
        del METRICS[name]


@pytest.mark.parametrize("words", list(commands()))
def test_a_command_that_a_page_tells_to_type_is_one(words, parse):
    (kind, name), arguments = module_and_arguments(words)
    if kind == "script":
        assert (ROOT / name).is_file(), name
    elif name in ("pytest", "tox"):
        {"pytest": check_pytest, "tox": check_tox}[name](arguments)
    elif name == "diffae-bench":
        assert set(arguments[0].split("|")) <= {*console.COMMANDS, "--help", "--version"}
    elif kind == "module" and not arguments:
        assert name in COMMANDS
    elif arguments == ["--help"]:
        with pytest.raises(SystemExit) as ended:
            main_of(name)(arguments)
        assert not ended.value.code
    elif kind == "module" and name in COMMANDS:
        found = parse(name, arguments)
        if name == "diffae.train":
            assert find_preset(found.preset).name == found.preset
        if name == "benchmarks.measure":
            has_metric = not {"explain", "which"} & vars(found).keys()
            metrics = {*found.metric.split(",")} if has_metric else set()
            assert metrics <= {*measure.SETS, *measure.PAIRS, *NUMBERS}
    else:
        assert name in OTHERS, f"no test knows what {name} is"
    for extras in re.findall(r"\[([\w,]+)\]", " ".join(arguments)) if name == "pip" else ():
        assert set(extras.split(",")) <= set(project()["optional-dependencies"])


def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def check_pytest(arguments):
    paths = [word for word in arguments if word.startswith("tests")]
    assert all((ROOT / path).exists() for path in paths), paths


def check_tox(arguments):
    tox = (ROOT / "tox.ini").read_text()
    pythons = re.search(r"^\[testenv:py\{(.*)\}\]$", tox, re.M)[1].split(",")
    known = {*re.findall(r"^\[testenv:(\w+)\]$", tox, re.M), *(f"py{one}" for one in pythons)}
    assert set(arguments[arguments.index("-e") + 1].split(",")) <= known


# ----------------------------------------------------------------------------------------------
# Links, and files that a page names


def text_at(place):
    """The page at a place in docs/, which may be one that is made of the code's tables; "" if there is none."""
    if place.is_relative_to(ROOT / "docs"):
        name = place.relative_to(ROOT / "docs").as_posix().removesuffix(".md")
        if name in pages.MADE:
            return pages.text_of(name)
    return place.read_text(encoding="utf-8") if place.suffix == ".md" and place.exists() else ""


@cache
def anchors(place):
    """The anchors of a page's headings, as GitHub and MkDocs make them."""
    headings = re.findall(r"^#+ (.*)$", text_at(place), re.M)
    kept = [re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading) for heading in headings]
    return {re.sub(r"[^\w\- ]", "", text).strip().lower().replace(" ", "-") for text in kept}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_links_of_a_page_lead_to_files_and_headings(page):
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    for target, anchor in re.findall(r"\]\((?!\w+:)([^)#\s]*)#?([^)\s]*)\)", text):
        place = (page.parent / target).resolve() if target else page
        on_site = text_at(place) or target == "board/board.html"  # the site's build makes them
        assert place.exists() or on_site, target
        assert not anchor or anchor in anchors(place), f"{target}#{anchor}"


def test_files_that_pages_and_templates_name_are_there():
    texts = [page.read_text(encoding="utf-8") for page in PAGES]
    texts += [file.read_text() for file in (ROOT / ".github").rglob("*") if file.is_file()]
    names = re.findall(
        r"`((?:docs|diffae|benchmarks|reports|tests)/[\w/]+\.\w+)`", "\n".join(texts)
    )
    assert len(names) > 50
    assert not [name for name in set(names) if not (ROOT / name).exists()]


# ----------------------------------------------------------------------------------------------
# Python


def snippets():
    for page in PAGES:
        for block in blocks(page):
            # tests/examples/test_python.py runs docs/python.md, tests/test_tutorials.py the tutorials
            if is_python(block) and not re.match(r"python\.md|tutorial-", page.name):
                yield pytest.param(block, id=str(block))


@pytest.mark.parametrize("block", list(snippets()))
def test_a_snippet_is_python_whose_imports_work(block, monkeypatch):
    for example in (ROOT / "examples").iterdir():  # the reader's own package is quoted from there
        monkeypatch.syspath_prepend(example)
    for node in ast.parse(block.text).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            exec(compile(ast.Module([node], []), str(block), "exec"), {})


def snippet(page, word):
    (block,) = [b for b in blocks(ROOT / page) if is_python(b) and word in b.text]
    return block.text


def test_the_verbs_of_the_model_run(tmp_path, monkeypatch):
    """On one image and in two steps, in a folder that has one of the packaged name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "portraits").mkdir()
    scope = {"images": torch.zeros(1, 3, 32, 32)}
    exec(snippet("docs/models.md", "from_pretrained").replace("steps=100", "steps=2"), scope)
    assert scope["z"].shape == (1, 256) and scope["out"].shape == (1, 3, 32, 32)


# ----------------------------------------------------------------------------------------------
# For real


@pytest.mark.slow
def test_the_dry_run_and_the_smallest_training_run(tmp_path):
    """As a user types them, in processes of their own."""
    for words in (
        ["-m", "benchmarks.run", "all", "--dry-run"],
        ["-m", "diffae.train", "smoke"],
        ["-m", "benchmarks.run", "all", "--profile", "smoke", "--out", "base"],
        ["-m", "reports.compare", "base", "base"],
    ):
        result = subprocess.run(
            [sys.executable, *words],
            cwd=tmp_path,
            env=in_process.environment(tmp_path / "cache"),
            capture_output=True,
            text=True,
        )
        assert result.returncode == 0, (words, result.stderr[-2000:])
    assert (tmp_path / "runs" / "smoke" / "model.safetensors").exists()
    assert np.isfinite(
        [r.value for r in read_records(tmp_path / "base" / "records.csv") if r.value]
    ).all()
