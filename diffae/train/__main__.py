"""Train a model by a preset.

    python -m diffae.train portraits --out runs/portraits
    python -m diffae.train fashion-mnist --data /usr/share/datasets/fashion-mnist --out runs/fashion

    torchrun --nproc-per-node 8 -m diffae.train ffhq128 --data ffhq/ --micro-batch 16

Run the same command again and it goes on where it stopped, also in another number of processes: a batch is as large as the
preset says, and shared among them. The result is a checkpoint in DIR:
model.safetensors and config.json, ready for `python -m benchmarks.run all --ckpt DIR`, and training.json, which
says what it was trained on.
"""

import argparse
import json
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from diffae import cli, distributed
from diffae.signals import quit_on_signals

if __name__ == "__main__":
    quit_on_signals()

import torch

from diffae.cli import say
from diffae.data import Dataset, open_for_model, open_portraits
from diffae.data.transforms import CROPS
from diffae.errors import UserError
from diffae.files import read_text, write_whole, writing
from diffae.lock import foreign, lock_folder
from diffae.train import dry_run, precision
from diffae.train.elsewhere import ELSEWHERE, AnyPreset, find_preset
from diffae.train.images import source_of
from diffae.train.overrides import differences, override
from diffae.train.presets import PRESETS, Preset
from diffae.train.trainer import Run, Steps, identity_of
from diffae.trained_on import NOTE, TrainedOn

WORKERS = 2


def main(arguments: list[str] | None = None) -> None:
    parser = _parser()
    distributed.init()
    args = parser.parse(arguments)
    preset = override(find_preset(args.preset), args.set)
    if args.dry_run:
        print(_dry(preset, args.data, args.crop, args.device, args.precision, args.gpus))
    else:
        _train(preset, args)


def _parser() -> cli.Parser:
    parser = cli.Parser("python -m diffae.train", __doc__)
    presets = [_line(preset) for preset in PRESETS.values()]
    others = [f"  {name:20} {where.line}" for name, where in ELSEWHERE.items()]
    parser.epilog = "\n".join(["presets:", *presets, "presets of other systems:", *others])
    parser.add_argument("preset", help="one of the presets below")
    parser.add_argument(
        "--data", type=cli.path, help="data set to train on (default: the portraits)"
    )
    parser.add_argument(
        "--crop", choices=CROPS, help="how --data is cut to squares (default: the format's own)"
    )
    parser.add_argument("--out", type=cli.path, help="folder of the run (default: runs/PRESET)")
    parser.add_argument("--seed", type=cli.natural, default=0)
    parser.add_argument(
        "--device", type=cli.device, default="cuda" if torch.cuda.is_available() else "cpu"
    )
    parser.add_argument(
        "--precision",
        choices=precision.CHOICES,
        default=precision.AUTO,
        help="auto (default): bfloat16 where the processor multiplies it, else float32",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="another value of a setting of the preset, e.g. image.batch_size=64; may be repeated (docs/training.md)",
    )
    parser.add_argument(
        "--micro-batch",
        type=cli.positive,
        metavar="N",
        help="examples that a process computes at once; its share of a batch is cut into such parts (default: all of it)",
    )
    parser.add_argument(
        "--recompute",
        action="store_true",
        help="compute activations again for the gradient: a fraction of the memory, a third more time",
    )
    parser.add_argument(
        "--workers",
        type=cli.natural,
        default=WORKERS,
        help=f"processes that read images ahead, where they do not fit into memory (default: {WORKERS})",
    )
    parser.add_argument(
        "--keep", type=cli.positive, default=2, help="how many states stay (default: 2)"
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="say what the training would take (parameters, operations, memory, hours, disk) and stop",
    )
    parser.add_argument(
        "--gpus",
        type=cli.positive,
        default=1,
        help="of --dry-run: how many such devices share the work (default: 1)",
    )
    return parser


def _train(preset: AnyPreset, args: argparse.Namespace) -> None:
    """Train `preset` as the command line says, and print the folder."""
    out = args.out or Path("runs") / preset.name
    with distributed.main_first():
        data = _open(preset, args.data, args.crop)
        _ = data.survey  # while the others wait: they find what this one kept
    indices = data.indices(preset.split)
    if not len(indices):
        raise UserError(
            f"{data.root}: no images in split {preset.split}, which the preset trains on"
        )
    for line in filter(None, (*data.left_out, data.survey.note)):
        say(f"{data.name}: {line}")
    trained_on = TrainedOn.describe(preset.name, data, preset.split, args.seed)
    note = _Note(out, trained_on, preset.decides, args.set)
    lock = _claim(note) if distributed.is_main() else nullcontext()
    distributed.barrier()
    steps = Steps(args.micro_batch, args.recompute, keep=args.keep)
    how = _precision(preset, args.precision, args.device)
    run = Run(args.seed, note.identity, how, steps, args.workers)
    if preset.expect:
        say(f"{preset.name}: expect {preset.expect}")
    images = source_of(data, indices)
    with lock, writing(out, "or choose another --out"):
        outcomes = preset.train(images, out, run, args.device)
        if distributed.is_main():
            note.write({name: asdict(outcome) for name, outcome in outcomes.items()})
    if distributed.is_main():
        print(out)


def _dry(
    preset: AnyPreset, path: Path | None, crop: str | None, device: str, asked: str, gpus: int
) -> str:
    if not isinstance(preset, Preset):
        raise UserError(f"--dry-run: not for {preset.name}, only for DiffAE and the DDIM baseline")
    count = preset.portraits
    if path is not None:
        count = len(_open(preset, path, crop).indices(preset.split))
    return dry_run.report(preset, count, device, precision.choose(asked, device)[0], gpus)


def _precision(preset: AnyPreset, asked: str, device: str) -> str:
    """The precision of this training, which is said."""
    chosen, why = precision.choose(asked, device)
    say(f"{preset.name}: training in {chosen} ({why})")
    return chosen


def _line(preset: Preset) -> str:
    expect = f"\n{'':23}expect {preset.expect}" if preset.expect else ""
    return f"  {preset.name:20} {preset.description}{expect}"


def _open(preset: AnyPreset, path: Path | None, crop: str | None) -> Dataset:
    size = preset.image_size
    if path is not None:
        return open_for_model(path, size, crop)
    if crop is not None:
        raise UserError("--crop: says how --data is cut, and there is no --data")
    if not preset.portraits:
        raise UserError(f"preset {preset.name} needs --data: {preset.data_hint}")
    return open_portraits(preset.portraits, size)


@dataclass(frozen=True)
class _Note:
    """`training.json`: what a folder's training is, for people, for going on, and for who evaluates the result."""

    out: Path
    trained_on: TrainedOn
    decides: dict[str, Any]
    overrides: list[str]  # as typed; what they change is in `decides`

    @property
    def path(self) -> Path:
        return self.out / NOTE

    @property
    def identity(self) -> str:
        """What decides the result: not the wording of a preset, nor the name of the data."""
        return identity_of(trained_on=self.trained_on.decides, settings=self.decides)

    def differences(self, theirs: dict[str, Any]) -> list[str]:
        """What of the settings of another note is not as in this one."""
        return differences(theirs.get("settings"), json.loads(json.dumps(self.decides)))

    def write(self, stages: dict[str, Any] | None = None) -> None:
        """`stages` says how each stage went, once all have ended."""
        content = {
            "trained_on": self.trained_on.to_json(),
            "settings": self.decides,
            "overrides": self.overrides,
            "identity": self.identity,
            "stages": stages,
        }
        write_whole(self.path, (json.dumps(content, indent=2) + "\n").encode())


def _claim(note: _Note) -> IO[str]:
    """Make the note's folder this training's, locked while the file returned is open.

    Raises UserError if it holds something else, or if another process is training in it.
    """
    out, known = note.out, note.path.is_file()
    if known:
        try:
            content = json.loads(read_text(note.path))
            theirs = content["identity"]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise UserError(
                f"{note.path}: damaged, or of another version; choose another --out"
            ) from None
        if theirs != note.identity:
            differ = "; ".join(note.differences(content)[:3])
            raise UserError(
                f"{out}: holds another training (see {note.path}{differ and f': {differ}'}); choose another --out"
            )
    elif out.exists() and (not out.is_dir() or foreign(out)):
        raise UserError(f"{out}: exists and is not a training folder; choose another --out")
    with writing(out, "or choose another --out"):
        out.mkdir(parents=True, exist_ok=True)
        lock = lock_folder(out, "training")
        if not known:
            note.write()
    return lock


if __name__ == "__main__":
    cli.run(main)
