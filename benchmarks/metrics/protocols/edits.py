"""What a protocol of edits consists of, and its file.

    protocol = named("e4e-lec")
    protocol.sections["lec"].batch          8
    protocol.sources["lec.batch"]           "omertov/encoder4editing@99ea505 metrics/LEC.py l.94 at module level ..."

A protocol is a file of benchmarks/protocols/edits/ with a section for each metric that it defines.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from benchmarks.metrics.protocols.library import FOLDERS, Head, Library
from benchmarks.metrics.protocols.schema import Batch, Rounding, Trunk
from diffae.system.settings import Range

FOLDER = FOLDERS["edits"]


@dataclass(frozen=True)
class Fid:
    """FID of edited images to real ones of the class that they are edited to.

    quantile  of the confidences of these real images, which an edit moves an image to
    """

    quantile: Annotated[float, Range(0, 1)] = 0.5


@dataclass(frozen=True)
class Lec:
    """Latent editing consistency: the mean length of E(D(z + step d)) - (z + step d), over all numbers of the
    code z; d is a unit vector in the code's own units.

    step   length of the edit
    batch  images of a batch; those of an incomplete one are left out
    cut    batches whose means are below this percentile of them, or above 100 less it, are left out. The
           percentiles are means themselves, the next lower and the next higher: of up to 100 batches 1 %
           leaves out none
    """

    step: Annotated[float, Range(0, 1e6)] = 3.0
    batch: Batch = 8
    cut: Annotated[float, Range(0, 50)] = 1.0


@dataclass(frozen=True)
class Composition:
    """Mean absolute difference of pixels, in grey levels, and LPIPS, after encoding and decoding again. All
    of the code is encoded again, x_T too.

    cycles    how often
    rounding  from decoded numbers to grey levels; not for LPIPS
    trunk     the network of LPIPS
    batch     images of a batch; LPIPS is the mean of the means of batches
    """

    cycles: tuple[Annotated[int, Range(1, 100)], ...] = (1, 10)
    rounding: Rounding = "truncated"
    trunk: Trunk = "vgg16"
    batch: Batch = 64


@dataclass(frozen=True)
class Effectiveness:
    """F1 of what a classifier of images, at 0.5, sees in edited images.

    batch  images of a batch, which has one F1
    """

    batch: Batch = 64


KINDS: tuple[type, ...] = (Fid, Lec, Composition, Effectiveness)


@dataclass(frozen=True)
class EditProtocol(Head):
    """A protocol: the `sections` of the metrics that its evaluation code computes."""

    sections: Mapping[str, Any] = field(default_factory=dict, hash=False)


LIBRARY = Library("edits", {kind.__name__.lower(): kind for kind in KINDS}, EditProtocol)
names, named = LIBRARY.names, LIBRARY.named
