"""Are the numbers of a run those of other libraries? They compute them anew, from its images and codes.

    python -m benchmarks.run reconstruction probes ... --stand-ins --save-images --save-codes CODES --out RUN
    python docs/results/photographs/check.py RUN [CODES] [--out NAME.csv]

It needs scikit-image, torchmetrics, lpips, torch-fidelity, timm and scikit-learn. The last two
columns are differences from records.csv, and from our functions on the same files: a run does not round
what a model decodes, and a file has 8 bits. LPIPS is that of the run: with AlexNet, or with its stand-in
by the formula of lpips. The kernel distance has the stand-in's features, by the formula of torch-fidelity.
"""

import argparse
import csv
import json
import math
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
from torch.nn.functional import pad

sys.path.insert(0, str(Path(__file__).parents[1]))
from measure import table

from benchmarks.metrics.networks.features import effnet_lite0
from benchmarks.metrics.networks.perceptual import effnet_distance
from benchmarks.metrics.pixel import psnr
from benchmarks.metrics.ssim import RADIUS, REFLECT, similarity, ssim, ssim_valid
from benchmarks.weights import load_path
from probes.linear import GRID
from reports.records.record import Record
from reports.records.run_folder import read_run

HEADS = ("system", "metric", "by", "n", "theirs", "less that of the run", "less ours of the files")
EFFNET, SIDE, AT_ONCE = "efficientnet-lite0", 128, 32
Images = torch.Tensor  # uint8 N x 3 x H x W


@dataclass(frozen=True)
class Check:
    """How others compute a metric of the originals and the decoded images; `ours` from the same files."""

    metric: str
    package: str
    theirs: Callable[[Images, Images], float]
    ours: Callable[[Images, Images], float] | None = None


# ----------------------------------------------------------------------------------------------
# Pairs of images


def in_parts(images: Images, decoded: Images) -> Iterator[tuple[Images, Images]]:
    return zip(images.split(AT_ONCE), decoded.split(AT_ONCE), strict=True)


def mean_of(
    score: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], low: float = -1
) -> Callable:
    """The mean of a score of batches of images in [low, 1], over pairs of images."""

    def mean(images: Images, decoded: Images) -> float:
        scaled = (
            [part.float() / 255 * (1 - low) + low for part in pair]
            for pair in in_parts(images, decoded)
        )
        return float(torch.cat([score(*pair).flatten() for pair in scaled]).double().mean())

    return mean


def psnr_of_scikit_image(images: Images, decoded: Images) -> float:
    from skimage.metrics import peak_signal_noise_ratio

    pairs = zip(images.numpy(), decoded.numpy(), strict=True)
    return float(np.mean([peak_signal_noise_ratio(*pair, data_range=255) for pair in pairs]))


def ssim_of_scikit_image(images: Images, decoded: Images, border: int = 0) -> float:
    """SSIM by the window of its paper, whose windows lie inside images with a border of zeros."""
    from skimage.metrics import structural_similarity

    window = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    settings = {"channel_axis": 0, "data_range": 1, **window}
    scores = []
    for pair in zip(images, decoded, strict=True):
        bordered = [pad(image.double() / 255, [border] * 4).numpy() for image in pair]
        scores.append(structural_similarity(*bordered, **settings))
    return float(np.mean(scores))


def psnr_of_torchmetrics(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    from torchmetrics.functional.image import peak_signal_noise_ratio

    return peak_signal_noise_ratio(b, a, data_range=1.0, reduction="none", dim=(1, 2, 3))


def ssim_of_torchmetrics(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    from torchmetrics.functional.image import structural_similarity_index_measure

    return structural_similarity_index_measure(
        b.double(), a.double(), data_range=1.0, reduction="none"
    )


@cache
def effnet() -> torch.nn.Module:
    return effnet_lite0(load_path(EFFNET, None, False)).eval().requires_grad_(False)


def resized(images: torch.Tensor) -> torch.Tensor:
    from torchvision.transforms.v2.functional import resize

    return resize(images, [SIDE, SIDE], antialias=True)


def distance_of_lpips(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """The distance of lpips with equal weights of channels and stages."""
    import lpips

    stages = [effnet().forward_intermediates(resized(x), intermediates_only=True) for x in (a, b)]
    normal = [[lpips.normalize_tensor(stage) for stage in of_side] for of_side in stages]
    differences = [(x - y).square().sum(1, keepdim=True) for x, y in zip(*normal, strict=True)]
    return torch.stack([lpips.spatial_average(each).flatten() for each in differences]).mean(0)


@cache
def alexnet() -> torch.nn.Module:
    """LPIPS of the package lpips, whose trunk is that of the run."""
    import lpips

    network = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
    trunk = load_file(load_path("alexnet", None, False))
    names = {name: re.sub(r"slice\d", "features", name) for name in network.net.state_dict()}
    network.net.load_state_dict({name: trunk[theirs] for name, theirs in names.items()})
    return network.eval().requires_grad_(False)


def distance_of_ours(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return effnet_distance(load_path(EFFNET, None, False), torch.device("cpu"))(a, b)


# ----------------------------------------------------------------------------------------------
# Sets of images


def kernel_distance(images: Images, decoded: Images) -> float:
    """The u-statistic of torch-fidelity's KID: of pairs, an image never meets its reconstruction."""
    from torch_fidelity.metric_kid import mmd2

    def features(side: Images) -> np.ndarray:
        parts = (resized(part.float() / 255) * 2 - 1 for part in side.split(AT_ONCE))
        maps = [effnet().forward_head(effnet().forward_features(x), pre_logits=True) for x in parts]
        return torch.cat(maps).double().numpy()

    x, y = features(decoded), features(images)
    kernels = [(a @ b.T / a.shape[1] + 1) ** 3 for a, b in ((x, x), (x, y), (y, y))]
    return float(mmd2(*kernels, mmd_est="u-statistic"))


OF_IMAGES = (
    Check("psnr", "scikit-image", psnr_of_scikit_image, mean_of(psnr)),
    Check("psnr", "torchmetrics", mean_of(psnr_of_torchmetrics, low=0), mean_of(psnr)),
    Check("ssim_valid", "scikit-image", ssim_of_scikit_image, mean_of(ssim_valid)),
    Check("ssim", "scikit-image", partial(ssim_of_scikit_image, border=RADIUS), mean_of(ssim)),
    Check(
        "ssim, reflected",  # that of torchmetrics 1.8; in no column of a run, but one of its protocols
        "torchmetrics",
        mean_of(ssim_of_torchmetrics, low=0),
        mean_of(partial(similarity, padding=REFLECT), low=0),
    ),
    Check("pd_effnet", "lpips", mean_of(distance_of_lpips), mean_of(distance_of_ours)),
    Check("lpips", "lpips", mean_of(lambda a, b: alexnet()(a, b))),
    Check("rkd_effnet", "torch-fidelity", kernel_distance),
)


# ----------------------------------------------------------------------------------------------
# Codes


@dataclass(frozen=True)
class Split:
    """Codes and labels [n, attributes] of a split."""

    codes: np.ndarray
    labels: np.ndarray


def splits_of(path: Path) -> list[Split]:
    """Training, validation and test codes, each divided by the deviation of the training codes."""
    with np.load(path) as file:
        codes, split, values = file["codes"].astype(np.float64), file["split"], file["labels"]
        kinds = file["kinds"]
    codes = codes.reshape(len(codes), -1)
    mean, deviation = codes[split == 0].mean(0), codes[split == 0].std(0, ddof=1)
    codes = (codes - mean) / np.where(deviation > 0, deviation, 1)
    columns = [
        column[:, None] == (np.unique(column) if kind == "classes" else [1])
        for column, kind in zip(values.T, kinds, strict=True)
    ]
    labels = np.concatenate(columns, axis=1)
    return [Split(codes[split == s], labels[split == s]) for s in range(3)]


def logits_of_one(train: Split, codes: np.ndarray, attribute: int, C: float) -> np.ndarray:
    from sklearn.linear_model import LogisticRegression

    labels = train.labels[:, attribute]
    if len(np.unique(labels)) == 1:
        return np.zeros(len(codes))
    fit = LogisticRegression(C=C, tol=1e-8, max_iter=10_000).fit(train.codes, labels)
    return fit.decision_function(codes)


def mean_auroc(train: Split, scored: Split, C: float) -> float:
    """The mean over the attributes that have both classes among the scored images."""
    from sklearn.metrics import roc_auc_score

    scores = []
    for attribute, truth in enumerate(scored.labels.T):
        if len(np.unique(truth)) == 2:
            scores.append(roc_auc_score(truth, logits_of_one(train, scored.codes, attribute, C)))
    return float(np.mean(scores)) if scores else math.nan


def top1(train: Split, scored: Split, C: float) -> float:
    """The accuracy of one classifier of all classes."""
    from sklearn.linear_model import LogisticRegression

    classes = train.labels.argmax(1)
    fit = LogisticRegression(C=C, tol=1e-8, max_iter=10_000).fit(train.codes, classes)
    return float(fit.score(scored.codes, scored.labels.argmax(1)))


def by_scikit_learn(path: Path, score: Callable[[Split, Split, float], float]) -> float:
    """The score of test codes, with the first C of the best score of validation codes."""
    train, valid, test = splits_of(path)
    best = max(GRID, key=lambda C: score(train, valid, C))
    return score(train, test, best)


OF_CODES = {"auroc": mean_auroc, "top1": top1}


# ----------------------------------------------------------------------------------------------
# A run


def read_images(folder: Path, names: list[str]) -> Images:
    arrays = [np.asarray(Image.open(folder / name)) for name in names]
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).contiguous()


def row(system: str, metric: str, package: str, n: int, theirs: float) -> list[str]:
    """The first cells of a line."""
    return [system, metric, package, f"{n:,}", f"{theirs:.6f}"]


def difference(theirs: float, ours: float | None) -> str:
    return "" if ours is None else f"{theirs - ours:.1e}"


def rows_of_images(folder: Path, title: str, records: list[Record]) -> Iterator[list[str]]:
    names = sorted(path.name for path in (folder.parent / "inputs").glob("*.png"))
    images, decoded = read_images(folder.parent / "inputs", names), read_images(folder, names)
    values = {record.metric: record.value for record in records if record.n == len(names)}
    for check in OF_IMAGES:
        if check.package == "lpips" and check.metric not in values:  # LPIPS, or its stand-in
            continue
        theirs = check.theirs(images, decoded)
        ours = check.ours(images, decoded) if check.ours else None
        cells = row(title, check.metric, check.package, len(names), theirs)
        yield [*cells, difference(theirs, values.get(check.metric)), difference(theirs, ours)]


def rows_of_codes(path: Path, records: list[Record]) -> Iterator[list[str]]:
    for record in records:
        score = OF_CODES.get(record.metric)
        if score and record.setting in ("", "mean"):
            theirs = by_scikit_learn(path, score)
            cells = row(record.system, record.metric, "scikit-learn", record.n, theirs)
            yield [*cells, difference(theirs, record.value), ""]


def rows_of(run: Path, codes: Path | None) -> Iterator[list[str]]:
    """A line for each number that the images and the codes of a run determine."""
    titles = json.loads((run / "run.json").read_text())["titles"]
    records = [record for record in read_run(run).rows if record.value is not None]
    for name, title in titles.items():
        own = [record for record in records if record.system == title]
        images, saved = run / "images" / name, codes and codes / f"{name}.npz"
        if images.is_dir():
            first = [r for r in own if r.table == "table1_reconstruction" and not r.setting]
            yield from rows_of_images(images, title, first)
        if saved and saved.is_file():
            yield from rows_of_codes(saved, [r for r in own if r.table == "section5.3_probe"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path, help="a run folder with images/")
    parser.add_argument("codes", type=Path, nargs="?", help="the folder of --save-codes")
    parser.add_argument("--out", type=Path, help="also write the table to this CSV file")
    given = parser.parse_args()
    warnings.simplefilter("ignore", UserWarning)
    lines = list(rows_of(given.run, given.codes))
    if not lines:
        sys.exit(f"{given.run}: has no images; run the benchmark again with --save-images")
    print(table(lines, HEADS))
    if given.out:
        with given.out.open("w", newline="") as file:
            csv.writer(file).writerows([HEADS, *lines])


if __name__ == "__main__":
    main()
