"""Train a model by a preset.

    python -m diffae.train portraits --out runs/portraits
    python -m diffae.train fashion-mnist --data /usr/share/datasets/fashion-mnist --out runs/fashion

    torchrun --nproc-per-node 8 -m diffae.train ffhq128 --data ffhq/ --micro-batch 16

Run the same command again to resume, also with a different number of processes: the batch size is the preset's, and a batch
is shared among them. The result is a checkpoint in the folder of --out: model.safetensors and config.json, ready for
`python -m benchmarks.run all --ckpt FOLDER`, and training.json, which says what it was trained on.
"""

import argparse
import sys
from contextlib import ExitStack, suppress
from pathlib import Path

from diffae.system import cli, distributed
from diffae.system.signals import quit_on_signals

if __name__ == "__main__":
    quit_on_signals()

from diffae.checkpoints.trained_on import TrainedOn
from diffae.data import Dataset, open_for_model, open_portraits
from diffae.data.fingerprint import state_of
from diffae.data.partition import SPLITS
from diffae.data.transforms import CROPS
from diffae.system.cli import say
from diffae.system.errors import UserError
from diffae.system.files import OutputPath, refuse_outputs, writing
from diffae.train import dry_run
from diffae.train.callbacks import flags as callback_flags
from diffae.train.images import Source, source_of
from diffae.train.init import Init
from diffae.train.note import Note
from diffae.train.presets import PRESETS, AnyPreset, Preset, find_preset, other_presets, override
from diffae.train.stages import AUTOENCODER, LATENT, refuse_unfinished, train
from diffae.train.trainer import TrainingRun, choose_precision, needing_memory
from diffae.train.types import AUTO, BFLOAT16, FLOAT16, FLOAT32, Steps

WORKERS = 2


def main(arguments: list[str] | None = None) -> None:
    parser = _parser()
    if {"-h", "--help"} & set(sys.argv[1:] if arguments is None else arguments):
        parser.epilog = _presets()
    distributed.init()
    args = parser.parse(arguments)
    distributed.take_gpu(args.device)
    preset = find_preset(args.preset)
    out = args.out or Path("runs") / preset.name
    refuse_outputs([OutputPath("--out", out, Path.is_dir)], (args.data,))
    _refuse(args, preset)
    init = None
    if args.init is not None and isinstance(preset, Preset):
        init = Init.open(args.init, kept=args.stages == LATENT)
        preset = init.adapt(preset)
    preset = override(preset, args.set)
    if init is not None and isinstance(preset, Preset):
        init.refuse_misfit(preset)
    if args.stages is not None and isinstance(preset, Preset) and preset.latent is None:
        raise UserError(f"--stages: {preset.name} trains no latent DDIM; leave it out")
    remedy = "free some memory, or use a smaller preset or --micro-batch"
    with needing_memory(f"{preset.name}: model and images", remedy):
        if args.dry_run and isinstance(preset, Preset):
            print(_dry_run(preset, args))
        else:
            _train(preset, init, out, args)


def _parser() -> cli.Parser:
    parser = cli.Parser(cli.prog("diffae.train"), __doc__)
    add = parser.add_argument
    add("preset", help="one of the presets below")
    data = "data set to train on (default: the portraits)"
    add("--data", type=cli.path, help=data)
    crop = "how images of --data are cropped to squares (default: that of the format)"
    add("--crop", choices=CROPS, help=crop)
    add("--out", type=cli.path, help="folder of the run (default: runs/PRESET)")
    seed = "seed of the weights, the order of the images, noise and dropout (default: 0)"
    add("--seed", type=cli.natural, default=0, help=seed)
    device = "cpu, cuda or cuda:N (default: a GPU if there is one)"
    add("--device", type=cli.device, default=cli.default_device(), help=device)
    precision = "auto (default): bfloat16 where it is faster, else float32"
    add("--precision", choices=(AUTO, BFLOAT16, FLOAT16, FLOAT32), default=AUTO, help=precision)
    settings = "change a setting of the preset, e.g. image.batch_size=64; may be repeated (`diffae-bench docs training`)"
    add("--set", action="append", default=[], metavar="NAME=VALUE", help=settings)
    stages = "train only the autoencoder, or only the latent DDIM (default: all of the preset)"
    add("--stages", choices=(AUTOENCODER, LATENT), help=stages)
    init = "start from a trained model's weights; with --stages latent they are kept as they are"
    add("--init", type=cli.word, metavar="CHECKPOINT", help=init)
    parts = "examples per forward pass: a process computes its share of a batch in parts of N (default: all at once)"
    add("--micro-batch", type=cli.positive, metavar="N", help=parts)
    recompute = "recompute activations in the backward pass: takes a fraction of the memory and a third more time"
    add("--recompute", action="store_true", help=recompute)
    workers = f"processes that read images ahead, unless memory holds them (default: {WORKERS})"
    add("--workers", type=cli.natural, default=WORKERS, help=workers)
    dry = "say how many hours the training would take, and stop"
    add("--dry-run", action="store_true", help=dry)
    gpus = "with --dry-run: the number of devices that share the work (default: 1)"
    add("--gpus", type=cli.positive, help=gpus)
    tflops = "with --dry-run: 10^12 operations per second that each device sustains (default: timed here)"
    add("--tflops", type=cli.positive, metavar="N", help=tflops)
    callback_flags.add(parser)
    return parser


def _presets() -> str:
    """The presets, for --help."""
    lines = ["presets:"]
    for preset in PRESETS.values():
        lines.append(f"  {preset.name:20} {preset.description}")
        if preset.expect:
            lines.append(f"{'':23}expect {preset.expect}")
    others = [f"  {preset.name:20} {preset.description}" for preset in other_presets()]
    return "\n".join([*lines, "presets of other systems:", *others])


def _refuse(args: argparse.Namespace, preset: AnyPreset) -> None:
    """Raise UserError if the flags contradict each other, or do not apply to this preset."""
    evaluation = ("evaluate_every", "evaluate", "evaluate_profile")
    for name in ("init", "stages", "dry_run", "sheet_every", *evaluation):
        flag = f"--{name.replace('_', '-')}"
        if not getattr(args, name):
            continue
        if not isinstance(preset, Preset):
            raise UserError(f"{flag}: not for {preset.name}, only for DiffAE and the DDIM baseline")
        if name in evaluation and not args.evaluate_every:
            raise UserError(f"{flag}: needs --evaluate-every N, which turns evaluation on")
    if not args.dry_run and (args.gpus is not None or args.tflops is not None):
        raise UserError("--gpus, --tflops: only with --dry-run")
    if args.crop is not None and args.data is None:
        raise UserError("--crop: says how --data is cut, and there is no --data")


def _train(preset: AnyPreset, init: Init | None, out: Path, args: argparse.Namespace) -> None:
    """Train `preset` in `out` by the options, and print the folder."""
    precision, reason = choose_precision(args.precision, args.device)
    with distributed.main_first():
        data = _open(preset, args.data, args.crop)
        _ = data.survey  # is made once, while the other processes wait, and kept in the cache
    indices = data.indices(preset.split)
    for line in filter(None, (*data.left_out, data.survey.note)):
        say(f"{data.name}: {line}")
    preset = preset.sized(len(indices))
    if isinstance(preset, Preset) and args.stages == LATENT and init is None:
        refuse_unfinished(preset, out)
    before = None if init is None else init.trained_on
    seen = TrainedOn.describe(preset.name, data, preset.split, args.seed, before)
    callbacks = callback_flags.callbacks_of(args, preset, out, data, seen)
    note = Note(out, seen, preset.decides, args.set, init)
    run = TrainingRun(args.seed, note.identity, precision, _steps(args), args.workers, callbacks)
    with ExitStack() as lock:
        if distributed.is_main():
            lock.enter_context(note.claim())
        distributed.barrier()
        state = state_of(data.source)
        images = source_of(data, indices)
        say(f"{preset.name}: training in {precision} ({reason})")
        _train_on(images, preset, note, run, args)
    _say_if_changed(data, state)
    if distributed.is_main():
        print(out)


def _train_on(
    images: Source, preset: AnyPreset, note: Note, run: TrainingRun, args: argparse.Namespace
) -> None:
    if preset.expect:
        say(f"{preset.name}: expect {preset.expect}")
    if note.init is not None:
        say(f"{preset.name}: starts from the weights of {note.init.given}")
    with writing(note.out, "or choose another --out"):
        if isinstance(preset, Preset):
            latent = args.stages != AUTOENCODER
            outcomes = train(preset, images, note.out, run, args.device, note.init, latent)
        else:
            outcomes = preset.train(images, note.out, run, args.device)
        if distributed.is_main():
            note.ended(outcomes)


def _say_if_changed(data: Dataset, before: str) -> None:
    """Print a notice if files of the data have changed since the training began and was recorded."""
    with suppress(UserError):  # a file is gone
        if state_of(data.source) == before:
            return
    say(f"{data.name}: its files have changed since this command began")


def _dry_run(preset: Preset, args: argparse.Namespace) -> str:
    """The report of --dry-run."""
    if args.data is not None:
        count = len(_open(preset, args.data, args.crop).indices(preset.split))
    else:  # the number of portraits, without drawing them
        from diffae.data.portraits.attributes import PICTURES_PER_IDENTITY, partition

        parts = [partition(0, index // PICTURES_PER_IDENTITY) for index in range(preset.portraits)]
        count = len(parts) if preset.split == "all" else parts.count(SPLITS[preset.split])
    precision, _ = choose_precision(args.precision, args.device)
    planned = dry_run.plan(preset, args.device, args.stages, count)
    return dry_run.report(planned, precision, _steps(args), args.gpus or 1, args.tflops)


def _steps(args: argparse.Namespace) -> Steps:
    return Steps(args.micro_batch, args.recompute)


def _open(preset: AnyPreset, path: Path | None, crop: str | None) -> Dataset:
    """The images of a preset. Raises UserError if the split that is trained on has none."""
    size = preset.image_size
    if path is not None:
        data = open_for_model(path, size, crop, f"preset {preset.name} (model.image_size)")
    elif preset.portraits:
        data = open_portraits(preset.portraits, size)
    else:
        raise UserError(f"preset {preset.name} needs --data: {preset.data_hint}")
    if not len(data.indices(preset.split)):
        raise UserError(f"{data.root}: no images in split {preset.split}, which is trained on")
    return data


if __name__ == "__main__":
    cli.run(main)
