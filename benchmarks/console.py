"""`diffae-bench`: the commands under one name, installed with the package.

`python -m benchmarks.run` means the folder `benchmarks/` of the current directory, if there is one, whoever wrote it.
`diffae-bench run` means this package wherever it is called.
"""

import importlib
import os
import sys
from typing import NoReturn

from diffae import cli
from diffae.errors import UserError
from diffae.signals import importing, quit_on_signals

# The module whose `main` takes the arguments; `benchmarks.run` wants the names of its own commands among them.
COMMANDS = {
    "run": ("benchmarks.run", []),
    "list": ("benchmarks.run", ["list"]),
    "doctor": ("benchmarks.run", ["doctor"]),
    "measure": ("benchmarks.measure", []),
    "compare": ("reports.compare", []),
    "report": ("reports.make", []),
    "history": ("reports.history", []),
    "images": ("diffae.images.__main__", []),
    "app": ("diffae.app.__main__", []),
}
USAGE = """usage: diffae-bench COMMAND ...; diffae-bench COMMAND --help tells more

  run        measure systems: every table from one command     (python -m benchmarks.run)
  list       benchmarks, systems, data sets, profiles          (python -m benchmarks.run list)
  doctor     which weights are here, and where others go       (python -m benchmarks.run doctor)
  measure    one metric between two folders of images          (python -m benchmarks.measure)
  compare    two runs: the regression gate                     (python -m reports.compare)
  report     tables of runs: CSV, Markdown, LaTeX              (python -m reports.make)
  history    headlines by commit: a trend, a badge             (python -m reports.history)
  images     pictures by a model: edit, interpolate, sample    (python -m diffae.images)
  app        the same as a page on this machine                (python -m diffae.app)"""


def main() -> NoReturn:
    """The entry point."""
    quit_on_signals()
    sys.path.append(os.getcwd())  # has a user's class by its address; last, it hides no module
    cli.run(lambda: command(sys.argv[1:]))


def command(arguments: list[str]) -> int | None:
    """Do what `arguments` say and return the exit status. Raises UserError."""
    name, *rest = arguments or ["--help"]
    if name in ("-h", "--help"):
        print(USAGE)
        return 0
    if name not in COMMANDS:
        raise UserError(f"unknown command {name!r}{cli.did_you_mean(name, COMMANDS)}")
    module, first = COMMANDS[name]
    with importing():
        found = importlib.import_module(module)
    return found.main([*first, *rest])


if __name__ == "__main__":
    main()
