"""Rows of numbers of codes, computed once for a run."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.core.images import Selection
from benchmarks.metrics.codes.data import TEST, Codes, Found
from benchmarks.metrics.codes.schema import PLAIN, named
from benchmarks.metrics.codes.table import fields, measure
from benchmarks.plugin import Cell, Record
from benchmarks.runtime.digest import digest
from benchmarks.tasks.shared.probe_fits import selections
from diffae.data.dataset import SPLITS
from diffae.system.errors import UserError
from reports.records.estimate import Influences, influences_of_groups, influences_on_mean, units_of

Numbers = Mapping[str, Found]  # by the row's setting


@dataclass(frozen=True)
class Measured:
    """Numbers of codes for a cell, from the store where they are known."""

    cell: Cell
    codes: Codes
    images: Selection | None = None  # of the codes, if not those of the probes

    def found(self, work: str, compute: Callable[[Codes], Numbers], **how: Any) -> Numbers:
        """What `compute` finds of the codes; `how` is what else decides it.

        What it refuses is kept as a number that is nan, with the reason as its note, so that every
        process learns it.
        """
        context = self.cell.context
        key = {"work": work, "seed": context.seed, **how, "codes": list(self.codes.digests)}

        def packed() -> dict[str, np.ndarray]:
            try:
                numbers = compute(self.codes)
            except UserError as error:
                reason = str(error).removeprefix(f"{work}: ")
                numbers = {"": Found(np.nan, 0, notes=(reason,))}
            given = {setting: vars(one) for setting, one in numbers.items()}
            text = json.dumps(given, default=np.ndarray.tolist)
            return {"json": np.frombuffer(text.encode(), np.uint8)}

        kept = json.loads(context.store.once(key, packed)["json"].tobytes())
        return {setting: _read(**one) for setting, one in kept.items()}

    def number(self, name: str) -> Record:
        """The row of a number by our own protocol; of one that is not defined here, with the reason."""
        protocol, seed = named(PLAIN), self.cell.context.seed
        how = dict(fields(name, protocol))
        found = self.found(name, lambda codes: {"": measure(name, codes, protocol, seed)}, **how)
        (row,) = self.rows(self.cell.also(**how), name, found)
        return row

    def rows(self, cell: Cell, metric: str, numbers: Numbers) -> Iterator[Record]:
        """A row for each setting."""
        for setting, one in numbers.items():
            given: dict[str, Any] = {"note": "; ".join(one.notes)}
            given["setting"] = setting or cell.setting
            if np.isnan(one.value):
                yield cell.row(metric, None, **given)
                continue
            known = self.codes.split
            scored = one.rows is not None and known is not None and (known[one.rows] == TEST).all()
            whole = self.images is not None and self.images.split in SPLITS
            split = self.images.split if self.images and whole else cell.split if scored else ""
            given |= {"n": one.n, "stderr": one.stderr, "split": split}
            yield cell.row(metric, one.value, self.uncertainty(one, setting), **given)

    def uncertainty(self, one: Found, setting: str) -> Influences:
        """The error in parts: over images or persons, and over fits."""
        if one.influence is None or one.rows is None:
            return ()
        parts = selections(self.cell.context) if self.images is None else [self.images]
        order = np.concatenate([part.order for part in parts])
        who = order[one.rows] if self.codes.persons is None else self.codes.persons[one.rows]
        data = parts[0].dataset.fingerprint
        of_images = influences_of_groups(
            one.influence, who, units_of(self.codes.units, data, digest(who))
        )
        if not one.fits:
            return of_images
        seed, images = self.cell.context.seed, digest(order)  # of which a draw takes some
        draws = units_of("draws", data, images, setting, seed, len(one.fits))
        return of_images + influences_on_mean(one.fits, draws)


def _read(notes: list[str], fits: list[float], **kept: Any) -> Found:
    """A number as it is kept."""
    for name in ("influence", "rows"):
        kept[name] = None if kept[name] is None else np.array(kept[name])
    return Found(notes=tuple(notes), fits=tuple(fits), **kept)
