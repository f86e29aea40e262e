"""Measure metrics between two folders of images.

    python -m benchmarks.measure fid real/ samples/
    python -m benchmarks.measure fid real.npz samples/          statistics that others saved
    python -m benchmarks.measure fid real/ --save real.npz      save statistics for later
    python -m benchmarks.measure ssim originals/ reconstructions/
    python -m benchmarks.measure ssim,lpips,mse,fid runs/RUN/images/inputs runs/RUN/images/diffae     several at once

Frechet distances, as fid, compare two sets. The others compare pairs: files of the same name, whatever their
suffix, and the mean over them is printed. The last line on stdout is METRIC VALUE; the lines before say
how it was measured. Several metrics are printed one after the other, in the given order. A metric whose weights are
missing is never replaced by another: it gives a line on stderr and exit status 2, and the others are printed.
"""

from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import reduce
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from torch import Tensor

from benchmarks import weights
from benchmarks.metrics import METRICS, pixel, ssim
from benchmarks.metrics.frechet import (
    Moments,
    bias_note,
    frechet_distance,
    is_statistics,
    read_statistics,
    write_statistics,
)
from benchmarks.metrics.networks.chosen import DISTANCES, FEATURES, face_embedding
from benchmarks.metrics.networks.faces import FaceEmbedding, without_face
from benchmarks.metrics.networks.features import FeatureNetwork
from benchmarks.metrics.networks.perceptual import PerceptualDistance
from benchmarks.runtime.choices import NetworkChoice
from benchmarks.runtime.precision import full_precision
from diffae.data.fingerprint import note_of_files
from diffae.data.readers.folder import find_images
from diffae.data.transforms import decode, decode_plainly
from diffae.system import cli
from diffae.system.errors import UserError
from diffae.system.files import Target, refuse_outputs, writing
from reports.records import metrics
from reports.records.metrics import alternatives, comparing, published_name

SETS = comparing(metrics.SETS)
NAMES = {"identity": "arcface"}  # the command's name of a metric: its name in the table
PAIRS = (*comparing(metrics.PAIRS), *NAMES)
OURS = "diffae"
READINGS = {OURS: decode, "pytorch-fid": decode_plainly}
MOMENTS_CHUNK = 1024  # features are summed this many at a time: memory does not grow with the set

# The metrics without a network.
PLAIN = {"ssim": ssim.ssim, "ssim_valid": ssim.ssim_valid, "mse": pixel.mse, "psnr": pixel.psnr}

# Images in [-1, 1], N x 3 x H x W twice -> [N], NaN for a pair in which no face is found.
PairMetric = Callable[[Tensor, Tensor], Tensor]


def main(arguments: list[str] | None = None) -> None:
    args = _parser().parse(arguments)
    names = list(dict.fromkeys(args.metric.split(",")))
    if unknown := [name for name in names if name not in (*SETS, *PAIRS)]:
        near = cli.did_you_mean(unknown[0], (*SETS, *PAIRS))
        raise UserError(f"unknown metric {unknown[0]!r}{near}")
    sets, pairs = ([name for name in names if name in kind] for kind in (SETS, PAIRS))
    if args.save is not None and (pairs or len(sets) > 1):
        why = f"{pairs[0]} compares pairs and has no statistics" if pairs else "takes one metric"
        raise UserError(f"--save: {why}")
    if args.b is None and args.save is None:
        raise UserError(f"{args.metric} needs two folders, A and B")
    refuse_outputs([Target("--save", args.save, is_statistics)], (args.a, args.b))
    with full_precision():
        found, refused = _measured(sets, pairs, args)
    if found:
        print("\n".join(line for name in names for line in found.get(name, [])), flush=True)
    for reason in refused[:-1]:
        cli.say(f"error: {reason}")
    if refused:
        raise UserError(refused[-1])


def _measured(
    sets: Sequence[str], pairs: Sequence[str], args: Namespace
) -> tuple[dict[str, list[str]], list[str]]:
    """The lines of each metric that can be measured, and for the others the reason why they cannot."""
    found: dict[str, list[str]] = {}
    refused: list[str] = []
    compare: dict[str, tuple[PairMetric, str]] = {}

    @contextmanager
    def noting(*names: str) -> Iterator[None]:
        try:
            yield
        except UserError as error:
            refused.append(f"{', '.join(names)}: {error}")

    for name in pairs:
        with noting(name):
            compare[name] = _pair_metric(name, args)
    if compare:
        with noting(*compare):
            found |= _measure_pairs(compare, args)
    for name in sets:
        with noting(name):
            found[name] = _measure_sets(name, args)
    return found, refused


def _parser() -> cli.Parser:
    parser = cli.Parser(cli.prog("benchmarks.measure"), __doc__)
    add = parser.add_argument
    add("metric", metavar="METRIC[,METRIC...]", help=", ".join((*SETS, *PAIRS)))
    add("a", metavar="A", type=cli.path, help="folder of images; for sets also statistics (.npz)")
    add("b", metavar="B", type=cli.path, nargs="?", help="the folder to compare with")
    add(
        "--save", type=cli.path, metavar="FILE.npz", help="write the statistics of A (mu, sigma, n)"
    )
    add("--weights-dir", type=cli.path, help="folder of metric weights, see benchmarks.run doctor")
    add("--allow-unknown-weights", action="store_true", help="use weights whose hash is not known")
    add("--device", type=cli.device, default="cuda" if torch.cuda.is_available() else "cpu")
    add(
        "--reading",
        choices=READINGS,
        default=OURS,
        help="how images with alpha or 16 bits are read: laid on white and scaled (default), or as pytorch-fid "
        "does, which drops alpha, clips, and does not turn what EXIF says",
    )
    add("--batch-size", type=cli.positive, default=32)
    return parser


def _weights(metric: str, args: Namespace) -> tuple[Path, torch.device]:
    """The file of a metric network's weights, and the device.

    Raises UserError, naming the stand-in, if the file is missing.
    """
    with _naming_stand_in(metric):
        network = METRICS[metric].network
        path = weights.load_path(network, args.weights_dir, args.allow_unknown_weights)
    return path, torch.device(args.device)


@contextmanager
def _naming_stand_in(metric: str) -> Iterator[None]:
    """For a block that loads a metric's network: an error names the stand-in of the metric."""
    try:
        yield
    except UserError as error:
        others = [name for name in alternatives(metric)[1:] if not METRICS[name].only_on]
        hint = f"; {others[0]} stands in for it" if others else ""
        raise UserError(f"{error}{hint}") from None


def _network(seen: FeatureNetwork | PerceptualDistance | FaceEmbedding) -> str:
    """The name and weights of a network, with a note if they are not the published ones."""
    odd = [text for name, text in seen.describe().items() if name.endswith("_weights")]
    return ", ".join([seen.name, f"sha256 {seen.sha256}", *map(str, odd)])


# ----------------------------------------------------------------------------------------------
# Two sets


def _measure_sets(metric: str, args: Namespace) -> list[str]:
    network = FEATURES[METRICS[metric].network](*_weights(metric, args))
    moments = _moments(args.a, network, args)
    if args.save is not None:
        with writing(args.save, "choose another --save"):
            write_statistics(args.save, moments)
    if args.b is None:
        return [f"{args.save}: mu, sigma and n of {_count(moments)}"]
    other = _moments(args.b, network, args)
    for path, side in ((args.a, moments), (args.b, other)):
        if side.n == 1:
            raise UserError(f"{path}: one image; a Frechet distance needs at least two")
        if note := bias_note(side.n, network.dim):
            cli.say(f"warning: {path}: {note}")
    value = frechet_distance(moments, other)
    return [
        f"measured by: {_network(network)}",
        *_reading(args),
        f"images: {_count(moments)} and {_count(other)}",
        f"{metric} {value:.8g}",
    ]


def _count(moments: Moments) -> str:
    return f"{moments.n} images" if moments.n else "an unknown number of images"


def _moments(path: Path, network: FeatureNetwork, args: Namespace) -> Moments:
    """Moments of the features of a folder's images, or those of a statistics file."""
    if path.suffix == ".npz":
        if path.exists() and not path.is_file():  # reading a pipe would wait for a writer
            raise UserError(f"{path}: must be a file of statistics, not a folder, pipe or device")
        moments = read_statistics(path)
        if len(moments.mean) != network.dim:
            raise UserError(
                f"{path}: statistics of {len(moments.mean)} features, not of {network.name}'s {network.dim}"
            )
        return moments
    images = (_read(path / name, args) for name in _names(path, args))
    features = (row for batch in _batches(images, args.batch_size) for row in network(batch).cpu())
    chunks = map(Moments.from_features, _batches(features, MOMENTS_CHUNK))
    return reduce(Moments.merge, chunks)


# ----------------------------------------------------------------------------------------------
# Pairs


def _pair_metric(metric: str, args: Namespace) -> tuple[PairMetric, str]:
    """The metric as a function of pairs of images, and the name of its network."""
    metric = NAMES.get(metric, metric)
    network = METRICS[metric].network
    if not network:
        return PLAIN[metric], METRICS[metric].title
    if published_name(metric) == "arcface":
        choice = NetworkChoice(
            weights_dir=args.weights_dir, allow_unknown=args.allow_unknown_weights
        )
        with _naming_stand_in(metric):
            face = face_embedding(network, choice, torch.device(args.device))
        return lambda a, b: face.compare(face(a), face(b)), _network(face)
    distance = DISTANCES[network](*_weights(metric, args))
    return distance, _network(distance)


def _measure_pairs(
    compare: Mapping[str, tuple[PairMetric, str]], args: Namespace
) -> dict[str, list[str]]:
    """The lines of all given metrics; the images are read once for all."""
    pairs = _pairs(args)
    scores: dict[str, list[Tensor]] = {metric: [] for metric in compare}
    joined = (_read_pair(first, second, args) for first, second in pairs)
    for batch in _batches(joined, args.batch_size):
        first, second = (images.float() / 127.5 - 1 for images in batch.unbind(1))
        for metric, (function, _) in compare.items():
            scores[metric].append(function(first, second).cpu())
    found = {}
    for metric, (_, name) in compare.items():
        values, error = torch.cat(scores[metric]).double().numpy(), ""
        values = values[~np.isnan(values)]
        lacking = without_face(len(pairs) - len(values), len(pairs), "pairs")
        if not len(values):
            raise UserError(lacking)
        if len(values) > 1 and np.isfinite(values).all():
            error = f", standard error {np.std(values, ddof=1) / np.sqrt(len(values)):.3g}"
        left_out = [f"{lacking}: left out"] if lacking else []
        told = [f"measured by: {name}", *_reading(args), *left_out]
        told.append(f"pairs: {len(values)}{error}")
        found[metric] = [*told, f"{metric} {np.mean(values):.8g}"]
    return found


def _pairs(args: Namespace) -> list[tuple[Path, Path]]:
    """Files of the same name in both folders, whatever their suffix."""
    sides = [_by_name(folder, args) for folder in (args.a, args.b)]
    for here, there, folder in ((sides[0], sides[1], args.b), (sides[1], sides[0], args.a)):
        if alone := sorted(here.keys() - there.keys()):
            raise UserError(
                f"{folder}: no image named {alone[0]} (of {len(alone)} without a partner): "
                "pairs are files of the same name"
            )
    return [(path, sides[1][name]) for name, path in sides[0].items()]


def _by_name(folder: Path, args: Namespace) -> dict[str, Path]:
    """The images of a folder by their name without the suffix."""
    images: dict[str, Path] = {}
    for name in _names(folder, args):
        bare = str(PurePosixPath(name).with_suffix(""))
        if bare in images:
            raise UserError(
                f"{folder / name}: has the name of {images[bare].name}, and pairs are files of the "
                "same name; take one of the two out"
            )
        images[bare] = folder / name
    return images


def _read_pair(a: Path, b: Path, args: Namespace) -> Tensor:
    """A pair of images: uint8 2 x 3 x H x W."""
    first, second = _read(a, args), _read(b, args)
    if first.shape != second.shape:
        sizes = " and ".join(f"{x.shape[2]} x {x.shape[1]}" for x in (first, second))
        raise UserError(f"{b}: differs in size from {a} ({sizes})")
    return torch.stack([first, second])


# ----------------------------------------------------------------------------------------------
# Images of a folder


def _names(folder: Path, args: Namespace) -> tuple[str, ...]:
    """The images of a folder.

    Reports on stderr which files were left out, and how many images other software reads differently.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder")
    found = find_images(folder)
    for line in found.left_out:
        cli.say(f"warning: {folder}: left out: {line}")
    files = (folder / name for name in found.names)
    if args.reading == OURS and (note := note_of_files(files)):
        cli.say(f"warning: {folder}: {note}; see --reading")
    return found.names


def _reading(args: Namespace) -> list[str]:
    """A line on how images are read, if not as for the tables."""
    return [] if args.reading == OURS else [f"images read as by {args.reading}"]


def _read(path: Path, args: Namespace) -> Tensor:
    """uint8 3 x H x W, at the image's own size."""
    return torch.from_numpy(np.array(READINGS[args.reading](path))).permute(2, 0, 1)


def _batches(images: Iterable[Tensor], batch_size: int) -> Iterator[Tensor]:
    """Stacks of up to `batch_size` consecutive images of one size, or other tensors of one shape."""
    held: list[Tensor] = []
    for image in images:
        if held and (len(held) == batch_size or image.shape != held[0].shape):
            yield torch.stack(held)
            held = []
        held.append(image)
    if held:
        yield torch.stack(held)


if __name__ == "__main__":
    cli.run(main)
