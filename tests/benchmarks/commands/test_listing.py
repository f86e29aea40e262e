"""`list` and `--help` are fast: they use stored text, which equals that of the objects themselves."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import diffae
from benchmarks import systems
from benchmarks.runtime import errors
from benchmarks.systems.protocol import base
from diffae.checkpoints import checkpoint
from diffae.checkpoints.packaged import packaged_configs
from diffae.system.errors import UserError

ROOT = Path(__file__).parents[3]
HEAVY = ["torch", "torchvision", "timm", "pandas", "scipy", "sklearn", "lpips", "insightface"]
COMMANDS = {  # the beginning of what each prints
    "benchmarks.run --help": "usage: python -m benchmarks.run",
    "benchmarks.run list": "Benchmarks",
    "benchmarks.run list --help": "usage: python -m benchmarks.run list",
    "benchmarks.console --help": "usage: diffae-bench",
    "benchmarks.console list": "Benchmarks",
    "benchmarks.console --version": f"diffae-bench {diffae.__version__}\n",
    "benchmarks.console docs": "Start\n",
    "benchmarks.console run --help": "usage: diffae-bench run",
    "diffae.images --help": "usage: python -m diffae.images VERB",
    "diffae.images edit --help": "usage: python -m diffae.images edit",
}
SCRIPT = """
import contextlib, io, json, runpy, sys
told = {}
for command in sys.argv[1:]:
    module, *sys.argv[1:] = command.split()
    out, status = io.StringIO(), None
    with contextlib.redirect_stdout(out):
        try:
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        except SystemExit as ended:
            status = ended.code
    told[command] = status or 0, out.getvalue(), sorted(sys.modules.keys() & {HEAVY})
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def told():
    """Status, output and heavy imports of each command, one after the other in one new process."""
    script = SCRIPT.replace("{HEAVY}", repr(set(HEAVY)))
    python = [sys.executable, "-W", "ignore::RuntimeWarning"]  # of a module that another imported
    words = [*python, "-c", script, *COMMANDS]
    ended = subprocess.run(words, capture_output=True, text=True, cwd=ROOT)
    assert ended.returncode == 0 and not ended.stderr, ended.stderr
    return json.loads(ended.stdout)


@pytest.mark.parametrize("command", COMMANDS)
def test_what_computes_nothing_imports_nothing_heavy(command, told):
    status, out, heavy = told[command]
    assert status == 0 and out.startswith(COMMANDS[command])
    assert heavy == []


@pytest.mark.parametrize("name", systems.REGISTRY.own)
def test_the_line_of_a_system_is_its_docstrings_first(name):
    (first, *_) = systems.REGISTRY.get(name).__doc__.strip().splitlines()
    assert systems.REGISTRY.describe(name) == first


def test_packaged_configurations_are_those_of_the_checkpoints():
    assert packaged_configs() == {
        name: checkpoint.open_checkpoint(name).config for name in checkpoint.packaged_names()
    }
    assert {config.image_size for config in packaged_configs().values()} == {32}


@pytest.mark.parametrize(
    ("wrong", "words"),
    [("zzz", "there are: diffae, "), ("dummy-cnstant", "did you mean dummy-constant?")],
)
def test_a_wrong_name_is_told_the_others(wrong, words):
    with pytest.raises(UserError, match=re.escape(words)):
        systems.load(wrong)


def test_lazy_names_are_the_objects_themselves():
    from benchmarks.systems import Code, System, SystemFailed

    assert (Code, System, SystemFailed) == (base.Code, base.System, errors.SystemFailed)
    for module in (systems, sys.modules["benchmarks"]):
        with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
            _ = module.nothing
