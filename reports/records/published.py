"""Published numbers beside the numbers of a run.

`attach` writes the published number of a record's metric, system and data into the record, with the
reasons why the two must not be compared, if there are any. There are three sources:

- Preechakul et al. 2022 (Diffusion Autoencoders, CVPR), whose tables have the cells of ours: `lookup`
  finds a value by the harness's names. `PROTOCOLS` says how the paper measured each table, in the
  fields of our protocols.
- Numbers of image autoencoders (`tokenizers.py`), by the name of the checkpoint.
- Numbers of codes (`representations.py`), by the name of the system.

A name only decides which data set is meant, and a profile decides nothing: 60 images in a folder called
`ffhq` are not FFHQ, and a run of a different profile is comparable if its fields are the paper's.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

from reports.records import representations, tokenizers
from reports.records.estimate import Estimate
from reports.records.metrics import METRICS
from reports.records.reading import (
    Fields,
    differing_fields,
    grouped,
    part_of,
    plain,
    rows_of,
    value_text,
)
from reports.records.record import Record
from reports.records.tokenizers import BY_PROTOCOL, SECOND_HAND, SETS

# The data sets of the paper: their numbers of images.
DATA_SETS = {
    "CelebA-HQ": 30_000,
    "FFHQ": 70_000,
    "Horse": 2_000_340,
    "Bedroom": 3_033_042,
    "CelebA": 202_599,
}
CROPS = ("center", "none")  # give the paper's pixels, and are equal for square images
CROPS_OF = {"CelebA": ("d2c",)}
# Rows of Table 3 that are not systems: the paper's naive distance, of all images, and two with as many images as a cell.
NAIVE_OF_ALL, NAIVE, OF_CLASS = "naive (all images)", "naive", "real images of the class"
REAL = "real images"  # how the names of rows of real images against others begin
OF_N = ", n = "  # follows a name if the cells of one class have several n


@dataclass(frozen=True)
class PaperProtocol:
    """How the paper measured a table: on which data, with which fields of our protocols.

    `data` is a data set and perhaps its image size, empty if every row of the table names its own.
    `unknown` says what the paper leaves open: then nothing is comparable.
    """

    data: str = ""
    fields: Fields = field(default_factory=dict)
    unknown: str = ""


_RECONSTRUCTION = PaperProtocol("CelebA-HQ 128", {"n": 30_000, "split": "all"})
_CLASS = {
    "n": 5_000,
    "reference": "all images of the class",
    "reference_n": 202_599,
    "acceptance": "u < p (the paper's text)",
}
_UNSPLIT = "the paper says neither how its images were split nor how it averaged"
_ADAM = "Adam 1e-3, batch 32, 9375 steps (the authors', without their flips)"
# By table and kind of row; "" is every other kind.
PROTOCOLS: dict[tuple[str, str], PaperProtocol] = {
    ("table1_reconstruction", ""): _RECONSTRUCTION,
    ("table2_ablation", ""): _RECONSTRUCTION,
    ("section5.3_probe", ""): PaperProtocol("CelebA-HQ", {"probe": _ADAM}, _UNSPLIT),
    ("table3_fewshot_fid", "binary"): PaperProtocol("CelebA 64", _CLASS | {"k": 50}),
    ("table3_fewshot_fid", "pu"): PaperProtocol(
        "CelebA 64", _CLASS | {"positives": 100, "unlabeled": 10_000}
    ),
    ("table3_fewshot_fid", "naive"): PaperProtocol("CelebA 64", {"n": 202_599}),
    ("table4_unconditional_fid", ""): PaperProtocol("", {"n": 50_000, "reference_n": 50_000}),
}
# Prefixes of the protocol fields that describe a metric's network.
_PARTS = {"lpips": "perceptual", "ppl": "perceptual", "fid": "feature", "arcface": "identity"}
PLAIN = "plain"  # the name of our own protocol
STEPS = ("inversion_steps", "decoding_steps", "latent_steps")


def letters(name: str) -> str:
    """The letters of a data set's name: all that readers and folders do not write in different ways."""
    return re.sub(r"[^a-z]", "", name.lower())


_TITLES = {letters(title): title for title in DATA_SETS}


def paper_dataset(name: str, protocol: Fields) -> str:
    """The name of a data set in the paper's tables, such as "FFHQ 128".

    Its own name if the paper has no such data set. A name alone proves nothing: the images are
    counted.
    """
    title = _TITLES.get(letters(name).removeprefix("lsun"))
    if title is None:
        return name
    size = part_of(protocol, "transform").get("image_size")
    return f"{title} {size}" if size else name


def _from_paper(record: Record, protocol: Fields, steps: int | None) -> Iterator[str]:
    """The differences between `record`, measured by `protocol`, and the paper's number of the same
    data at T = `steps`.
    """
    of_paper = PROTOCOLS[record.table, _kind_of_row(record)]
    if of_paper.unknown:
        yield of_paper.unknown
    yield from differing_fields({**protocol, "n": record.n}, of_paper.fields)
    if steps is not None and record.steps not in (None, steps):
        yield f"published at T = {steps}"
    for name in STEPS if steps is not None else ():
        if protocol.get(name) not in (None, record.steps, steps):
            yield f"{name.replace('_', ' ')} {protocol[name]}, published at T = {steps}"
    if protocol.get("solver") not in (None, "ddim"):
        yield f"solver {protocol['solver']}, published with ddim"
    precision = protocol.get("precision", protocol.get("dtype"))
    if precision != "float32":
        yield f"precision {value_text(precision)}, not float32"


def is_floor(record: Record) -> bool:
    """Whether a record is of real images against real images: what no sampler is expected to surpass."""
    return record.reference and record.system.startswith(REAL)


def _kind_of_row(record: Record) -> str:
    if record.table != "table3_fewshot_fid":
        return ""
    return "naive" if record.system == NAIVE_OF_ALL else record.setting.split("/")[0]


# ----------------------------------------------------------------------------------------------
# Numbers beside a record

# The fields, by "section.field", on which a metric depends under a protocol that ships, by the names of
# the protocol and of the metric.
FieldsOf = Callable[[str, str], Fields]
# The setting of the rows of a table whose codes are moved as in the published code; "": of every row.
LIKE_CHECKPOINTS = {BY_PROTOCOL: "", "latent_interpolation": "slerp"}


@dataclass(frozen=True)
class Published:
    """A published number beside one of ours; `differences` are the reasons not to compare them."""

    value: float
    metric: str
    source: str
    differences: Sequence[str]


def attach(record: Record, protocol: Fields, fields_of: FieldsOf | None = None) -> Record:
    """`record` with the published number of its metric, system and data; unchanged if there is none.

    `protocol` holds the fields that the record was measured by, with the `transform` and number
    (`dataset_images`) of the data set's images. `fields_of` knows the protocols that published numbers
    follow; without it, only the numbers of the paper are attached. Of several numbers the record gets
    the one that differs least. `not_comparable` lists the differences, and is empty only if there are
    none.
    """
    numbers = [*_of_paper(record, protocol)]
    if fields_of is not None:
        numbers += _of_checkpoint(record, protocol, fields_of)
        numbers += _of_code(record, protocol, fields_of)
    if not numbers:
        return record
    nearest = min(numbers, key=lambda number: len(number.differences))  # of equal ones the first
    return replace(
        record,
        published=nearest.value,
        published_metric=nearest.metric,
        published_source=nearest.source,
        not_comparable="; ".join(nearest.differences),
    )


def _of_checkpoint(record: Record, protocol: Fields, fields_of: FieldsOf) -> Iterator[Published]:
    """The numbers of the record's checkpoint, which its protocol names in the field "checkpoint"."""
    if LIKE_CHECKPOINTS.get(record.table) not in ("", record.setting):
        return
    data = SETS.get(record.dataset, record.dataset)
    for name in protocol.get("checkpoint", ()):
        for number in tokenizers.published_for(name, record.metric):
            if number.set not in ("", data):
                continue
            published: Fields = {}
            if number.protocol:
                published = {**fields_of(number.protocol, number.metric), "precision": "float32"}
            hand = " (second-hand)" if number.mark == SECOND_HAND else ""
            source = f"{number.source}{hand}; {number.checkpoint}, recognised by its name"
            ours = _as_measured(protocol)
            reasons = tuple(tokenizers.differences(number, record, ours, published))
            yield Published(number.value, number.metric, source, reasons)


def _as_measured(protocol: Fields) -> Fields:
    """The fields as measured: the crop is that of the data set, and the posterior's code that of the model."""
    transform, model = part_of(protocol, "transform"), part_of(protocol, "model")
    measured = {"resolution": transform.get("image_size"), "pixels.crop": transform.get("crop")}
    measured |= {"pixels.posterior": model.get("posterior")}
    return {**protocol, **{name: value for name, value in measured.items() if value is not None}}


def _of_code(record: Record, protocol: Fields, fields_of: FieldsOf) -> Iterator[Published]:
    """The numbers of codes of the record's system on its data.

    Only a record whose protocol has all fields of the metric is a number of a code.
    """
    for number in representations.published():
        if number.metric != record.metric or plain(number.data) != plain(record.dataset):
            continue
        if plain(number.system.partition(" (")[0]) != plain(record.system):
            continue
        if fields_of(PLAIN, record.metric).keys() <= protocol.keys():
            published = fields_of(number.protocol, number.metric) if number.protocol else {}
            source = f"{number.source}, {', '.join(number.origin)}: {number.system}"
            reasons = tuple(representations.differences(number, protocol, published))
            yield Published(float(number.value), number.metric, source, reasons)


# ----------------------------------------------------------------------------------------------
# What is shown

OTHERS = ("set ", "trunk ")  # how the reasons begin that name other data, or another network


def stands_beside(record: Record) -> bool:
    """Whether the published number of a record is shown without being asked for: it is of the network of
    the record's metric, and of its data, of which the paper's sets have all images.
    """
    reasons = record.not_comparable.split("; ")
    if record.published is None or any(reason.startswith(OTHERS) for reason in reasons):
        return False
    if record.published_metric not in ("", record.metric):
        is_renamed = tokenizers.NAMES.get(record.metric) == record.published_metric
        if not is_renamed or "protocol unknown" in reasons:
            return False
    count = DATA_SETS.get(_TITLES.get(letters(record.dataset).removeprefix("lsun"), ""))
    return count is None or record.measured_by.get("dataset_images", count) == count


def without_published(record: Record) -> Record:
    """The record without the published number beside it."""
    return replace(
        record, published=None, published_metric="", published_source="", not_comparable=""
    )


# ----------------------------------------------------------------------------------------------
# The numbers of the paper

# Each table of the paper: the benchmark that measures it, and its name there.
TABLES = {
    "table1_reconstruction": ("reconstruction", "Table 1"),
    "table2_ablation": ("reconstruction", "Table 2"),
    "section5.3_probe": ("probes", "Section 5.3"),
    "table3_fewshot_fid": ("fewshot", "Table 3"),
    "table4_unconditional_fid": ("unconditional", "Table 4"),
}

_INVERTED, _RANDOM = "x_T inverted", "x_T random"
_LONG, _SHORT = "trained on 130M images", "trained on 48M images"

# table -> (our system, our setting) -> (the paper's system, the paper's setting). In these tables,
# what is not listed has no published value: DDIM from a random x_T, or the AUROC of one attribute.
# Section 5.3 does not say how it averages over attributes: its number is shown beside both means.
NAMES: dict[str, dict[tuple[str, str], tuple[str, str]]] = {
    "table1_reconstruction": {
        ("DDIM", _INVERTED): ("DDIM", ""),
        ("DiffAE", _INVERTED): ("DiffAE", ""),
        ("DiffAE", _RANDOM): ("DiffAE (random x_T)", ""),
    }
    | {(n, ""): (n, "") for n in ("StyleGAN2 (W)", "StyleGAN2 (W+)", "VQ-GAN", "VQ-VAE2", "NVAE")},
    "table2_ablation": {
        ("DDIM", _INVERTED): ("DDIM", _LONG),
        ("DiffAE 512D 48M", _RANDOM): ("DiffAE 512D (random x_T)", _SHORT),
    }
    | {(ours, _INVERTED): ("DiffAE 512D", _LONG) for ours in ("DiffAE", "DiffAE 512D")}
    | {(ours, _RANDOM): ("DiffAE 512D (random x_T)", _LONG) for ours in ("DiffAE", "DiffAE 512D")}
    | {(f"DiffAE {d}D", _RANDOM): (f"DiffAE {d}D (random x_T)", _SHORT) for d in (256, 128, 64)},
    "section5.3_probe": {
        (ours + probe, mean): (in_paper, "linear classifier")
        for ours, in_paper in (
            ("DiffAE", "DiffAE z_sem (512D)"),
            ("DiffAE z_sem", "DiffAE z_sem (512D)"),
            ("StyleGAN2 (W)", "StyleGAN2 W (inverted, 512D)"),
        )
        for probe in ("", ", Adam probe")
        for mean in ("mean", "prevalence-weighted mean")
    },
}


def lookup(
    table: str, system: str, *, setting: str, steps: int | None, metric: str, dataset: str = ""
) -> Record | None:
    """The paper's number for a cell, by the harness's names, or None if the paper has none.

    `dataset` matters to Table 4. If the paper gives a cell at one T alone (Tables 1 and 3: T = 100),
    that number is returned whatever `steps` is: compare its own.
    """
    key = (table, *_their_names(table, system, setting), metric)
    cells = _by_cell().get(key, [])
    if table == "table4_unconditional_fid":  # it is given by data set
        cells = [cell for cell in cells if plain(cell.dataset) == plain(dataset)]
    at_steps = [cell for cell in cells if steps is not None and cell.steps == steps]
    return next(iter(at_steps or (cells if len(cells) == 1 else [])), None)


def _of_paper(record: Record, protocol: Fields) -> Iterator[Published]:
    """The paper's number for the record's cell.

    None if the paper has it by another network or on other data: such a number would only mislead. A
    field that is missing in `protocol` counts as a difference.
    """
    of_others = record.table == "section5.3_probe" and "attributes" in protocol  # than CelebA's
    if record.table not in TABLES or of_others:
        return
    r, data = record, paper_dataset(record.dataset, protocol)
    cell = lookup(
        r.table, r.system, setting=r.setting, steps=r.steps, metric=r.metric, dataset=data
    )
    weights = f"{_PARTS.get(r.metric, '')}_weights"  # in protocols of weights that are not the published ones
    if cell is None or cell.value is None or weights in protocol:
        return
    if _is_of_paper(record, protocol, cell, data):
        reasons = tuple(_from_paper(record, protocol, cell.steps))
        yield Published(cell.value, cell.metric, cell.published_source, reasons)


def _is_of_paper(record: Record, protocol: Fields, cell: Record, measured: str) -> bool:
    """Whether a number was measured on the data of the paper's cell: all images, with the same pixels.

    `measured` is the name of its data in the paper's tables.
    """
    published = PROTOCOLS[record.table, _kind_of_row(record)].data or cell.dataset
    title = published.partition(" ")[0]
    if title not in DATA_SETS or published not in (measured, measured.partition(" ")[0]):
        return False
    has_all = protocol.get("dataset_images") == DATA_SETS[title]
    return has_all and part_of(protocol, "transform").get("crop") in CROPS_OF.get(title, CROPS)


def _their_names(table: str, system: str, setting: str) -> tuple[str, str]:
    if table in NAMES:
        return NAMES[table].get((system, setting), ("", ""))
    if table == "table3_fewshot_fid":
        return ("Naive" if system == NAIVE_OF_ALL else system), setting
    if table == "table4_unconditional_fid":
        return system, "50k samples"
    return system, ""


@cache
def published_records() -> tuple[Record, ...]:
    """Every number of the paper, in its own names, as records without a protocol of ours."""
    return tuple(map(_record, rows_of("diffae_2022.csv")))


@cache
def _by_cell() -> dict[tuple[str, str, str, str], list[Record]]:
    """The same by table, system, setting and metric."""
    return grouped(published_records(), lambda r: (r.table, r.system, r.setting, r.metric))


def _record(row: Mapping[str, str]) -> Record:
    benchmark, place = TABLES[row["table"]]
    metric = METRICS[row["metric"]]
    return Record(
        benchmark,
        row["table"],
        row["system"],
        row["dataset"],
        split="",
        setting=row["setting"],
        metric=row["metric"],
        steps=int(row["steps"]) if row["steps"] else None,
        estimate=Estimate(float(row["value"])),
        direction=metric.direction,
        unit=metric.unit,
        published_source=f"Preechakul et al. 2022, {place}",
    )
