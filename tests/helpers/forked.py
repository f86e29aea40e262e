"""`python ...` and `diffae-bench ...` as typed, in a fork of this process: a new one would import PyTorch and timm again."""

import importlib
import os
import runpy
import subprocess
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path

from benchmarks import console

IMPORTED = (
    "benchmarks.run",
    "benchmarks.measure",
    "reports.make",
    "reports.compare",
    "timm",
    "torch._dynamo",
)
EXAMPLES = Path(__file__).parents[2] / "examples"


def import_all() -> None:
    """What most commands import, for all forks."""
    for name in IMPORTED:
        importlib.import_module(name)


def run(words: list[str], folder: Path, environ: Mapping[str, str], output: Path) -> int:
    """Run a command in `folder` and return its status. What it prints is added to `output`."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    status = 1
    sys.dont_write_bytecode = True  # of a file that changes twice within a second
    try:
        os.chdir(folder)
        os.environ.update(environ)
        sys.stdout = sys.stderr = output.open("a", buffering=1)
        sys.argv = words
        if words[0] == "diffae-bench":
            console.main()
        sys.argv = words[2:] if words[1] == "-m" else words[1:]
        forget_examples()
        sys.path.insert(0, str(folder))
        start = runpy.run_module if words[1] == "-m" else runpy.run_path
        start(sys.argv[0], run_name="__main__")
        status = 0
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc(file=sys.stderr)
    finally:
        sys.stdout.flush()
        os._exit(status)


def forget_examples() -> None:
    """Drop the modules of examples/ that other tests have imported: a tutorial's file may have the same name."""
    for name, module in list(sys.modules.items()):
        if EXAMPLES in Path(getattr(module, "__file__", None) or "").parents:
            del sys.modules[name]


def shell(line: str, folder: Path, environ: Mapping[str, str], output: Path) -> int:
    """Any other command, in bash."""
    with output.open("a") as file:
        words = ["bash", "-c", line]
        return subprocess.run(
            words, cwd=folder, env=os.environ | environ, stdout=file, stderr=file
        ).returncode
