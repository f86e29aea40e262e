"""`diffae-bench`: the commands under one name, installed with the package.

`python -m benchmarks.run` takes any folder `benchmarks/` of the current directory first. `diffae-bench run` is always
this package.
"""

import importlib
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

from diffae import __version__
from diffae.system import cli
from diffae.system.errors import UserError
from diffae.system.signals import importing, quit_on_signals


@dataclass(frozen=True)
class Command:
    """A command: its description in one line, the module whose `main` takes the arguments, and arguments put before them."""

    line: str
    module: str
    first: tuple[str, ...] = ()

    @property
    def typed(self) -> str:
        """The command line without the console script."""
        return " ".join(["python -m", self.module.removesuffix(".__main__"), *self.first])


COMMANDS: Mapping[str, Command] = {
    "run": Command("measure systems: every table from one command", "benchmarks.run"),
    "list": Command("benchmarks, systems, data sets, profiles", "benchmarks.run", ("list",)),
    "weights": Command("fetch the weights that metrics use", "benchmarks.run", ("weights",)),
    "doctor": Command("versions, GPUs, metric weights at hand", "benchmarks.run", ("doctor",)),
    "docs": Command("pages of the documentation", "benchmarks.run", ("docs",)),
    "measure": Command("one metric between two folders of images", "benchmarks.measure"),
    "compare": Command("two runs: the regression gate", "reports.compare"),
    "report": Command("tables of runs: CSV, Markdown, LaTeX", "reports.make"),
    "train": Command("train a model by a preset", "diffae.train.__main__"),
    "data": Command("look at a data set, copy it, or draw one", "diffae.data.__main__"),
    "convert": Command("the authors' last.ckpt as a folder of ours", "diffae.convert"),
    "images": Command("pictures by a model: edit, interpolate, sample", "diffae.images.__main__"),
}


def usage() -> str:
    lines = [f"  {name:11}{entry.line:50}({entry.typed})" for name, entry in COMMANDS.items()]
    first = "usage: diffae-bench COMMAND ...; diffae-bench COMMAND --help tells more"
    return "\n".join([first, "", *lines, "", "  --version  which release this is"])


def main() -> NoReturn:
    """Entry point of the console script."""
    quit_on_signals()
    # finds a user's class by its address; last, so that it hides no module
    sys.path.append(os.getcwd())
    cli.run(lambda: command(sys.argv[1:]))


def command(arguments: list[str]) -> int | None:
    """Run the command that `arguments` name and return the exit status. Raises UserError."""
    name, *rest = arguments or ["--help"]
    if name in ("-h", "--help"):
        print(usage())
        return 0
    if name == "--version":
        print(f"diffae-bench {__version__}")
        return 0
    if name not in COMMANDS:
        raise UserError(f"unknown command {name!r}{cli.did_you_mean(name, COMMANDS)}")
    chosen = COMMANDS[name]
    sys.argv = [f"diffae-bench {name}", *rest]  # the name in usage and errors
    with importing():
        module = importlib.import_module(chosen.module)
    return module.main([*chosen.first, *rest])


if __name__ == "__main__":
    main()
