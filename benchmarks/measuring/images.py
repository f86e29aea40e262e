"""The images of a folder or of an npz file, as `benchmarks.measure` reads them, and metrics of pairs.

An npz file has them as guided-diffusion (ADM) and its evaluator keep them: `arr_0`, uint8 N x H x W x 3.
They are read one after the other, so that memory does not grow with the file.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from math import prod
from pathlib import Path, PurePosixPath
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from benchmarks.measuring.request import (
    OURS,
    PLAINLY,
    Answer,
    Request,
    answer_of,
    described,
    naming_stand_in,
    refusal,
)
from benchmarks.metrics import METRICS
from benchmarks.metrics.groups import group_of
from benchmarks.metrics.pairs import FACES, PairNetwork, PairScores, network_of, score
from benchmarks.metrics.units import Units
from diffae.data import npz
from diffae.data.dataset import WORKERS
from diffae.data.fingerprint import note_of_files
from diffae.data.readers.folder import find_images
from diffae.data.transforms import decode, decode_plainly
from diffae.system import cli
from diffae.system.errors import UserError
from diffae.system.free_memory import fits
from diffae.system.progress import shown

READINGS = {OURS: decode, PLAINLY: decode_plainly}
ARRAY = "arr_0"  # of an npz file with images
STATISTICS = {"mu", "sigma"}  # of one that Frechet distances take in place of images
AHEAD, HELD = 16, 1 << 27  # images that are read before they are measured, and their bytes

T = TypeVar("T")


def names_of(folder: Path, request: Request) -> tuple[str, ...]:
    """The images of a folder.

    Reports on stderr which files were left out, and how many images other software reads differently.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder")
    images = find_images(folder)
    for line in images.left_out:
        cli.say(f"warning: {folder}: left out: {line}")
    files = (folder / name for name in images.names)
    if request.reading == OURS and (note := note_of_files(files)):
        cli.say(f"warning: {folder}: {note}; see --reading")
    return images.names


def images_of(path: Path, request: Request) -> tuple[int, Iterator[Tensor]]:
    """The number of images of a folder or an npz file that are measured, and each of them: uint8
    3 x H x W.
    """
    if path.is_file():
        places = _chosen(path, count_in(path), "images", request)
        images = _at(places, images_in(path))
    else:
        names = names_of(path, request)
        places = _chosen(path, len(names), "images", request)
        images = _ahead(lambda place: read(path / names[place], request), places)
    return len(places), shown(images, str(path), "images", len(places))


def reading(request: Request, unit: str = "pairs") -> list[str]:
    """Lines on how images are read, if not as for the tables, and on how many of them or of pairs."""
    lines = [] if request.reading == OURS else [f"images read as by {request.reading}"]
    if request.limit is not None:
        lines.append(f"at most {request.limit:,} {unit}, drawn at random")
    return lines


def read(path: Path, request: Request) -> Tensor:
    """uint8 3 x H x W, at the image's own size."""
    return torch.from_numpy(np.array(READINGS[request.reading](path))).permute(2, 0, 1)


def _ahead(read: Callable[[T], Tensor], files: Sequence[T]) -> Iterator[Tensor]:
    """The images of some files, of which threads read some while others are measured."""
    waiting: deque[Future[Tensor]] = deque()
    ahead = 0
    with ThreadPoolExecutor(WORKERS) as pool:
        try:
            for file in files:
                waiting.append(pool.submit(read, file))
                while len(waiting) > ahead:
                    image = waiting.popleft().result()
                    yield image
                    ahead = min(AHEAD, HELD // image.nbytes)
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def batches(images: Iterable[Tensor], batch_size: int) -> Iterator[Tensor]:
    """Stacks of up to `batch_size` consecutive images of one size, or other tensors of one shape."""
    held: list[Tensor] = []
    for image in images:
        if held and (len(held) == batch_size or image.shape != held[0].shape):
            yield torch.stack(held)
            held = []
        fits((len(held) + 1) * image.nbytes, "images of a batch; give a smaller --batch-size")
        held.append(image)
    if held:
        yield torch.stack(held)


# ----------------------------------------------------------------------------------------------
# npz files


def is_archive(path: Path) -> bool:
    """Whether a path is an npz file with images, and without statistics beside them.

    Raises UserError for a file that is no npz file, or a damaged one.
    """
    return path.is_file() and ARRAY in (held := npz.names(path)) and not held >= STATISTICS


def has_statistics(path: Path) -> bool:
    """Whether a path is an npz file with statistics, whatever else it holds. Raises as `is_archive`."""
    return path.suffix == ".npz" and path.is_file() and npz.names(path) >= STATISTICS


def images_in(path: Path) -> Iterator[Tensor]:
    """The images of an npz file, each uint8 3 x H x W, in order."""
    with npz.opened(path, ARRAY) as (header, file):
        count, *size = _shape(path, header)
        fits(3 * prod(size), path)
        for number in range(count):
            with npz.reading(path, f"image {number:,} cannot be read"):
                content = bytearray(file.read(prod(size)))
                image = np.frombuffer(content, np.uint8).reshape(size)
            yield torch.from_numpy(image).permute(2, 0, 1)


def count_in(path: Path) -> int:
    """How many images an npz file has. Raises UserError, naming the file, if it has others."""
    with npz.opened(path, ARRAY) as (header, _):
        return _shape(path, header)[0]


def _shape(path: Path, header: npz.ArrayHeader) -> tuple[int, ...]:
    shape = header.shape
    if header.dtype != np.uint8 or len(shape) != 4 or shape[3] != 3 or not prod(shape):
        raise UserError(f"{path}: {ARRAY} is {header}, not images: uint8 N x H x W x 3")
    if header.by_column:
        raise UserError(f"{path}: {ARRAY} is in Fortran order; save np.ascontiguousarray of it")
    return shape


# ----------------------------------------------------------------------------------------------
# Pairs


def are_pairs(request: Request) -> bool:
    """Whether A and B are folders with the same names, or npz files of as many images.

    A file that also has statistics is a reference, as ADM's are, and holds no originals.
    """
    a, b = request.pair
    if not (a.is_dir() and b.is_dir()):
        return is_archive(a) and is_archive(b) and count_in(a) == count_in(b)
    names = [find_images(folder).names for folder in (a, b)]
    first, second = ({PurePosixPath(name).with_suffix("") for name in side} for side in names)
    return first == second


def pairs_of(request: Request) -> tuple[int, Iterator[Tensor]]:
    """The number of pairs of images of A and B, and each of them: uint8 2 x 3 x H x W.

    Two folders: files of the same name, whatever their suffix. Two npz files: images in order.
    Raises UserError if an image has no partner, or one of another size.
    """
    a, b = request.pair
    packed = [path.is_file() for path in (a, b)]
    if all(packed):
        count, other = count_in(a), count_in(b)
        if count != other:
            raise UserError(f"{b}: {other:,} images, {a} has {count:,}: pairs are in order")
        places = _chosen(b, count, "pairs", request)
        both = _at(places, zip(images_in(a), images_in(b), strict=True))
        pairs = (_pair(x, y, f"{b}: its images", str(a)) for x, y in both)
        return len(places), shown(pairs, str(b), "pairs", len(places))
    if any(packed):
        folder = b if packed[0] else a
        raise UserError(f"{folder}: an npz file has no names: pairs need two of a kind")
    all_paths = _paths(request)
    paths = [all_paths[place] for place in _chosen(b, len(all_paths), "pairs", request)]

    def pair(both: tuple[Path, Path]) -> Tensor:
        x, y = both
        return _pair(read(x, request), read(y, request), str(y), str(x))

    return len(paths), shown(_ahead(pair, paths), str(b), "pairs", len(paths))


def _at(places: Sequence[int], images: Iterable[T]) -> Iterator[T]:
    """Those of the images that are at these places."""
    wanted = frozenset(places)
    return (image for place, image in enumerate(images) if place in wanted)


def _chosen(path: Path, count: int, unit: str, request: Request) -> Sequence[int]:
    """The places of what is measured, ascending: all, or a random sample of `--limit`."""
    if request.limit is None or request.limit >= count:
        return range(count)
    cli.say(f"{path}: a random sample of {request.limit:,} of {count:,} {unit} (--limit)")
    return np.sort(np.random.default_rng(0).permutation(count)[: request.limit]).tolist()


def _pair(a: Tensor, b: Tensor, where: str, other: str) -> Tensor:
    if a.shape != b.shape:
        sizes = " and ".join(f"{x.shape[2]} x {x.shape[1]}" for x in (a, b))
        raise UserError(f"{where}: differs in size from {other} ({sizes})")
    # by NumPy: torch would start threads of its own for each thread that reads, and all would slow down
    return torch.from_numpy(np.stack([a.numpy(), b.numpy()]))


def _paths(request: Request) -> list[tuple[Path, Path]]:
    """Files of the same name in both folders, whatever their suffix."""
    a, b = request.pair
    sides = [_by_name(folder, request) for folder in request.pair]
    for here, there, folder in ((sides[0], sides[1], b), (sides[1], sides[0], a)):
        if alone := sorted(here.keys() - there.keys()):
            lacks = f"no image named {alone[0]} (of {len(alone)} without a partner)"
            raise UserError(f"{folder}: {lacks}: pairs are files of the same name")
    return [(path, sides[1][name]) for name, path in sides[0].items()]


def _by_name(folder: Path, request: Request) -> dict[str, Path]:
    """The images of a folder by their name without the suffix."""
    images: dict[str, Path] = {}
    for name in names_of(folder, request):
        bare = str(PurePosixPath(name).with_suffix(""))
        if bare in images:
            named = f"has the name of {images[bare].name}, and pairs are files of the same name"
            raise UserError(f"{folder / name}: {named}; take one of the two out")
        images[bare] = folder / name
    return images


# ----------------------------------------------------------------------------------------------
# Metrics of pairs

NAMES = {"identity": FACES}  # the command's name of a metric: its name in the table


def measure_pairs(metrics: Sequence[str], request: Request) -> Iterator[Answer]:
    """The answers on metrics of pairs. The images are read once for all."""
    networks: dict[str, PairNetwork | None] = {}
    for metric in metrics:
        name = NAMES.get(metric, metric)
        try:
            with naming_stand_in(name):
                networks[metric] = network_of(name, request.networks)
        except UserError as error:
            yield refusal([metric], error)
    if not networks:
        return
    try:
        all_scores, reasons = _scores(networks, request)
    except UserError as error:
        yield refusal(networks, error)
        return
    for metric, reason in reasons.items():
        yield refusal([metric], reason)
    for metric, scores in all_scores.items():
        name, network = NAMES.get(metric, metric), networks[metric]
        units = Units(str(request.a), np.arange(len(scores)))
        estimate = group_of(name).estimate({name: scores}, units)[name]
        title = METRICS[name].title if network is None else described(network)
        about = [f"measured by: {title}", *reading(request)]
        about += [f"{note}: left out" for note in estimate.notes]
        yield answer_of(metric, estimate, about, [f"pairs: {estimate.n}"])


def _scores(
    networks: Mapping[str, PairNetwork | None], request: Request
) -> tuple[dict[str, PairScores], dict[str, str]]:
    """The scores of all pairs by each metric, and why others have none.

    Raises UserError for images that cannot be read or are no pairs.
    """
    parts: dict[str, list[Tensor]] = {metric: [] for metric in networks}
    reasons: dict[str, str] = {}
    _, pairs = pairs_of(request)
    for batch in batches(pairs, request.batch_size):
        a, b = (images.float() / 127.5 - 1 for images in batch.unbind(1))
        for metric, network in networks.items():
            if metric in reasons:
                continue
            try:
                parts[metric].append(score(NAMES.get(metric, metric), network, a, b))
            except UserError as error:
                reasons[metric] = str(error)
    complete = {metric: torch.cat(parts[metric]) for metric in networks if metric not in reasons}
    return {metric: scores.double().numpy() for metric, scores in complete.items()}, reasons
