"""Measure decodable representations: every table of the paper from one command.

    python -m benchmarks.run all                          the packaged models on the portraits
    python -m benchmarks.run all --ckpt DIR --data DIR    your model on your data
    python -m benchmarks.run reconstruction probes        only these benchmarks
    python -m benchmarks.run list                         benchmarks, systems, data sets, profiles
    python -m benchmarks.run all --dry-run                what would be computed, and how long it would take
    python -m benchmarks.run weights                      the weights that metrics use; with names, fetch them
    python -m benchmarks.run doctor                       which weights are here, and what can be measured with them
    python -m benchmarks.run docs                         the pages of the documentation

Results are in --out: report.html (all of it, for a browser), records.csv (one row per number), influences.npz (how
far each image moves each number), run.json (protocols, versions, hashes), tables/ and pictures/. The same command
resumes a run that was killed. Progress is on stderr, results on stdout.
"""

import sys

from diffae.system import cli
from diffae.system.signals import importing, quit_on_signals

if __name__ == "__main__":
    quit_on_signals()

from benchmarks.commands.options import parse
from benchmarks.runtime.registry import load
from diffae.system import distributed

# Commands of their own among the names of benchmarks: "module:function", imported when it is called.
COMMANDS = {
    "list": "benchmarks.commands.listing:list_everything",
    "weights": "benchmarks.commands.weights:main",
    "doctor": "benchmarks.commands.doctor:examine",
    "docs": "benchmarks.commands.pages:print_page",
}


def main(arguments: list[str] | None = None) -> int | None:
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] and arguments[0] in COMMANDS:
        with importing():
            command = load(COMMANDS[arguments[0]])
        return command(arguments[1:])
    distributed.init()
    options = parse(arguments, __doc__)
    with importing():
        from benchmarks.commands import running
    running.run_or_plan(options)
    return None


if __name__ == "__main__":
    cli.run(main)
