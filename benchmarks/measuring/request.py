"""What `benchmarks.measure` is given, the networks that this takes, and what it answers."""

import math
import re
from argparse import ArgumentTypeError
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch

from benchmarks.metrics import METRICS
from benchmarks.metrics.codes import schema as codes
from benchmarks.metrics.networks.chosen import Networks
from benchmarks.metrics.networks.faces import FaceEmbedding
from benchmarks.metrics.networks.features import FeatureNetwork
from benchmarks.metrics.networks.perceptual import PerceptualDistance
from benchmarks.metrics.protocols import schema
from benchmarks.runtime.calling import Batches
from benchmarks.runtime.choices import CommonOptions, NetworkChoice, WeightChoice, names
from diffae.system import cli
from diffae.system.errors import UserError
from diffae.system.settings import given_options, option, switch
from reports.records.estimate import Estimate
from reports.records.metrics import alternatives

SECTIONS = {"fid": "rfid"}  # of protocols, by the command's name of a metric
Numbers = Mapping[str, str]  # by metric, as they are printed
OURS, PLAINLY = "diffae", "pytorch-fid"  # ways of reading images
MOST_SUBSETS = 10_000  # torch-fidelity takes 100; more come near to the distance over all pairs


def subsets(text: str) -> tuple[int, int]:
    """The number of subsets and the size of each, of "100x1000"."""
    count, cross, size = text.partition("x")
    if not cross:
        raise ArgumentTypeError(f"{text!r} is not COUNTxSIZE, such as 100x1000")
    return cli.between(1, MOST_SUBSETS)(count), cli.between(2)(size)


def printed(text: str) -> Numbers:
    """The numbers of "psnr=27.43,ssim=0.912". Raises UserError for an unknown metric, one that is
    given twice, and what is no number.
    """
    numbers: dict[str, str] = {}
    for part in text.split(","):
        name, _, number = (word.strip() for word in part.partition("="))
        metric = SECTIONS.get(name.lower(), name.lower())
        if metric not in schema.METRICS:
            raise UserError(f"unknown metric {name!r}{cli.did_you_mean(metric, schema.METRICS)}")
        if metric in numbers:
            raise UserError(f"{metric} is given twice")
        decimal = re.fullmatch(r"[+-]?([0-9]+\.?[0-9]{0,20}|\.[0-9]{1,20})", number)
        if not decimal or not math.isfinite(float(number)):
            raise UserError(f"{name}: {number!r} is not a finite decimal number, such as 27.43")
        numbers[metric] = number
    return numbers


@dataclass(frozen=True)
class Request(WeightChoice, CommonOptions):
    """What the command is given, and its options; `b` is None where the statistics of `a` are saved
    alone.
    """

    a: Path
    b: Path | None = None
    explain: bool = switch("A and B by every protocol, and why numbers differ (in place of METRIC)")
    _which = "protocols by which A and B have printed numbers: psnr=27.43,ssim=0.912 (for METRIC)"
    which: Numbers | None = option(_which, type=cli.argument(printed), metavar="METRIC=NUMBER,...")
    of: int | None = option(
        "of --which: the numbers are printed for M other images", type=cli.between(2), metavar="M"
    )
    out: Path | None = option(
        "of --explain: keep its tables, as CSV and Markdown", type=cli.path, metavar="DIR"
    )
    save: Path | None = option("write mu, sigma and n of A", type=cli.path, metavar="FILE.npz")
    _subsets = "kernel distances as the mean over random subsets, such as 100x1000 (torch-fidelity's), not over all pairs of images"
    subsets: tuple[int, int] | None = option(_subsets, type=subsets, metavar="COUNTxSIZE")
    _protocol = (
        f"measure fid, psnr, ssim or lpips as another code does: {', '.join(schema.names())}; numbers of "
        f"codes: {', '.join(codes.names())}; or a file"
    )
    protocol: tuple[str, ...] = option(_protocol, (), type=names, metavar="NAME|FILE.toml,...")
    seed: int | None = option("of numbers of codes (default: 0)", type=cli.natural)
    _reading = (
        "how images with alpha or 16 bits are read: laid on white and scaled (default), or as pytorch-fid does, "
        "which drops alpha, clips, and does not turn what EXIF says"
    )
    reading: str = option(_reading, OURS, choices=(OURS, PLAINLY))
    batch_size: int = option("images at once (default: 32)", 32, type=cli.positive)

    @property
    def pair(self) -> tuple[Path, Path]:
        """A and B, for what compares them."""
        assert self.b is not None
        return self.a, self.b

    @cached_property
    def networks(self) -> Networks:
        choice = NetworkChoice(**given_options(WeightChoice, vars(self)))
        return Networks(choice, torch.device(self.device), Batches(self.batch_size))


@dataclass(frozen=True)
class Answer:
    """The lines on a metric, or the reason why it cannot be measured: `refusal`."""

    metric: str
    lines: Sequence[str] = ()
    refusal: str = ""


def answer_of(
    metric: str, estimate: Estimate, about: Sequence[str], counts: Sequence[str], over: str = ""
) -> Answer:
    """The answer with an estimate: lines `about` it, a line that counts the images, METRIC VALUE.

    The standard error is after the counts; `over` says what it is over.
    """
    if estimate.value is None:
        return refusal([metric], estimate.why)
    count_line = [count for count in counts if count]
    if estimate.stderr is not None:
        count_line.append(f"standard error {estimate.stderr:.3g}{over}")
    return Answer(metric, [*about, ", ".join(count_line), f"{metric} {estimate.value:.8g}"])


def refusal(names: Iterable[str], reason: UserError | str) -> Answer:
    """The answer for metrics, or for a file, that cannot be measured."""
    return Answer("", refusal=f"{', '.join(names)}: {reason}")


@contextmanager
def naming_stand_in(*metrics: str) -> Iterator[None]:
    """For a block that loads the network of metrics: an error names a stand-in of each metric."""
    try:
        yield
    except UserError as error:
        others = [other for metric in metrics for other in _stand_ins(metric)[:1]]
        it = "stands in for it" if len(others) == 1 else "stand in for them"
        hint = f"; {' and '.join(others)} {it}" if others else ""
        raise UserError(f"{error}{hint}") from None


def _stand_ins(metric: str) -> list[str]:
    return [name for name in alternatives(metric)[1:] if not METRICS[name].only_on]


def described(seen: FeatureNetwork | PerceptualDistance | FaceEmbedding) -> str:
    """The name and weights of a network, with a note if they are not the published ones."""
    odd = [text for name, text in seen.describe().items() if name.endswith("_weights")]
    return ", ".join([seen.name, f"sha256 {seen.sha256}", *map(str, odd)])
