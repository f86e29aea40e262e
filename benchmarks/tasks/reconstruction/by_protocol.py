"""Reconstructions measured by the protocols of other evaluation codes: `--protocol`, `--explain`.

The decodes are those of Table 1. A protocol changes how they are compared; what it says about the
images themselves (crop, posterior, reference) is a note where the run has it otherwise.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from torch import Tensor

from benchmarks.core.context import Context
from benchmarks.core.measurement import Cell, Solved
from benchmarks.core.selection import Selection
from benchmarks.core.store import Arrays
from benchmarks.metrics.frechet_jackknife import BLOCKS
from benchmarks.metrics.protocols import schema
from benchmarks.metrics.protocols.cases import (
    Case,
    Measured,
    cases_of,
    compute,
    measured,
    network_of,
    why_not,
)
from benchmarks.metrics.protocols.explain import Explained, explain, needed
from benchmarks.metrics.protocols.published import attach, names_of
from benchmarks.systems.protocol.base import System
from diffae.eight_bit import to_uint8
from reports.records.record import Record
from reports.records.specs import TableSpec
from reports.records.tokenizers import BY_PROTOCOL
from reports.records.uncertainty import Uncertainty, of_influences

SAME = "the same crops"


@dataclass(frozen=True)
class ByProtocol:
    """The protocols of a run, and what they compute of each image; nothing without --protocol."""

    context: Context

    def lacking(self, case: Case) -> str:
        side = self.context.dataset.image_size
        return why_not(case, self.context.networks, (side, side))

    @cached_property
    def protocols(self) -> list[schema.Protocol]:
        return list(map(schema.named, self.context.protocols))

    @cached_property
    def cases(self) -> list[Case]:
        """What is computed: each case once, and not those whose network is missing."""
        if self.context.explain:
            return needed(self.protocols[0], self.protocols, self.lacking)
        every = {case.key: case for case in cases_of(self.protocols) if _reason(case) == ""}
        return [case for case in every.values() if not self.lacking(case)]

    @property
    def key(self) -> dict[str, Any]:
        """A part of the key of a chunk in the store."""
        described = {case.key: self._network(case) for case in self.cases}
        as_decoded = {"as decoded": True} if self.unclamped else {}
        return {"protocols": described, **as_decoded} if described else {}

    def _network(self, case: Case) -> Mapping[str, Any]:
        network = network_of(case, self.context.networks)
        return {} if network is None else network.describe()

    @property
    def unclamped(self) -> bool:
        """Whether a case is of what a decoder gives beyond [-1, 1], too."""
        return not all(case.clamped for case in self.cases)

    def compute(self, made: Tensor, as_decoded: Tensor, originals: Tensor) -> Arrays:
        """Scores and features of decoded images and originals, N x 3 x S x S in [-1, 1].

        `as_decoded` are the decoded images that are not clamped.
        """
        found: Arrays = {}
        for clamped, images in ((True, made), (False, as_decoded)):
            cases = [case for case in self.cases if case.clamped == clamped]
            found |= compute(cases, self.context.networks, images, to_uint8(originals))
        return found

    def records(self, at: Solved, images: Selection, arrays: Arrays) -> Iterator[Record]:
        """A row for each protocol and metric that it defines."""
        if not self.protocols:
            return
        blocks = images.blocks(BLOCKS)

        def number(case: Case) -> Measured:
            return measured(case, arrays, blocks)

        if self.context.explain:
            found = explain(self.protocols[0], self.protocols, self.lacking, arrays, blocks)
        else:
            found = [self._plainly(case, number) for case in cases_of(self.protocols)]
        for one in found:
            yield self._record(at, images, one)

    def _plainly(self, case: Case, number: Callable[[Case], Measured]) -> Explained:
        reason = _reason(case) or self.lacking(case)
        found = None if reason else number(case)
        return Explained(case, found, found.reason if found else reason, None, ())

    def _record(self, at: Solved, images: Selection, one: Explained) -> Record:
        case, found, protocol, split = one.case, one.found, one.case.protocol, images.split
        reason = _reason(case) or one.reason
        fields: dict[str, Any] = {
            "by": protocol.name,
            "split": split,
            **protocol.describe(case.metric),
        }
        fields |= self._network_of(one)
        if isinstance(source := getattr(at.system, "source", None), Path):
            fields["checkpoint"] = names_of(source)
        of = Cell(self.context, BY_PROTOCOL, at, setting=protocol.name, split=split, n=len(images))
        cell = of.also(**fields)
        said = [] if reason else [*_causes(one), *_departures(case, at.system, self.context)]
        row = partial(cell.row, _metric(case), note="; ".join(said) or reason)
        known = None if reason else found
        made = row(None) if known is None else row(known.value, _uncertainty(known, images))
        return attach(made, cell.protocol_fields)

    def _network_of(self, one: Explained) -> Mapping[str, Any]:
        return {} if one.found is None else self._network(one.case)


def _reason(case: Case) -> str:
    """Why a run cannot compute the case, whatever networks there are; "" if it can."""
    rfid = case.protocol.rfid
    if case.metric != "rfid" or rfid is None or rfid.reference == SAME:
        return ""
    return (
        f"its reference: {rfid.reference}; keep the images (--save-images) and compare them by "
        f"`benchmarks.measure fid REFERENCE IMAGES --protocol {case.protocol.name}`"
    )


def _metric(case: Case) -> str:
    """The name in the table of metrics."""
    lpips = case.protocol.lpips
    vgg = case.metric == "lpips" and lpips is not None and lpips.trunk == "vgg16"
    return "lpips_vgg" if vgg else case.metric


def _uncertainty(found: Measured, selection: Selection) -> Uncertainty:
    if found.units == "images":
        return selection.uncertainty(found.influences)
    return of_influences(found.influences, selection.units(found.units))


def _causes(one: Explained) -> list[str]:
    """How far the number is from that of `plain`, and why."""
    if not one.told:
        return []
    parts = (f"{c.text} {c.difference:+.3g}" if c.difference else c.text for c in one.told)
    without = f", without {one.left_out:,} equal images" if one.left_out else ""
    by = "infinitely far" if one.difference is None else f"{one.difference:+.3g}"
    return [f"{by} from {schema.PLAIN}{without}: {', '.join(parts)}"]


def _departures(case: Case, system: System, context: Context) -> list[str]:
    """In what the run's images are not those of the protocol's code."""
    pixels, ours = case.protocol.pixels, context.dataset.transform.crop
    said = []
    if pixels.crop != ours:
        said.append(f"its code crops by {pixels.crop}, this run by {ours}")
    posterior = system.describe().get("posterior", pixels.posterior)
    if posterior != pixels.posterior:
        said.append(
            f"its code decodes the posterior's {pixels.posterior}, this run its {posterior}: add "
            f"#posterior={pixels.posterior} to the checkpoint"
        )
    return said


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
