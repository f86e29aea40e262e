"""Metrics: one file each, and one table of what their names mean.

`METRICS` says for every metric which way is better, in which unit it is given and who defined it. A
metric is named after the network that it was computed with: without the published Inception weights
nothing here is called FID.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from diffae.errors import UserError
from reports.records import HIGHER, LOWER, NEITHER


@dataclass(frozen=True)
class MetricInfo:
    """What a number of this metric means; `direction` says which way is better."""

    direction: str
    unit: str
    title: str
    reference: str


def register(owner: str, infos: Mapping[str, MetricInfo]) -> None:
    """Make the metrics of a plug-in known. Raises UserError if one is known already and means something else."""
    for name, info in infos.items():
        if not isinstance(info, MetricInfo) or info.direction not in (HIGHER, LOWER, NEITHER):
            raise UserError(f"{owner}: metric {name!r} needs a MetricInfo with a direction")
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,99}", name):
            raise UserError(f"{owner}: {name!r} cannot be a metric's name")
        if METRICS.get(name, info) != info:
            raise UserError(f"{owner}: there is a metric {name!r} already; choose another name")
    METRICS.update(infos)


METRICS = {
    "latent_dim": MetricInfo(NEITHER, "", "Numbers in the code", "Preechakul et al. 2022, Table 1"),
    "ssim": MetricInfo(
        HIGHER,
        "",
        "SSIM (zero padding, as in the paper)",
        "Wang et al. 2004; Preechakul et al. 2022",
    ),
    "ssim_valid": MetricInfo(
        HIGHER, "", "SSIM (windows inside the image)", "Wang et al. 2004; piq"
    ),
    "mse": MetricInfo(LOWER, "", "Mean squared error in [0, 1]", "Preechakul et al. 2022"),
    "psnr": MetricInfo(HIGHER, "dB", "Peak signal-to-noise ratio", "10 log10(1 / MSE)"),
    "lpips": MetricInfo(LOWER, "", "LPIPS (AlexNet, v0.1)", "Zhang et al. 2018"),
    "pd_effnet": MetricInfo(
        LOWER,
        "",
        "Perceptual distance (EfficientNet-lite0)",
        "Zhang et al. 2018, eq. 1, equal weights",
    ),
    "fid": MetricInfo(LOWER, "", "Frechet Inception distance", "Heusel et al. 2017; pytorch-fid"),
    "fd_effnet": MetricInfo(
        LOWER, "", "Frechet distance (EfficientNet-lite0)", "Heusel et al. 2017, eq. 6"
    ),
    "fid_seed_std": MetricInfo(
        NEITHER,
        "",
        "Standard deviation of the FID over seeds",
        "Preechakul et al. 2022, Table 3: seeds draw the labelled images",
    ),
    "fd_effnet_seed_std": MetricInfo(
        NEITHER, "", "Standard deviation of fd_effnet over seeds", "as fid_seed_std"
    ),
    "ppl": MetricInfo(
        LOWER, "", "Perceptual path length (LPIPS, VGG16)", "Karras et al. 2019, eq. 2"
    ),
    "ppl_alex": MetricInfo(
        LOWER, "", "Perceptual path length (LPIPS, AlexNet)", "Karras et al. 2019, eq. 2"
    ),
    "ppl_effnet": MetricInfo(
        LOWER, "", "Perceptual path length (EfficientNet-lite0)", "Karras et al. 2019, eq. 2"
    ),
    "auroc": MetricInfo(HIGHER, "", "Area under the ROC curve", "Hanley and McNeil 1982"),
    "ap": MetricInfo(HIGHER, "", "Average precision", "scikit-learn average_precision_score"),
    "accuracy": MetricInfo(HIGHER, "", "Accuracy", "share of labels predicted right"),
    "arcface": MetricInfo(HIGHER, "", "Identity similarity (ArcFace)", "Deng et al. 2019"),
    "id_portraits": MetricInfo(
        HIGHER, "", "Identity similarity (portrait embedding)", "Deng et al. 2019, own network"
    ),
    "logit_change": MetricInfo(
        NEITHER, "", "Change of the probe's logit, towards the edit", "paper, Appendix G"
    ),
    "acceptance_rate": MetricInfo(
        NEITHER, "", "Samples accepted by the classifier", "Preechakul et al. 2022, Table 3"
    ),
    "diversity_lpips": MetricInfo(
        NEITHER, "", "Mean LPIPS between two draws", "Zhu et al. 2017 (BicycleGAN), Section 5"
    ),
    "diversity_effnet": MetricInfo(
        NEITHER,
        "",
        "Mean perceptual distance between two draws (EfficientNet-lite0)",
        "Zhu et al. 2017 (BicycleGAN), Section 5, another network",
    ),
    "pixel_std": MetricInfo(
        NEITHER, "", "Standard deviation of a pixel in [0, 1]", "Preechakul et al. 2022, Fig. 3"
    ),
    "nn_inception": MetricInfo(
        NEITHER, "", "Distance to the nearest training image (Inception-v3)", "Euclidean"
    ),
    "nn_effnet": MetricInfo(
        NEITHER, "", "Distance to the nearest training image (EfficientNet-lite0)", "Euclidean"
    ),
    "nn_pixels": MetricInfo(
        NEITHER, "", "Distance to the nearest training image (pixels)", "root mean square, 32 px"
    ),
    "nn_ratio_inception": MetricInfo(
        NEITHER, "", "nn_inception over that of held-out images", "below 1: nearer than new images"
    ),
    "nn_ratio_effnet": MetricInfo(
        NEITHER, "", "nn_effnet over that of held-out images", "below 1: nearer than new images"
    ),
    "nn_ratio_pixels": MetricInfo(
        NEITHER, "", "nn_pixels over that of held-out images", "below 1: nearer than new images"
    ),
    "parameters": MetricInfo(NEITHER, "", "Parameters", "buffers not counted"),
    "gflops": MetricInfo(
        NEITHER,
        "GFLOP",
        "Operations for an image and one step",
        "torch.utils.flop_counter, 2 per multiply-add",
    ),
    "network_calls": MetricInfo(NEITHER, "", "Network calls", "counted while it runs"),
    "images_per_second": MetricInfo(
        HIGHER, "images/s", "Images per second", "median of timed repetitions after a warm-up"
    ),
    "peak_memory": MetricInfo(
        NEITHER, "MiB", "Peak memory", "the device's allocations, or the process' resident set"
    ),
}
