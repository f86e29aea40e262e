"""Effects of the options of a command as comparable values: a view for each command.

A view takes a command's module (and verb) and the words of a command line, and returns their effects
by name; a refusal is under REFUSED. The files of a command are in a folder of its own, `{out}` in its words.
"""

import contextlib
import hashlib
import io
from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from runs import KEY, RNG, SSIM, change_notes, gate_run
from safetensors.numpy import load_file
from tiny_preset import TINY, pictures

from benchmarks.commands.options import parse
from benchmarks.core.runner.evaluation import prepare
from benchmarks.core.store import Store
from diffae.data.portraits import write_dataset
from diffae.images.classifier import Classifier
from diffae.system.errors import UserError
from diffae.train import __main__ as training
from diffae.train import trainer
from diffae.train.presets import PRESETS
from probes.linear import LinearProbe

REFUSED = "refused"
SHORT = {"samples": 8, "batch_size": 4}
WORSE = SSIM - 0.01 + RNG.normal(0, 0.05, 200)  # by 3 standard errors and less than 6

Seen = dict[str, Any]
Words = Sequence[str]


def make_ground(root: Path) -> dict[str, str]:
    """Folders by name, which a command line may use as {name}.

    They are pictures with and without labels, a trained model of a few thousand weights, folders of
    pairs, and finished runs.
    """
    for folder, count, size in (("pictures", 20, 8), ("two", 2, 8), ("larger", 12, 32)):
        (root / folder).mkdir()
        for i, pixels in enumerate(pictures(count)):
            Image.fromarray(pixels).resize((size, size)).save(root / folder / f"{i:02d}.png")
    write_dataset(root / "faces", 16, 32, workers=1)
    words = ["tiny", "--data", root / "pictures", "--out", root / "ckpt", "--sheet-every", 0]
    training.main(list(map(str, words)))
    for folder, scores in (("base", SSIM), ("worse", WORSE)):
        run_folder = gate_run(root / folder, {KEY: scores})
        change_notes(run_folder, ended="2026-01-01T00:00:00+00:00")
    weight = torch.tensor([[1.0, 0.0, -1.0, 0.5], [0.0, 1.0, 0.5, -1.0]])
    probe = LinearProbe(weight, torch.zeros(2), torch.zeros(4), torch.full((4,), 1e3))
    Classifier(("Smiling", "Male"), probe).save(root / "classifier.safetensors")
    return {path.stem: str(path) for path in root.iterdir()}


def short_preset(patch: pytest.MonkeyPatch) -> None:
    """The tiny preset, added to the table, with two steps, each of which is saved."""
    schedule = replace(TINY.image, **SHORT)
    preset = replace(TINY, split="all", data_hint="x", image=schedule, latent=schedule)
    patch.setitem(PRESETS, "tiny", preset)
    patch.setattr(trainer, "SAVE_EVERY_SECONDS", -1)


def called(command: Words, words: Words) -> Seen:
    """A command in this process: its output, its status, and its refusal."""
    module, *verb = command
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = import_module(module).main([*verb, *words]) or 0
        except UserError as error:
            return {REFUSED: str(error)}
        except SystemExit as ended:
            status = ended.code
    return {"status": status, "stdout": out.getvalue(), "stderr": err.getvalue()}


def files(out: Path) -> Seen:
    """The contents of a folder: names, and pictures as pixels."""
    names = sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())
    shown = [name for name in names if name.endswith(".png") and name != "sheet.png"]
    first = {"first": np.asarray(Image.open(out / shown[0]))} if shown else {}
    return {"names": names, "count": len(shown), **first}


# ----------------------------------------------------------------------------------------------
# The views


def run(_: Words, words: Words, out: Path) -> Seen:
    """benchmarks.run: the parsed request, and what a benchmark is given."""
    try:
        options = parse(list(words), None)
        evaluation = prepare(options, Store(out / "store", options.fresh))
    except UserError as error:
        return {REFUSED: str(error)}
    context, (system, *_) = evaluation.context, evaluation.systems
    selection = context.select("test", 4)
    return {
        **vars(options),
        "titles": [system.title for system in evaluation.systems],
        "settings": options.profile.settings(),
        "order": selection.order.tolist(),
        "key": context.codes.decides(system, selection),
        "fields": context.protocol(),
        "crop": context.dataset.transform.crop,
        "together": system.batches.size,
        **{f"settings.{name}": value for name, value in options.profile.settings().items()},
    }


def train(command: Words, words: Words, out: Path) -> Seen:
    """diffae.train: the weights, and the other files of its folder."""
    seen = called(command, words)
    if REFUSED in seen or not out.exists():
        return seen
    weights = [v.ravel() for _, v in sorted(load_file(out / "model.safetensors").items())]
    states = len(list(out.glob("training-*")))
    return {**seen, **files(out), "weights": np.concatenate(weights), "states": states}


def images(command: Words, words: Words, out: Path) -> Seen:
    """diffae.images: the pictures, or the file of `learn`."""
    seen = called(command, words)
    if out.is_file():
        return {**seen, "weight": load_file(out)["weight"]}
    return {**seen, **files(out)} if out.exists() else seen


def data(command: Words, words: Words, out: Path) -> Seen:
    """diffae.data: the output, and the written files."""
    seen = called(command, words)
    content = sorted(path for path in out.rglob("*") if path.is_file())
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in content]
    return {**seen, **files(out), "content": digests} if out.exists() else seen


def plain(command: Words, words: Words, out: Path) -> Seen:
    """A command with its output and the names of its files."""
    seen = called(command, words)
    return {**seen, "files": sorted(path.name for path in out.parent.iterdir())}


# ----------------------------------------------------------------------------------------------
# Every option of a command, as its parser has it


class _Built(Exception):
    """Raised with a parser that is about to read."""


def parser_of(module: str, *first: str) -> ArgumentParser:
    """The parser of a command: `first` are the words before its options."""

    def caught(self: ArgumentParser, *_: Any, **__: Any) -> None:
        raise _Built(self)

    with pytest.MonkeyPatch.context() as patch:
        for name in ("parse_known_args", "parse_known_intermixed_args"):
            patch.setattr(ArgumentParser, name, caught)
        with pytest.raises(_Built) as built:
            import_module(module).main(list(first))
    return built.value.args[0]


def options_of(parser: ArgumentParser) -> set[str]:
    """Flags by their longest name, and words without a flag in capitals."""
    actions = [action for action in parser._actions if action.dest != "help"]
    return {max(a.option_strings, key=len) if a.option_strings else a.dest.upper() for a in actions}
