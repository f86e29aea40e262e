"""Train the tiny preset on a folder of images, as `python -m diffae.train` trains a preset.

python tests/helpers/train_tiny.py FOLDER OUT [--from-disk] [FLAGS of diffae.train ...]
"""

import sys
from dataclasses import replace
from typing import NoReturn

from tiny_preset import TINY

from diffae.system import cli, progress
from diffae.train import __main__ as command
from diffae.train import images, trainer
from diffae.train.presets import PRESETS

FROM_DISK = "--from-disk"  # images are read when they are needed


def main(arguments: list[str]) -> NoReturn:
    """Changes settings of this process, which should be one for this alone."""
    trainer.SAVE_EVERY_SECONDS = -1  # after every step
    progress.LINE_SECONDS = 0
    PRESETS["tiny"] = replace(TINY, split="all", data_hint="x", flip=True)
    data, out, *flags = arguments
    if FROM_DISK in flags:
        flags.remove(FROM_DISK)
        images.IN_MEMORY = 0
    words = ["tiny", "--data", data, "--out", out, "--precision", "float32", "--device", "cpu"]
    words += ["--sheet-every", "0"]
    cli.run(lambda: command.main([*words, *flags]))


if __name__ == "__main__":
    main(sys.argv[1:])
