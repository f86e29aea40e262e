"""Train a model by a preset.

    python -m diffae.train portraits --out runs/portraits
    python -m diffae.train fashion-mnist --data /usr/share/datasets/fashion-mnist --out runs/fashion

Run the same command again and it goes on where it stopped. The result is a checkpoint in DIR:
model.safetensors and config.json, ready for `python -m benchmarks.run all --ckpt DIR`.
"""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import IO

from diffae import cli

if __name__ == "__main__":
    cli.quit_on_signals()

import torch

from diffae.data import Dataset, open_for_model, open_portraits
from diffae.data.transforms import CROPS
from diffae.errors import UserError
from diffae.files import write_whole, writing
from diffae.lock import foreign, lock_folder
from diffae.train.presets import PRESETS, Preset
from diffae.train.stages import train
from diffae.train.trainer import identity_of


def main(arguments: list[str] | None = None) -> None:
    parser = cli.Parser("python -m diffae.train", __doc__)
    presets = "\n".join(_line(preset) for preset in PRESETS.values())
    parser.epilog = f"presets:\n{presets}"
    parser.add_argument("preset", help="one of the presets below")
    parser.add_argument("--data", type=Path, help="data set to train on (default: the portraits)")
    parser.add_argument(
        "--crop", choices=CROPS, help="how --data is cut to squares (default: the format's own)"
    )
    parser.add_argument("--out", type=Path, help="folder of the run (default: runs/PRESET)")
    parser.add_argument("--seed", type=cli.natural, default=0)
    parser.add_argument(
        "--device", type=cli.device, default="cuda" if torch.cuda.is_available() else "cpu"
    )
    args = parser.parse(arguments)
    if args.preset not in PRESETS:
        raise UserError(f"unknown preset {args.preset!r}{cli.did_you_mean(args.preset, PRESETS)}")
    preset = PRESETS[args.preset]
    out = args.out or Path("runs") / preset.name
    data = _open(preset, args.data, args.crop)
    indices = data.indices("train")
    if not len(indices):
        raise UserError(f"{data.root}: no training images")
    identity = identity_of(
        preset=asdict(preset),
        data=data.fingerprint,
        transform=data.transform.describe(),
        size=len(indices),
        seed=args.seed,
    )
    lock = _claim(out, identity)
    if preset.expect:
        print(f"{preset.name}: expect {preset.expect}", file=sys.stderr)
    images = data.load_all(indices)
    with lock, writing(out, "or choose another --out"):
        train(preset, images, identity, out, args.seed, args.device)
    print(out)


def _line(preset: Preset) -> str:
    expect = f"\n{'':23}expect {preset.expect}" if preset.expect else ""
    return f"  {preset.name:20} {preset.description}{expect}"


def _open(preset: Preset, path: Path | None, crop: str | None) -> Dataset:
    size = preset.model.image_size
    if path is not None:
        return open_for_model(path, size, crop)
    if crop is not None:
        raise UserError("--crop: says how --data is cut, and there is no --data")
    if not preset.portraits:
        raise UserError(f"preset {preset.name} needs --data: {preset.data_hint}")
    return open_portraits(preset.portraits, size)


def _claim(out: Path, identity: str) -> IO[str]:
    """Make `out` this training's folder, locked while the file returned is open.

    Raises UserError if it holds something else, or if another process is training in it.
    """
    note = out / "training.json"
    if note.is_file():
        try:
            theirs = json.loads(note.read_text())
        except ValueError:
            raise UserError(f"{note}: damaged; choose another --out") from None
        if theirs != json.loads(identity):
            raise UserError(f"{out}: holds another training (see {note}); choose another --out")
    elif out.exists() and (not out.is_dir() or foreign(out)):
        raise UserError(f"{out}: exists and is not a training folder; choose another --out")
    with writing(out, "or choose another --out"):
        out.mkdir(parents=True, exist_ok=True)
        lock = lock_folder(out, "training")
        write_whole(note, (json.dumps(json.loads(identity), indent=2) + "\n").encode())
    return lock


if __name__ == "__main__":
    cli.run(main)
