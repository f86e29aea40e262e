"""How numbers are written: digits by metric, errors, arrows. Plain text for every output format."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from reports.records import HIGHER, LOWER, Record

MISSING = "n/a"
Z_95, Z_80 = 1.959964, 0.841621  # of the normal distribution: two-sided 5 %, power 80 %
ARROWS = {HIGHER: " ↑", LOWER: " ↓"}


@dataclass(frozen=True)
class Style:
    """A metric's heading and its decimals: ours, and those that the paper prints."""

    label: str
    decimals: int
    published_decimals: int


STYLES = {
    "latent_dim": Style("latent size", 0, 0),
    "ssim": Style("SSIM", 4, 3),
    "ssim_valid": Style("SSIM (valid)", 4, 3),
    "lpips": Style("LPIPS", 4, 3),
    "pd_effnet": Style("pd_effnet", 4, 3),
    "mse": Style("MSE", 4, 3),
    "psnr": Style("PSNR", 2, 2),
    "auroc": Style("AUROC", 4, 3),
    "ap": Style("AP", 4, 3),
    "accuracy": Style("accuracy", 4, 3),
    "fid": Style("FID", 2, 2),
    "fd_effnet": Style("fd_effnet", 2, 2),
    "fid_seed_std": Style("sd of FID over seeds", 2, 2),
    "fd_effnet_seed_std": Style("sd of fd_effnet over seeds", 2, 2),
    "acceptance_rate": Style("acceptance rate", 4, 4),
    "ppl": Style("PPL", 2, 2),
    "ppl_alex": Style("ppl_alex", 2, 2),
    "ppl_effnet": Style("ppl_effnet", 2, 2),
    "arcface": Style("ArcFace", 4, 4),
    "id_portraits": Style("id_portraits", 4, 4),
    "logit_change": Style("logit change", 3, 3),
    "diversity_lpips": Style("LPIPS between draws", 4, 4),
    "diversity_effnet": Style("pd_effnet between draws", 4, 4),
    "pixel_std": Style("standard deviation of a pixel", 4, 4),
    "nn_inception": Style("Inception distance", 3, 3),
    "nn_effnet": Style("EfficientNet distance", 3, 3),
    "nn_pixels": Style("pixel distance", 4, 4),
    "nn_ratio_inception": Style("Inception ratio", 3, 3),
    "nn_ratio_effnet": Style("EfficientNet ratio", 3, 3),
    "nn_ratio_pixels": Style("pixel ratio", 3, 3),
    "parameters": Style("parameters", 0, 0),
    "gflops": Style("one step of one image", 3, 3),
    "network_calls": Style("network calls", 0, 0),
    "images_per_second": Style("images per second", 2, 2),
    "peak_memory": Style("peak memory", 0, 0),
}


def metric_label(metric: str) -> str:
    """The heading of `metric`: the field's spelling where there is one, else the name itself."""
    if not metric:
        return "any metric"
    return STYLES[metric].label if metric in STYLES else metric


def heading(metric: str, records: Iterable[Record]) -> str:
    """`metric_label` with the unit and the arrow that all measured ones of `records` share."""
    kinds = {(r.unit, r.direction) for r in records if r.value is not None}
    unit, direction = kinds.pop() if len(kinds) == 1 else ("", "")
    arrow = ARROWS.get(direction, "")
    return metric_label(metric) + (f" ({unit})" if unit else "") + arrow


def value_text(record: Record) -> str:
    """The value alone, `n/a` where there is none."""
    return MISSING if record.value is None else number_text(record.value, record.metric)


def error_text(record: Record) -> str:
    """` ± ` and the standard error, in the notation of the value; empty where there is none."""
    if record.value is None or record.stderr is None:
        return ""
    return f" ± {error_digits(record.stderr, record.value, record.metric)}"


def published_text(record: Record) -> str:
    """The published value with the decimals usual in the paper, more where it has more."""
    if record.published is None:
        return ""
    style = STYLES.get(record.published_metric or record.metric)
    if style and round(record.published, style.published_decimals) == record.published:
        return f"{record.published:,.{style.published_decimals}f}"
    return f"{record.published:g}"


def number_text(number: float, metric: str) -> str:
    """`number` with the decimals of `metric`, scientific where they would hold one digit or none.

    A metric without a style gets four significant digits, whole numbers all of theirs.
    """
    if not math.isfinite(number):
        return str(number)
    style = STYLES.get(metric)
    if style is None:
        whole = number == int(number) or abs(number) >= 1e4
        return f"{number:,.0f}" if whole and abs(number) < 1e15 else f"{number:.4g}"
    if _is_scientific(number, style.decimals):
        return f"{number:.2e}"
    return f"{number:,.{style.decimals}f}"


def to_error(value: float, error: float) -> str:
    """`value` down to the second digit of `error`, and two digits of its own at least."""
    if not math.isfinite(value) or not 0 < error < math.inf:
        return f"{value:.6g}"
    last = math.floor(math.log10(error)) - 1
    if value:
        last = min(last, math.floor(math.log10(abs(value))) - 1)
    if -6 <= last < 12:
        return f"{value:,.{max(0, -last)}f}"
    digits = math.floor(math.log10(abs(value))) - last if value else 0
    return f"{value:.{min(digits, 15)}e}"


def detectable_change(stderr: float | None) -> float | None:
    """The difference of two systems that two independent runs show, at the 5 % level, in 4 of 5 cases.

    (1.96 + 0.84) sqrt(2) standard errors of one run; half of the differences of 1.96 sqrt(2) would stay unseen.
    """
    return None if stderr is None else (Z_95 + Z_80) * math.sqrt(2) * stderr


def _is_scientific(number: float, decimals: int) -> bool:
    return decimals > 0 and 0 < abs(number) < 10 ** (1 - decimals)


def error_digits(stderr: float, value: float, metric: str) -> str:
    style = STYLES.get(metric)
    if style is None or not math.isfinite(stderr):
        return f"{stderr:.2g}"
    if _is_scientific(value, style.decimals):
        return f"{stderr:.1e}"
    fixed = f"{stderr:,.{style.decimals}f}"
    return f"{stderr:.0e}" if stderr and not float(fixed.replace(",", "")) else fixed
