"""Reconstructions measured by the protocols of other evaluation codes: `--protocol`, `--explain`.

The decodes are those of Table 1. A protocol changes how they are compared; what it says about the
images themselves (crop, posterior, reference) is a note where the run has it otherwise.
"""

from collections.abc import Mapping
from pathlib import Path

from benchmarks.core.images import Selection
from benchmarks.core.measurement import Numbers
from benchmarks.core.store import CHUNK
from benchmarks.metrics.protocols import schema
from benchmarks.metrics.protocols.cases import ImageCase, network_of
from benchmarks.metrics.protocols.explain import Explained, OnPairs
from benchmarks.metrics.protocols.printed import names_of
from benchmarks.plugin import Arrays, Calls, Context, Place, System, TableSpec, Variant
from diffae.system.files import Json
from reports.records.tokenizers import BY_PROTOCOL

SAME = "the same crops"


class ByProtocol(OnPairs):
    """The protocols of a run, and what they compute of each image."""

    def __init__(self, context: Context):
        side, options = context.dataset.image_size, context.options
        protocols = list(map(schema.named, options.protocols))
        super().__init__(protocols, context.networks, (side, side), options.explain)

    def refused(self, case: ImageCase) -> str:
        """The distance to images that are not those of the run, and SSIM of batches that lie in two chunks."""
        protocol, keep = case.protocol, "keep the images (--save-images) and compare them by"
        rfid, ssim = protocol.rfid, protocol.ssim
        if case.metric == "rfid" and rfid is not None and rfid.reference != SAME:
            command = f"benchmarks.measure fid REFERENCE IMAGES --protocol {protocol.name}"
            return f"its reference: {rfid.reference}; {keep} `{command}`"
        if case.metric == "ssim" and ssim and ssim.range == "of the batch" and CHUNK % ssim.batch:
            command = f"benchmarks.measure ssim INPUTS IMAGES --protocol {protocol.name}"
            whole = f"its SSIM has the range of each {ssim.batch} images, which is no divisor of {CHUNK}"
            return f"{whole}; {keep} `{command}`"
        return ""

    @property
    def key(self) -> dict[str, Json]:
        """A part of the key of a chunk in the store."""
        described = {case.key: self._network(case) for case in self.cases}
        as_decoded = {"as decoded": True} if self.unclamped else {}
        return {"protocols": described, **as_decoded}

    def _network(self, case: ImageCase) -> Mapping[str, Json]:
        network = network_of(case, self.networks)
        return {} if network is None else network.describe()

    @property
    def calls(self) -> Calls:
        """The calls of networks for an image and its original."""
        metrics = [case.metric for case in self.cases if self._network(case)]
        return Calls(features=2 * metrics.count("rfid"), perceptual=metrics.count("lpips"))

    @property
    def unclamped(self) -> bool:
        """Whether a case is of what a decoder gives beyond [-1, 1], too."""
        return not all(case.clamped for case in self.cases)

    def numbers_of(self, variant: Variant, images: Selection, arrays: Arrays) -> Numbers:
        """A number for each protocol and metric that it defines."""
        for explained in self.numbers(arrays, images.units):
            estimate = {_metric(explained.case): explained.estimate}
            yield from self._place(variant, images, explained).numbers(estimate)

    def _place(self, variant: Variant, images: Selection, explained: Explained[ImageCase]) -> Place:
        case, protocol, split = explained.case, explained.case.protocol, images.split
        place = Place(variant.context, BY_PROTOCOL, variant, setting=protocol.name)
        place = place.also(by=protocol.name, split=split, **protocol.describe(case.metric))
        if isinstance(source := getattr(variant.system, "source", None), Path):
            place = place.also(checkpoint=names_of(source))
        place = place.at(split=split, n=len(images), unclamped=not case.clamped)
        if explained.estimate.value is None:
            return place
        notes = [*_causes(explained), *_departures(case, variant.system, variant.context)]
        return place.also(**self._network(case)).noting("; ".join(notes))


def _metric(case: ImageCase) -> str:
    """The name in the table of metrics."""
    lpips = case.protocol.lpips
    vgg = case.metric == "lpips" and lpips is not None and lpips.trunk == "vgg16"
    return "lpips_vgg" if vgg else case.metric


def _causes(explained: Explained[ImageCase]) -> list[str]:
    """How far the number is from that of `plain`, and why."""
    causes, difference = explained.visible_causes, explained.difference
    if not causes:
        return []
    parts = (f"{c.text} {c.difference:+.3g}" if c.difference else c.text for c in causes)
    without = f", without {explained.left_out:,} equal images" if explained.left_out else ""
    distance = "infinitely far" if difference is None else f"{difference:+.3g}"
    return [f"{distance} from {schema.PLAIN}{without}: {', '.join(parts)}"]


def _departures(case: ImageCase, system: System, context: Context) -> list[str]:
    """How the run's images differ from those of the protocol's code."""
    pixels, ours = case.protocol.pixels, context.dataset.transform.crop
    departures = []
    if pixels.crop != ours:
        departures.append(f"its code crops by {pixels.crop}, this run by {ours}")
    posterior = system.describe().get("posterior", pixels.posterior)
    if posterior != pixels.posterior:
        add = f"add #posterior={pixels.posterior} to the checkpoint"
        decoded = f"its code decodes the posterior's {pixels.posterior}"
        departures.append(f"{decoded}, this run its {posterior}: {add}")
    return departures


SPEC = TableSpec(
    name=BY_PROTOCOL,
    title="Reconstruction by protocol",
    caption=(
        "The reconstructions of Table 1 (x_T inverted), measured as the evaluation codes of others measure "
        "them; `diffae-bench docs protocols` describes each."
    ),
    rows=("setting",),
    setting_header="protocol",
    columns=("system",),
    panels=True,
    metrics=("rfid", "psnr", "ssim", "lpips", "lpips_vgg"),
    largest_steps=True,
    plots=(),
    order=12,
)
