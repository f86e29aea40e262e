"""The data of a run, from its options, and what is said of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from benchmarks.core.context import Context
from benchmarks.core.runner.request import Options
from benchmarks.core.sizes import Number, Range
from benchmarks.core.store import ELSEWHERE, default_root
from benchmarks.systems.protocol.base import System, has_no_encoder
from diffae.data import Dataset, native_side, open_dataset, open_portraits
from diffae.data.fingerprint import forget
from diffae.data.portraits.write import LARGEST_COUNT
from diffae.system import cli, distributed
from diffae.system.errors import UserError
from diffae.system.files import writing


@dataclass(frozen=True)
class DataSizes:
    """
    portraits    how many portraits are drawn when no --data is given
    fit_images   training images for systems that are fitted on the data, such as pixels + PCA
    """

    portraits: Annotated[int, Range(1, LARGEST_COUNT)] = 10_000
    fit_images: Number = 2_048


def comparison(context: Context, loaded: Sequence[System]) -> dict[str, Any]:
    """For run.json and captions: at which `size` images are compared, which system decided it, and which
    systems are `resized` to it from which size, and that in a sentence. Empty if none is.
    """
    size, is_chosen = context.dataset.image_size, context.options.size is not None
    own = {system.title: system.image_size for system in loaded if system.image_size is not None}
    resized = {title: side for title, side in own.items() if side != size}
    if not resized:
        return {}
    smallest = next((title for title, side in own.items() if side == size), "")
    if is_chosen:
        why = "as asked for"
    elif smallest:
        why = f"the size of {smallest}, the smallest"
    else:
        why = "the size of the open data set"
    each = ", ".join(f"{title} from {side} px" for title, side in resized.items())
    text = f"Images are compared at {size} px, {why}; resized to it: {each}."
    decided_by = "" if is_chosen else smallest
    return {"size": size, "decided_by": decided_by, "resized": resized, "text": text}


def heading(context: Context) -> tuple[str, dict[str, str]]:
    """The heading of the tables of a run, and the facts for the line below them."""
    facts = {"data": context.dataset.name, "profile": context.profile.title}
    return "{data}, profile {profile}".format(**facts), facts | {"seed": str(context.seed)}


def _refuse_enlarging(data: str, native: int, largest: int, sizes: Mapping[int, str]) -> None:
    """Raise UserError for images of `native` px where a system, or --size, takes `largest` px."""
    if native < largest:
        title = sizes.get(largest)
        remedy = f"give larger images or a smaller {'model' if title else '--size'}"
        takes = f"{title or '--size'} takes {largest} px"
        raise UserError(f"{data} has images of {native} px, but {takes}; {remedy}")


def _opened(given: Dataset, chosen: int | None, sizes: Mapping[int, str], largest: int) -> Dataset:
    """A data set that is open, at the size that was `chosen`. Raises UserError if it does not fit."""
    size = min(sizes, default=32)
    if chosen is None and sizes and given.image_size > size:
        takes = f"{sizes[size]} takes {size} px; open it with image_size={size}"
        raise UserError(f"data: {given.name} was opened at {given.image_size} px, but {takes}")
    dataset = given if chosen is None else given.at(chosen)
    if chosen is not None or dataset.image_size < largest:
        _refuse_enlarging(f"data: {dataset.name}", native_side(dataset), largest, sizes)
    return dataset


def open_data(options: Options, loaded: list[System], given: Dataset | None = None) -> Dataset:
    """Open the data set at the size of the comparison: that of --size, else the smallest size of the
    systems, or that of an open data set.

    A system of another size runs at its own, and its output is resized to this one, as in the paper's
    Table 1.
    """
    sizes: dict[int, str] = {}
    for system in loaded:
        if system.image_size is not None:
            sizes.setdefault(system.image_size, system.title)
    size = options.size or min(sizes, default=32)
    largest = max([size, *sizes])
    portraits = options.profile.sizes(DataSizes).portraits
    if given is not None:
        dataset = _opened(_changed(given, options), options.size, sizes, largest)
    elif options.data is None:
        with writing(default_root().parent, ELSEWHERE):
            drawn = open_portraits(portraits, largest, dry=options.dry_run)
        dataset = _changed(drawn, options).at(size)
    else:
        dataset = _changed(open_dataset(options.data, largest, options.cropped), options)
        if not all(map(has_no_encoder, loaded)):
            _refuse_enlarging(str(options.data), native_side(dataset), largest, sizes)
        dataset = dataset.at(size)
        if not len(dataset.indices("test")):
            raise UserError(f"{options.data}: no images in the test split")
    for name in options.attributes:
        if name not in dataset.attribute_names:
            hint = cli.did_you_mean(name, dataset.attribute_names)
            raise UserError(f"--attributes: {dataset.name} has no attribute {name!r}{hint}")
    return dataset


def _changed(dataset: Dataset, options: Options) -> Dataset:
    """The data set with the run's options, which may need a survey of its files."""
    if options.verify_data and distributed.is_main() and not options.dry_run:
        forget(dataset.source)
    return dataset.changed_by(options.transform)
