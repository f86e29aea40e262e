"""How far each trap of docs/footguns.md moves a number, on drawn portraits; the table of that page.

    OMP_NUM_THREADS=1 python docs/results/footguns.py --write

Images are portraits of 64 px of the test split, reconstructions their 128 principal components, features those of
EfficientNet-lite0; D2C and NVAE are packaged, of 32 px. A minute or two of one core.
"""

import io
import re
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from measure import table as tabulated
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from benchmarks import systems
from benchmarks.metrics.networks.features import efficientnet_lite0
from benchmarks.metrics.path_length import path_length
from benchmarks.metrics.pixel import mse, psnr
from benchmarks.metrics.sets.frechet import Moments, frechet_distance
from benchmarks.metrics.ssim import similarity, ssim, ssim_valid
from benchmarks.systems.shared.logistic_mixture import LogisticMixture
from benchmarks.weights import load_path
from diffae.data import open_portraits
from probes.linear import fit_lbfgs, mean_auroc
from probes.scores import accuracy
from reports.records.metrics import EFFNET

PAGE = Path(__file__).parents[1] / "footguns.md"
NUMBERS, PROTOCOLS = PAGE.with_name("numbers.md"), Path(__file__).with_name("protocols.md")
BASELINE = Path(__file__).parents[2] / "benchmarks" / "baseline" / "records.csv"
START, END = "<!-- traps -->", "<!-- end of traps -->"
N, BATCH, TRAINING = 260, 32, 520  # the last batch has 4
CPU = torch.device("cpu")


class Effect(NamedTuple):
    """A number as it should be, and as the trap has it."""

    number: str
    right: float
    wrong: float


# ----------------------------------------------------------------------------------------------
# What is compared


@cache
def portraits(side: int = 64):
    return open_portraits(10_000, side)


@cache
def images(split: str = "test", count: int = N, side: int = 64) -> Tensor:
    data = portraits(side)
    return data.batch(data.ordered(split, 0)[:count])


@cache
def components() -> tuple[Tensor, Tensor]:
    """The mean of training images and 128 principal directions [D, 128]."""
    x = images("train", TRAINING).flatten(1).double()
    return x.mean(0), torch.linalg.svd(x - x.mean(0), full_matrices=False)[2][:128].T


def encode(x: Tensor) -> Tensor:
    mean, axes = components()
    return (x.flatten(1).double() - mean) @ axes


def decode(z: Tensor) -> Tensor:
    mean, axes = components()
    return (z @ axes.T + mean).view(-1, 3, 64, 64)


@cache
def made() -> Tensor:
    return decode(encode(images())).clamp(-1, 1)


@cache
def network():
    return efficientnet_lite0(load_path(EFFNET, None, False), CPU)


def rounded(x: Tensor) -> Tensor:
    return ((x.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


def features(x: Tensor) -> Tensor:
    return network()(rounded(x))


@cache
def of_images() -> Tensor:
    return features(images())


@cache
def of_training() -> Tensor:
    return features(images("train", TRAINING))


def fd(a: Tensor, b: Tensor) -> float:
    return frechet_distance(Moments.from_features(a), Moments.from_features(b))


def unit(x: Tensor) -> Tensor:
    return (x.double() + 1) / 2


@cache
def labels(split: str, count: int) -> np.ndarray:
    data = portraits()
    return data.labels(data.ordered(split, 0)[:count])


# ----------------------------------------------------------------------------------------------
# The traps


def peak() -> Effect:
    error = (images() - made()).double().square().mean((1, 2, 3))
    return Effect("PSNR", float(psnr(made(), images()).mean()), float((-10 * error.log10()).mean()))


def pooled() -> Effect:
    error = mse(made(), images())
    return Effect("PSNR", float((-10 * error.log10()).mean()), float(-10 * error.mean().log10()))


def short_batch() -> Effect:
    each = psnr(made(), images())
    order = each.argsort()  # the worst case: the last batch holds the best images
    batches = [part.mean() for part in each[order].split(BATCH)]
    return Effect("PSNR", float(each.mean()), float(torch.stack(batches).mean()))


def truncated() -> Effect:
    x, system = images(side=32)[:64], systems.load("nvae")
    decoded = system.decode(systems.Code(system.encode_semantic(x)))
    down = ((decoded + 1) * 127.5).floor() / 127.5 - 1
    return Effect("PSNR", float(psnr(decoded, x).mean()), float(psnr(down, x).mean()))


def border() -> Effect:
    return Effect("SSIM", float(ssim(made(), images()).mean()), float(ssim_valid(made(), images()).mean()))  # fmt: skip


def span() -> Effect:
    found = similarity(unit(made()), unit(images()), span=2.0)
    return Effect("SSIM", float(ssim(made(), images()).mean()), float(found.mean()))


def resize() -> Effect:
    small, aliased = (
        interpolate(images(), size=32, mode="bilinear", antialias=antialias)
        for antialias in (True, False)
    )
    return Effect("FD", 0.0, fd(features(aliased), features(small)))


def few() -> Effect:
    train = of_training()
    return Effect("FD", fd(of_images(), train), fd(of_images()[:65], train))


@cache
def of_jpeg() -> Tensor:
    def packed(x: Tensor) -> Tensor:
        file = io.BytesIO()
        Image.fromarray(rounded(x).permute(1, 2, 0).numpy()).save(file, "JPEG")
        pixels = np.asarray(Image.open(file)).transpose(2, 0, 1)
        return torch.from_numpy(pixels / 127.5 - 1)

    return features(torch.stack([*map(packed, images())]))


def jpeg() -> Effect:
    return Effect("FD", 0.0, fd(of_jpeg(), of_images()))


def reference() -> Effect:
    return Effect("FD", fd(of_jpeg(), of_images()), fd(of_jpeg(), of_training()))


def drawn_pixels() -> Effect:
    """D2C's decoder gives a distribution of each pixel."""
    x, system = images(side=32)[:64], systems.load("d2c")
    code = systems.Code(system.encode_semantic(x))
    mean, drawn = LogisticMixture(system.logits(code)).mean(), system.decode(code)
    return Effect("PSNR", float(psnr(mean, x).mean()), float(psnr(drawn, x).mean()))


def inverted() -> Effect:
    rows = pd.read_csv(BASELINE)
    of = rows[(rows["table"] == "table2_ablation") & (rows["metric"] == "ssim") & (rows["system"] == "DiffAE")]  # fmt: skip
    at = of[of["steps"] == of["steps"].max()].set_index("setting")["value"]
    return Effect("SSIM", float(at["x_T random"]), float(at["x_T inverted"]))


def choice() -> Effect:
    """The best of 20 codes that differ by chance, chosen on the images that it is judged on, and on others."""
    z, y = encode(images("train", TRAINING)), torch.from_numpy(labels("train", TRAINING))
    x, truth = encode(images()), torch.from_numpy(labels("test", N))
    half = torch.arange(N) % 2 == 0
    found = []
    for seed in range(20):
        some = torch.randperm(128, generator=torch.Generator().manual_seed(seed))[:8]
        probe = fit_lbfgs(z[:, some].float(), y)
        found.append([mean_auroc(probe, x[part][:, some].float(), truth[part]) for part in (half, ~half)])  # fmt: skip
    chosen, other = np.array(found).T
    return Effect("AUROC", float(other[chosen.argmax()]), float(chosen.max()))


def threshold() -> Effect:
    """A classifier that says the commoner class of every image."""
    y = labels("test", N)
    always = np.where(labels("train", TRAINING).mean(0) > 0.5, 1.0, -1.0)
    every = [accuracy(np.full(N, logit), y[:, a]) for a, logit in enumerate(always)]
    return Effect("AUROC, accuracy", 0.5, float(np.mean(every)))


def persons() -> Effect:
    """Standard error of the mean SSIM, all pictures of each person together."""
    data = portraits()
    order = data.indices("test")
    who = data.identities[order]
    rows = order[np.isin(who, np.unique(who)[:130])]
    x = data.batch(rows)
    each = ssim(decode(encode(x)).clamp(-1, 1), x).numpy()
    names, of = np.unique(data.identities[rows], return_inverse=True)
    centred = each - each.mean()
    sums = np.bincount(of, centred)
    right = np.sqrt(len(names) / (len(names) - 1) * np.square(sums).sum()) / len(each)
    return Effect("standard error of SSIM", float(right), float(each.std(ddof=1) / len(each) ** 0.5))  # fmt: skip


def same_people() -> Effect:
    """k-NN by person: the share of images whose nearest neighbour has the same attribute, with and without
    other pictures of the person.
    """
    data = portraits()
    rows = data.indices("test")[:1_500]
    z, y, who = encode(data.batch(rows)), data.labels(rows), data.identities[rows]
    distances = torch.cdist(z, z).fill_diagonal_(torch.inf)
    wrong = (y[distances.argmin(1)] == y).mean()
    others = distances.masked_fill(torch.from_numpy(who[:, None] == who), torch.inf)
    return Effect("accuracy", float((y[others.argmin(1)] == y).mean()), float(wrong))


def seeds() -> Effect:
    """The smallest of five distances of 52 images to others, and their mean."""
    found = [fd(part, of_training()) for part in of_images().split(52)]
    return Effect("FD", float(np.mean(found)), min(found))


def small_steps() -> Effect:
    """Path lengths by squared errors of pixels, of images as they are decoded and of 8 bits."""
    a, b = encode(images()[:64]), encode(images()[64:128])
    t = torch.rand(64, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def distance(x: Tensor, y: Tensor) -> Tensor:
        return (x - y).square().mean((1, 2, 3))

    def in_8_bits(z: Tensor) -> Tensor:
        return rounded(decode(z)) / 127.5 - 1

    found = (path_length(how, a, b, distance, t, 1e-4) for how in (decode, in_8_bits))
    return Effect("path length", *(float(lengths.mean()) for lengths in found))


def trunk() -> Effect:
    """Of 16 portraits of 256 px as JPEG files, with the published weights, as protocols.md has it."""
    text = PROTOCOLS.read_text().partition("### LPIPS")[2]
    alex, vgg = re.findall(r"^\|[^|]*\| (0\.\d+) ± ", text, re.M)[:2]
    return Effect("LPIPS", float(alex), float(vgg))


def tf32() -> Effect:
    """In emulated TF32, as docs/numbers.md has it."""
    found = re.search(r"a path length of ([\d.]+) became\s+([\d,]+)", NUMBERS.read_text())
    assert found, NUMBERS
    return Effect("path length", float(found[1]), float(found[2].replace(",", "")))


EXPLAIN = "`measure --explain` names it"
TRAPS: tuple[tuple[str, Callable[[], Effect], str], ...] = (
    ("pixels in [-1, 1], with the peak of [0, 1]", peak, "a system that leaves its stated range is refused"),
    ("PSNR of the mean error of all images", pooled, EXPLAIN),
    ("mean of batch means, the last batch short", short_batch, EXPLAIN),
    ("rounded down to 8 bits", truncated, EXPLAIN),
    ("windows inside the image instead of zero padding", border, "two names, `ssim` and `ssim_valid`"),
    ("SSIM of range 2 on pixels in [0, 1]", span, EXPLAIN),
    ("VGG16 instead of AlexNet in LPIPS", trunk, "two names, `lpips` and `lpips_vgg`"),
    ("resized without antialiasing before the network", resize, "`reports.compare` refuses: `feature_resize` differs"),
    ("images kept as JPEG", jpeg, "nothing: keep PNG"),
    ("a quarter of the images", few, "numbers of different n are not compared"),
    ("training images as the reference of reconstructions", reference, "rFID takes the originals"),
    ("one draw of the pixels instead of their mean", drawn_pixels, "`pixels` is in every protocol"),
    ("x_T found by inversion, taken for what z holds", inverted, "two rows, `x_T inverted` and `x_T random`"),
    ("the best of 20 codes, chosen on the images that judge it", choice, "nothing: choose on the split `valid`"),
    ("the more common class for every image", threshold, "AUROC is the headline; the row `random encoder`"),
    ("pictures of one person, counted as independent", persons, "the unit of every error is the person"),
    ("neighbours among pictures of the same person", same_people, "`knn` leaves them out"),
    ("the best of five seeds", seeds, "several seeds are shown as a mean with its spread"),
    ("path lengths of images of 8 bits", small_steps, "path lengths take decoded floats"),
    ("TF32 in path lengths", tf32, "`precision` is in every protocol"),
)  # fmt: skip


def table() -> str:
    rows = []
    for number, (title, trap, caught) in enumerate(TRAPS, 1):
        name, right, wrong = trap()
        rows.append([number, title, name, f"{right:.4g}", f"{wrong:.4g}", caught])
        print(*rows[-1], file=sys.stderr, flush=True)
    return tabulated(
        rows, ["", "trap", "number", "as it should be", "in the trap", "what catches it"]
    )


if __name__ == "__main__":
    found = table()
    print(found)
    if "--write" in sys.argv:
        before, _, rest = PAGE.read_text().partition(START)
        PAGE.write_text(f"{before}{START}\n\n{found}\n\n{END}{rest.partition(END)[2]}")
