"""The table of metrics, shared by measuring, printing and the gate.

    METRICS["fid"]                              direction, unit, digits, margin, network, ...
    seen_through("fid", "efficientnet-lite0")   the name of its stand-in that uses another network

A metric is named after the network that it was computed with: without the published Inception
weights nothing here is called FID. Plug-in benchmarks add rows (`benchmarks.metrics.register`),
which a run folder keeps in its run.json.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from reports.records.metric import Margin, Metric
from reports.records.record import HIGHER, LOWER, NEITHER

Metrics = Mapping[str, Metric]

EFFNET, DLIB = "efficientnet-lite0", "dlib_face"
LAST_DIGIT = "half a unit of the last digit that the paper prints"


def _of_overlap(name: str, rule: str, source: str, most: float | None = 1.0) -> Metric:
    """How two sets overlap in the features of Inception."""
    return Metric(
        HIGHER, "", f"{name} (Inception-v3; {rule})", source, digits=4,
        margin=Margin(0.0005, "half a unit of the third digit"), network="inception",
        depends_on_n=True, least=0.0, most=most,
    )  # fmt: skip


def _through_effnet(metric: Metric, stands_in_for: str) -> Metric:
    """The same in the features of EfficientNet-lite0."""
    title = metric.title.replace("Inception-v3", "EfficientNet-lite0")
    source = f"{metric.reference}, with a different network"
    return replace(
        metric, title=title, reference=source, network=EFFNET, stands_in_for=stands_in_for
    )


PRECISION = _of_overlap("Precision", "k = 3, <=", "Kynkaanniemi et al. 2019")
RECALL = _of_overlap("Recall", "k = 3, <=", "Kynkaanniemi et al. 2019")
DENSITY = _of_overlap("Density", "k = 5, <", "Naeem et al. 2020", most=None)
COVERAGE = _of_overlap("Coverage", "k = 5, <", "Naeem et al. 2020")

# fmt: off
METRICS: dict[str, Metric] = {
    "latent_dim": Metric(NEITHER, "", "Numbers in the code", "Preechakul et al. 2022, Table 1",
        label="latent size", digits=0, least=0.0, is_exact=True),
    "code_bits": Metric(NEITHER, "bit", "Bits in a quantised code", "log2 of the codebook for each token",
        label="code", digits=0, least=0.0, is_exact=True),
    "bits_per_pixel": Metric(NEITHER, "bit", "Bits of a quantised code for each pixel", "code_bits / S^2",
        label="bits per pixel", digits=4, least=0.0, is_exact=True),
    "compression": Metric(NEITHER, "", "Values of the image for each number of the code", "3 S^2 / latent_dim",
        label="pixel values per number of the code", digits=2, least=0.0, is_exact=True),
    "codebook_use": Metric(NEITHER, "", "Share of the codebook that is used",
        "codes that occur among those of the test images", label="codebook used", digits=4, depends_on_n=True, least=0.0,
        most=1.0),
    "perplexity": Metric(NEITHER, "", "Perplexity of the codes",
        "van den Oord et al. 2017: exp of the entropy of their shares", label="perplexity", digits=1, depends_on_n=True,
        least=0.0),
    "ssim": Metric(HIGHER, "", "SSIM (zero padding, as in the paper)", "Wang et al. 2004; Preechakul et al. 2022",
        label="SSIM", digits=4, paper_digits=3, margin=Margin(0.0005, LAST_DIGIT), least=-1.0, most=1.0),
    "ssim_valid": Metric(HIGHER, "", "SSIM (windows inside the image)", "Wang et al. 2004; piq",
        label="SSIM (valid)", digits=4, paper_digits=3, margin=Margin(0.0005, "as ssim"), least=-1.0,
        most=1.0),
    "ms_ssim": Metric(HIGHER, "", "MS-SSIM (5 scales, windows inside the image)", "Wang et al. 2003; piq",
        label="MS-SSIM", digits=4, margin=Margin(0.0005, "as ssim"), least=-1.0, most=1.0),
    "mse": Metric(LOWER, "", "Mean squared error in [0, 1]", "Preechakul et al. 2022",
        label="MSE", digits=4, paper_digits=3,
        margin=Margin(0.002, "half a unit of the third digit: the paper prints up to three", is_share=True),
        least=0.0),
    "psnr": Metric(HIGHER, "dB", "Peak signal-to-noise ratio", "10 log10(1 / MSE)",
        label="PSNR", digits=2, margin=Margin(0.01, "0.2 % of the MSE in dB")),
    "lpips": Metric(LOWER, "", "LPIPS (AlexNet, v0.1)", "Zhang et al. 2018",
        label="LPIPS", digits=4, paper_digits=3, margin=Margin(0.0005, LAST_DIGIT), network="alexnet",
        least=0.0),
    "pd_effnet": Metric(LOWER, "", "Perceptual distance (EfficientNet-lite0)", "Zhang et al. 2018, eq. 1, equal weights",
        digits=4, paper_digits=3, margin=Margin(0.005, "0.0005 of an LPIPS of 0.1", is_share=True), network=EFFNET,
        stands_in_for="lpips", least=0.0),
    "lpips_vgg": Metric(LOWER, "", "LPIPS (VGG16, v0.1)", "Zhang et al. 2018",
        label="LPIPS (VGG16)", digits=4, paper_digits=3, margin=Margin(0.0005, "as lpips"), network="vgg16",
        least=0.0),
    "worse_with_more": Metric(LOWER, "", "Share of images that are worse from more of their code",
        "larger MSE at the next length", label="worse with more", digits=4, margin=Margin(0.0005, "half a unit of the third digit"),
        least=0.0, most=1.0),
    "fid": Metric(LOWER, "", "Frechet Inception distance", "Heusel et al. 2017; pytorch-fid",
        label="FID", digits=2, margin=Margin(0.005, LAST_DIGIT), network="inception", depends_on_n=True,
        least=0.0),
    "fd_effnet": Metric(LOWER, "", "Frechet distance (EfficientNet-lite0)", "Heusel et al. 2017, eq. 6",
        digits=2, margin=Margin(0.0005, "0.005 of a FID of 10", is_share=True), network=EFFNET, stands_in_for="fid",
        depends_on_n=True, least=0.0),
    "kid": Metric(LOWER, "", "Kernel Inception distance, not times 1,000", "Binkowski et al. 2018",
        label="KID", digits=5,
        margin=Margin(0.000005, "half a unit of the last digit where papers print 1,000 times as much with two"),
        network="inception", unbiased=True),
    "kd_effnet": Metric(LOWER, "", "Kernel distance (EfficientNet-lite0), not times 1,000",
        "Binkowski et al. 2018, with a different network", digits=4,
        margin=Margin(0.0005, "0.000005 of a KID of 0.01", is_share=True), network=EFFNET, stands_in_for="kid",
        unbiased=True),
    "cmmd": Metric(LOWER, "", "CMMD (CLIP ViT-L/14 at 336 px), biased as published", "Jayasumana et al. 2024; cmmd-pytorch",
        label="CMMD (biased)", digits=3, margin=Margin(0.0005, "half a unit of the third digit, which papers print"),
        network="clip_vitl14_336", depends_on_n=True, least=0.0),
    "precision": PRECISION,
    "precision_effnet": _through_effnet(PRECISION, "precision"),
    "recall": RECALL,
    "recall_effnet": _through_effnet(RECALL, "recall"),
    "density": DENSITY,
    "density_effnet": _through_effnet(DENSITY, "density"),
    "coverage": COVERAGE,
    "coverage_effnet": _through_effnet(COVERAGE, "coverage"),
    "spectrum_kl": Metric(LOWER, "", "KL divergence of the spectrum of a map of codes from its image's",
        "Ning et al. 2026, arXiv 2603.14645", label="spectrum KL", digits=4,
        margin=Margin(0.0005, "half a unit of the third digit"), least=0.0),
    "fid_seed_std": Metric(NEITHER, "", "Standard deviation of the FID over seeds",
        "Preechakul et al. 2022, Table 3: seeds draw the labelled images", label="sd of FID over seeds", digits=2,
        network="inception", least=0.0),
    "fd_effnet_seed_std": Metric(NEITHER, "", "Standard deviation of fd_effnet over seeds", "as fid_seed_std",
        label="sd of fd_effnet over seeds", digits=2, network=EFFNET, stands_in_for="fid_seed_std", least=0.0),
    "ppl": Metric(LOWER, "", "Perceptual path length (LPIPS, VGG16)", "Karras et al. 2019, eq. 2",
        label="PPL", digits=2,
        margin=Margin(0.01, "ten times the rounding differences of kernels, at a step of 1e-4", is_share=True),
        network="vgg16", least=0.0),
    "ppl_alex": Metric(LOWER, "", "Perceptual path length (LPIPS, AlexNet)", "Karras et al. 2019, eq. 2",
        digits=2, margin=Margin(0.01, "as ppl", is_share=True), network="alexnet", stands_in_for="ppl", least=0.0),
    "ppl_effnet": Metric(LOWER, "", "Perceptual path length (EfficientNet-lite0)", "Karras et al. 2019, eq. 2",
        digits=2, margin=Margin(0.01, "as ppl", is_share=True), network=EFFNET, stands_in_for="ppl", least=0.0),
    "auroc": Metric(HIGHER, "", "Area under the ROC curve", "Hanley and McNeil 1982",
        label="AUROC", digits=4, paper_digits=3, margin=Margin(0.0005, LAST_DIGIT), least=0.0, most=1.0),
    "ap": Metric(HIGHER, "", "Average precision", "scikit-learn average_precision_score",
        label="AP", digits=4, paper_digits=3, margin=Margin(0.0005, "as auroc"), least=0.0, most=1.0),
    "accuracy": Metric(HIGHER, "", "Accuracy", "share of labels predicted right",
        digits=4, paper_digits=3, margin=Margin(0.0005, "as auroc"), least=0.0, most=1.0),
    "top1": Metric(HIGHER, "", "Top-1 accuracy",
        "share of images whose class is ranked first by one linear classifier of all", label="top-1", digits=4,
        paper_digits=3, margin=Margin(0.0005, "as auroc"), least=0.0, most=1.0),
    "top5": Metric(HIGHER, "", "Top-5 accuracy", "as top1: among the first five",
        label="top-5", digits=4, paper_digits=3, margin=Margin(0.0005, "as auroc"), least=0.0, most=1.0),
    "arcface": Metric(HIGHER, "", "Identity similarity (ArcFace)", "Deng et al. 2019",
        label="ArcFace", digits=4, margin=Margin(0.0005, "half a unit of the third digit"), network="arcface",
        least=-1.0, most=1.0),
    "id_portraits": Metric(HIGHER, "", "Identity similarity (portrait embedding)", "Deng et al. 2019, own network",
        digits=4, margin=Margin(0.0001, "cosines of this embedding lie close to 1"), network="portraits",
        stands_in_for="arcface", only_on="portraits", least=-1.0, most=1.0),
    "id_dlib": Metric(LOWER, "", "Identity distance (dlib; one person is usually below 0.6)", "King 2017 (dlib), Euclidean",
        digits=4, margin=Margin(0.0005, "as arcface"), network=DLIB, stands_in_for="arcface", least=0.0),
    "logit_change": Metric(NEITHER, "", "Change of the probe's logit, towards the edit", "paper, Appendix G",
        label="logit change", digits=3),
    "acceptance_rate": Metric(NEITHER, "", "Samples accepted by the classifier", "Preechakul et al. 2022, Table 3",
        label="acceptance rate", digits=4, least=0.0, most=1.0),
    "diversity_lpips": Metric(NEITHER, "", "Mean LPIPS between two draws", "Zhu et al. 2017 (BicycleGAN), Section 5",
        label="LPIPS between draws", digits=4, network="alexnet", least=0.0),
    "diversity_effnet": Metric(NEITHER, "", "Mean perceptual distance between two draws (EfficientNet-lite0)",
        "Zhu et al. 2017 (BicycleGAN), Section 5, with a different network", label="pd_effnet between draws", digits=4,
        network=EFFNET, stands_in_for="diversity_lpips", least=0.0),
    "pixel_std": Metric(NEITHER, "", "Standard deviation of a pixel in [0, 1]", "Preechakul et al. 2022, Fig. 3",
        label="standard deviation of a pixel", digits=4, least=0.0),
    "seed_variance": Metric(NEITHER, "", "Variance of a pixel in [0, 1] over x_T", "unbiased, mean over pixels",
        label="variance over x_T", digits=5, least=0.0),
    "seed_bias": Metric(LOWER, "", "Squared error in [0, 1] of the mean over all x_T",
        "that of the mean of K, less its variance over K; below 0 by chance", label="error of the mean over x_T", digits=5,
        margin=Margin(0.002, "as mse", is_share=True)),
    "calibration": Metric(NEITHER, "", "Variance over x_T by the squared error of their mean",
        "0: no spread, 1: samples of the posterior, above 1: too diverse", digits=3, least=0.0, neutral=1.0),
    "psnr_of_mean": Metric(HIGHER, "dB", "PSNR of the mean of several x_T", "10 log10(1 / MSE)",
        label="PSNR of the mean", digits=2, margin=Margin(0.01, "as psnr")),
    "nn_inception": Metric(NEITHER, "", "Distance to the nearest training image (Inception-v3)", "Euclidean",
        label="Inception distance", digits=3, network="inception", least=0.0),
    "nn_effnet": Metric(NEITHER, "", "Distance to the nearest training image (EfficientNet-lite0)", "Euclidean",
        label="EfficientNet distance", digits=3, network=EFFNET, stands_in_for="nn_inception", least=0.0),
    "nn_pixels": Metric(NEITHER, "", "Distance to the nearest training image (pixels)", "root mean square, 32 px",
        label="pixel distance", digits=4, least=0.0),
    "nn_ratio_inception": Metric(NEITHER, "", "nn_inception over that of held-out images", "below 1: nearer than new images",
        label="Inception ratio", digits=3, network="inception", least=0.0, neutral=1.0),
    "nn_ratio_effnet": Metric(NEITHER, "", "nn_effnet over that of held-out images", "below 1: nearer than new images",
        label="EfficientNet ratio", digits=3, network=EFFNET, stands_in_for="nn_ratio_inception", least=0.0,
        neutral=1.0),
    "nn_ratio_pixels": Metric(NEITHER, "", "nn_pixels over that of held-out images", "below 1: nearer than new images",
        label="pixel ratio", digits=3, least=0.0, neutral=1.0),
    "parameters": Metric(NEITHER, "", "Parameters", "buffers not counted",
        digits=0, least=0.0, is_exact=True),
    "gflops": Metric(NEITHER, "GFLOP", "Operations for an image and one step", "torch.utils.flop_counter, 2 per multiply-add",
        label="one step of one image", digits=3, least=0.0, is_exact=True),
    "network_calls": Metric(NEITHER, "", "Network calls", "counted while it runs",
        label="network calls", digits=0, least=0.0, is_exact=True),
    "images_per_second": Metric(HIGHER, "images/s", "Images per second", "median of timed repetitions after a warm-up",
        label="images per second", digits=2, least=0.0),
    "peak_memory": Metric(NEITHER, "MiB", "Peak memory", "the device's allocations, or the process' resident set",
        label="peak memory", digits=0, least=0.0),
}
# fmt: on


def _of_codes(
    title: str, reference: str, label: str = "", direction: str = HIGHER, digits: int = 4,
    least: float | None = 0.0, most: float | None = 1.0, **more: Any,
) -> Metric:  # fmt: skip
    """A number of codes, whose error is known alone."""
    margin = Margin(0.5 * 10.0 ** (1 - digits), "half a unit of the last digit but one")
    return Metric(
        direction, "", title, reference, label=label or title, digits=digits, least=least, most=most,
        margin=None if direction == NEITHER else margin, **more,
    )  # fmt: skip


def _of_space(title: str, reference: str, label: str, **more: Any) -> Metric:
    """A number of the space of codes, of which neither direction is better."""
    return _of_codes(title, reference, label, **{"direction": NEITHER, "most": None, **more})


def _of_edits(
    title: str, reference: str, label: str = "", direction: str = HIGHER, most: float | None = 1.0, **more: Any,
) -> Metric:  # fmt: skip
    """A number of edits beside their truth, a ratio of sums over pairs of images."""
    margin = (
        None if direction == NEITHER else Margin(0.0005, "half a unit of the last digit but one")
    )
    return Metric(
        direction, "", title, reference, label=label or title, digits=4, most=most, margin=margin, **more
    )  # fmt: skip


# fmt: off
OF_EDITS: dict[str, Metric] = {
    "off_target": _of_edits("Share of an edit that is not the truth", "sum |D - dose D*|² / sum |D|²", "off target", LOWER),
    "gain": _of_edits("Nearness of an edit to the decoded truth", "1 - sum |y - r(x')|² / sum |r(x') - r(x)|²", "gain"),
    "dose": _of_edits("How far an edit goes", "its projection on the decoded truth, in units of it", "dose", NEITHER, None),
    "strength": _of_edits("How far an edit moves the code", "s of s √d w / |w|, or the system's own unit", "strength", NEITHER, None),
    "kept": _of_edits("Share of a true change that is decoded", "sum <r(x') - r(x), x' - x> / sum |x' - x|²", "kept", most=None),
    "direction_r2": _of_edits("Share of true moves of the code that is one direction", "(n |mean c|² - mean |c|²) / ((n - 1) mean |c|²)", "direction R²"),
    "effectiveness": _of_edits("Edits that a classifier sees, by those of the decoded truth", "after Monteiro et al. 2023", "effectiveness", most=None),
    "on_target": _of_edits("Edited images in which a classifier sees the attribute as it should be", "effectiveness of Melistas et al. 2024", "on target", least=0.0),
    "composition": _of_edits("Squared error after encoding and decoding again", "Monteiro et al. 2023, in [0, 1]", "composition", LOWER, least=0.0),
    "reversibility": _of_edits("Squared error after an edit and its inverse", "Monteiro et al. 2023, to the image encoded twice", "reversibility", LOWER, least=0.0),
    "leak_out": _of_edits("Squared move where the truth does not change, by the true move where it does", "means over places", "leak outside", LOWER, None, least=0.0),
    "leak_mean": _of_edits("Logits of other attributes that an edit moves beyond the truth, the mean", "after Wu et al. 2021 (StyleSpace)", "leak, mean", LOWER, None, least=0.0),
    "leak_max": _of_edits("Logits of other attributes that an edit moves beyond the truth, the largest", "as leak_mean", "leak, largest", LOWER, None, least=0.0),
    "lec": _of_edits("Latent editing consistency, as a share of the step", "Tov et al. 2021 (e4e)", "LEC", LOWER, None, least=0.0),
    "direction_consistency": _of_edits("Cosine of a direction fitted to two halves of the training images", "normalised codes", "direction consistency", least=-1.0),
    "lec_frobenius": _of_edits("Latent editing consistency as published, in the code's units", "Tov et al. 2021 (e4e)", "LEC (published)", LOWER, None, least=0.0),
    "composition_l1": _of_edits("Mean absolute difference in grey levels after encoding and decoding again", "Melistas et al. 2024", "composition (L1)", LOWER, 255.0, least=0.0),
    "f1": _of_edits("F1 of a classifier on edited images, mean over batches", "Melistas et al. 2024", "F1", least=0.0),
}

_N: dict[str, Any] = {"depends_on_n": True}
OF_CODES: dict[str, Metric] = {
    "knn": _of_codes("k-NN accuracy", "Cover and Hart 1967; of binary labels the balanced accuracy"),
    "ridge_r2": _of_codes("R² of a ridge regression", "Hoerl and Kennard 1970; held out", "ridge R²", least=None),
    "pearson_r": _of_codes("Pearson's r of a linear regression", "mean over labels", "Pearson's r", least=-1.0),
    "label_mse": _of_codes("Squared error of a linear regression", "in the labels' units", "label MSE", LOWER, most=None),
    "rankme": _of_codes("RankMe", "Garrido et al. 2023, centred", "", NEITHER, 1, most=None, **_N),
    "participation": _of_codes("Participation ratio", "of the covariance's eigenvalues", "", NEITHER, 1, most=None, **_N),
    "code_length": _of_codes("Bits of a label by its online code", "Blier and Ollivier 2018", "code length", LOWER, most=None, **_N),
    "tad": _of_codes("Total AUROC difference", "Yeats et al. 2022 (NashAE)", "TAD", digits=3, least=None, most=None, **_N),
    "attrs": _of_codes("Attributes captured by a dimension", "Yeats et al. 2022 (NashAE)", "ATTRS", digits=1, most=None, **_N),
    "dci_d": _of_codes("Disentanglement", "Eastwood and Williams 2018", "DCI D", **_N),
    "dci_c": _of_codes("Completeness", "Eastwood and Williams 2018", "DCI C", **_N),
    "dci_i": _of_codes("Informativeness", "Eastwood and Williams 2018", "DCI I", **_N),
    "mig": _of_codes("Mutual information gap", "Chen et al. 2018", "MIG", least=None, **_N),
    "sap": _of_codes("Separated attribute predictability", "Kumar et al. 2018", "SAP", least=None),
    "modularity": _of_codes("Modularity", "Ridgeway and Mozer 2018", least=None, **_N),
    "explicitness": _of_codes("Explicitness", "Ridgeway and Mozer 2018"),
    "infom": _of_codes("InfoM", "Hsu et al. 2023", least=None, **_N),
    "infoc": _of_codes("InfoC", "Hsu et al. 2023", least=None, **_N),
    "infoe": _of_codes("InfoE", "Hsu et al. 2023; Xu et al. 2020", least=None),
    "beta_vae": _of_codes("Beta-VAE score", "Higgins et al. 2017"),
    "factor_vae": _of_codes("FactorVAE score", "Kim and Mnih 2018"),
    "mcc": _of_codes("Mean correlation coefficient", "Hyvarinen and Morioka 2016", "MCC", least=-1.0),
    "cca": _of_codes("Mean canonical correlation", "Hotelling 1936", "CCA", least=-1.0),
    "equivariance": _of_codes("Distance of moved codes from codes of moved images", "0 exact, 1 unrelated", "equivariance error", LOWER, least=None, most=None),
    "viv": _of_space("Velocity irreducible variance", "Diffusing in the Right Space 2026; all codes are one class", "VIV", **_N),
    "viv_by_class": _of_space("Velocity irreducible variance by class", "Diffusing in the Right Space 2026", "VIV by class", **_N),
    "sec_25": _of_space("Spectral energy beyond a quarter of the frequencies", "Diffusing in the Right Space 2026", "SEC 25", most=1.0),
    "sec_50": _of_space("Spectral energy beyond half of the frequencies", "Diffusing in the Right Space 2026", "SEC 50", most=1.0),
    "lds": _of_space("Local less distant similarity", "Singh et al. 2025 (iREPA)", "LDS", least=-2.0, most=2.0),
    "cds": _of_space("Slope of similarity against distance, negated", "Singh et al. 2025 (iREPA)", "CDS", least=None),
    "rmsc": _of_space("Contrast of places", "Singh et al. 2025 (iREPA)", "RMSC", most=1.0),
    "twonn": _of_space("Dimension by two neighbours", "Facco et al. 2017", "TwoNN", digits=2, **_N),
    "epps_pulley": _of_space("Epps-Pulley statistic of random projections", "over that of normal codes; Balestriero and LeCun 2025", "Epps-Pulley", digits=3, **_N),
    "code_fd": _of_space("Frechet distance of codes from N(0, I)", "of a number of the code", "code FD", **_N),
    "density_cv": _of_space("Variation of the density of codes", "in two dimensions; Yao et al. 2025 (VA-VAE)", "density CV", **_N),
    "lnc": _of_space("Neighbours with the same label", "of ten; Diffusing in the Right Space 2026", "LNC", most=1.0),
}
# fmt: on
METRICS |= OF_CODES | OF_EDITS


def _of_decoded(name: str, prefix: str, title: str, source: str) -> Metric:
    """The distance `name` of two sets, for decoded images and their originals; its name has a `prefix`."""
    metric = METRICS[name]
    return replace(
        metric, title=title, reference=source, label=metric.label and prefix + metric.label,
        stands_in_for=metric.stands_in_for and prefix + metric.stands_in_for,
    )  # fmt: skip


KERNEL, FRECHET = "Binkowski et al. 2018", "Heusel et al. 2017; pytorch-fid"
OTHER_KERNEL, OTHER_FRECHET = f"{KERNEL}, with a different network", "Heusel et al. 2017, eq. 6"
TO_ORIGINALS = "to the originals of the same images"
HALFWAY, MOVED = "Xu et al. 2026, arXiv 2603.05630", "Qiu et al. 2025, arXiv 2503.08354"
IMAGES, CODES, TOKENS = "reconstructions", "codes halfway to a training code", "perturbed tokens"
# fmt: off
METRICS |= {
    "rkid": _of_decoded("kid", "r", f"KID of {IMAGES}, not times 1,000", f"{KERNEL}, {TO_ORIGINALS}"),
    "rkd_effnet": _of_decoded("kd_effnet", "r", f"Kernel distance of {IMAGES} (EfficientNet-lite0), not times 1,000", f"{OTHER_KERNEL}, {TO_ORIGINALS}"),
    "rfid": _of_decoded("fid", "r", f"FID of {IMAGES}", f"{FRECHET}, {TO_ORIGINALS}"),
    "rfd_effnet": _of_decoded("fd_effnet", "r", f"Frechet distance of {IMAGES} (EfficientNet-lite0)", f"{OTHER_FRECHET}, {TO_ORIGINALS}"),
    "ikid": _of_decoded("kid", "i", f"KID of {CODES}, not times 1,000", HALFWAY),
    "ikd_effnet": _of_decoded("kd_effnet", "i", f"Kernel distance of {CODES} (EfficientNet-lite0), not times 1,000", HALFWAY),
    "ifid": _of_decoded("fid", "i", f"FID of {CODES}", HALFWAY),
    "ifd_effnet": _of_decoded("fd_effnet", "i", f"Frechet distance of {CODES} (EfficientNet-lite0)", HALFWAY),
    "pkid": _of_decoded("kid", "p", f"KID of {TOKENS}, not times 1,000", MOVED),
    "pkd_effnet": _of_decoded("kd_effnet", "p", f"Kernel distance of {TOKENS} (EfficientNet-lite0), not times 1,000", MOVED),
    "pfid": _of_decoded("fid", "p", f"FID of {TOKENS}", MOVED),
    "pfd_effnet": _of_decoded("fd_effnet", "p", f"Frechet distance of {TOKENS} (EfficientNet-lite0)", MOVED),
}
# fmt: on

# More networks that --features can choose, by the names of their weights, with their titles.
FEATURE_NETWORKS = {
    "dinov2_vitl14": "DINOv2 ViT-L/14",
    "dinov2_vitb14": "DINOv2 ViT-B/14",
    "clip_vitl14_336": "CLIP ViT-L/14 at 336 px",
}
# The metrics through these networks, each after the entry with EfficientNet-lite0 that it is like.
THROUGH_OTHERS = {
    "fd_effnet": ("fd_dinov2_vitl14", "fd_dinov2_vitb14", "fd_clip_vitl14_336"),
    "kd_effnet": ("kd_dinov2_vitl14", "kd_dinov2_vitb14", "kd_clip_vitl14_336"),
    "precision_effnet": ("precision_dinov2_vitl14", "precision_dinov2_vitb14", "precision_clip_vitl14_336"),
    "recall_effnet": ("recall_dinov2_vitl14", "recall_dinov2_vitb14", "recall_clip_vitl14_336"),
    "density_effnet": ("density_dinov2_vitl14", "density_dinov2_vitb14", "density_clip_vitl14_336"),
    "coverage_effnet": ("coverage_dinov2_vitl14", "coverage_dinov2_vitb14", "coverage_clip_vitl14_336"),
    "fd_effnet_seed_std": ("fd_dinov2_vitl14_seed_std", "fd_dinov2_vitb14_seed_std", "fd_clip_vitl14_336_seed_std"),
    "nn_effnet": ("nn_dinov2_vitl14", "nn_dinov2_vitb14", "nn_clip_vitl14_336"),
    "nn_ratio_effnet": ("nn_ratio_dinov2_vitl14", "nn_ratio_dinov2_vitb14", "nn_ratio_clip_vitl14_336"),
    "rkd_effnet": ("rkd_dinov2_vitl14", "rkd_dinov2_vitb14", "rkd_clip_vitl14_336"),
    "rfd_effnet": ("rfd_dinov2_vitl14", "rfd_dinov2_vitb14", "rfd_clip_vitl14_336"),
    "ikd_effnet": ("ikd_dinov2_vitl14", "ikd_dinov2_vitb14", "ikd_clip_vitl14_336"),
    "ifd_effnet": ("ifd_dinov2_vitl14", "ifd_dinov2_vitb14", "ifd_clip_vitl14_336"),
    "pkd_effnet": ("pkd_dinov2_vitl14", "pkd_dinov2_vitb14", "pkd_clip_vitl14_336"),
    "pfd_effnet": ("pfd_dinov2_vitl14", "pfd_dinov2_vitb14", "pfd_clip_vitl14_336"),
}  # fmt: skip


def _through(network: str, metric: Metric) -> Metric:
    """A metric with the features of one of `FEATURE_NETWORKS` in place of EfficientNet-lite0's."""
    title = metric.title.replace("EfficientNet-lite0", FEATURE_NETWORKS[network])
    label = metric.label.replace("EfficientNet", FEATURE_NETWORKS[network])
    return replace(
        metric,
        title=title.replace("effnet", network),
        label=label.replace("effnet", network),
        network=network,
    )


for _number, _network in enumerate(FEATURE_NETWORKS):
    METRICS |= {
        names[_number]: _through(_network, METRICS[name]) for name, names in THROUGH_OTHERS.items()
    }

SHIPPED = frozenset(METRICS)


def alternatives(metric: str, metrics: Metrics = METRICS) -> tuple[str, ...]:
    """`metric`, then its stand-ins, in order of preference."""
    return (metric, *(name for name, row in metrics.items() if row.stands_in_for == metric))


def with_stand_ins(names: Iterable[str], metrics: Metrics = METRICS) -> tuple[str, ...]:
    """Each of `names`, followed by its stand-ins, without duplicates."""
    return tuple(dict.fromkeys(name for metric in names for name in alternatives(metric, metrics)))


def seen_through(metric: str, network: str) -> str:
    """`metric`, or its stand-in that uses `network`. Raises KeyError if there is none."""
    for name in alternatives(metric):
        if name in METRICS and METRICS[name].network == network:
            return name
    raise KeyError(f"no variant of {metric} uses {network}")


def published_name(metric: str) -> str:
    """The metric that `metric` stands in for; itself if it stands in for none."""
    return (METRICS[metric].stands_in_for if metric in METRICS else "") or metric
