"""Pictures by a model: `python -m diffae.images VERB ...` (`diffae-bench docs pictures`)."""

import sys

from diffae.images import options
from diffae.system import cli
from diffae.system.signals import importing, quit_on_signals


def main(arguments: list[str] | None = None) -> None:
    verb, *rest = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if verb in ("-h", "--help"):
        print(options.usage())
        return
    args = options.parse(verb, rest)
    with importing():
        from diffae.images import run
    print(run.learn(args) if verb == "learn" else run.make(args))


if __name__ == "__main__":
    quit_on_signals()
    cli.run(main)
