"""Whether a number may be compared with the paper's: its protocol is checked against the paper's.

`PROTOCOLS` says how the paper measured each of its tables, in the fields of our protocols. A name
only decides which data set is meant, and a profile decides nothing: 60 images in a folder called
`ffhq` are not FFHQ, and a run of a different profile is comparable if its fields are the paper's.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from reports.records.metrics import published_name
from reports.records.record import Record

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

    `data` is a data set and its image size, empty if every row of the table names its own.
    `unknown` says what the paper leaves open: then nothing is comparable.
    """

    data: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)
    unknown: str = ""


_RECONSTRUCTION = PaperProtocol("CelebA-HQ 128", {"n": 30_000, "split": "all"})
_CLASS = {
    "n": 5_000,
    "reference": "all images of the class",
    "reference_n": 202_599,
    "acceptance": "u < p (the paper's text)",
}
_SECONDHAND = PaperProtocol(unknown="published protocol not known at first hand")
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
    ("appendix_f_smoothness", ""): _SECONDHAND,
    ("appendix_g_identity", ""): _SECONDHAND,
}
# Prefixes of the protocol fields that describe a metric's network.
_PARTS = {"lpips": "perceptual", "ppl": "perceptual", "fid": "feature", "arcface": "identity"}
STEPS = ("inversion_steps", "decoding_steps", "latent_steps")


def paper_dataset(name: str, protocol: Mapping[str, Any]) -> str:
    """The name of a data set in the paper's tables, such as "FFHQ 128".

    Its own name if the paper has no such data set. A name alone proves nothing: the images are
    counted.
    """
    title = {letters(title): title for title in DATA_SETS}.get(letters(name).removeprefix("lsun"))
    size = _transform(protocol).get("image_size")
    return f"{title} {size}" if title and size else name


def letters(name: str) -> str:
    """The letters of a data set's name: all that readers and folders do not write in different ways."""
    return re.sub(r"[^a-z]", "", name.lower())


def differences(
    record: Record, protocol: Mapping[str, Any], dataset: str, steps: int | None
) -> Iterator[str]:
    """The differences between `record`, measured by `protocol`, and the paper's number on `dataset`
    at T = `steps`.
    """
    theirs = PROTOCOLS[record.table, _kind_of_row(record)]
    if published_name(record.metric) != record.metric:
        yield "another feature network"
    if theirs.unknown:
        yield theirs.unknown
    if not protocol:
        yield "no protocol recorded"
        return
    yield from _of_data(record.dataset, protocol, theirs.data or dataset)
    yield from of_fields({**protocol, "n": record.n}, theirs.fields)
    yield from _of_steps(record.steps, steps, protocol)
    yield from _of_networks(protocol, _PARTS.get(record.metric, ""))


def _of_data(name: str, protocol: Mapping[str, Any], theirs: str) -> Iterator[str]:
    """Differences in the data: another data set, another size, only a part of it, or other pixels."""
    ours = paper_dataset(name, protocol)
    (title, size), (our_title, our_size) = map(_title_and_size, (theirs, ours))
    if not title:  # an appendix, which names none
        return
    if our_title != title or (size and our_size != size):
        yield f"measured on {ours}, published on {theirs}"
    if our_title != title:
        return
    images, crop = protocol.get("dataset_images"), _transform(protocol).get("crop")
    if images != DATA_SETS[title]:
        yield f"{name} has {_text(images)} images here, {title} has {DATA_SETS[title]:,}"
    if crop not in (crops := CROPS_OF.get(title, CROPS)):
        yield f"crop {crop}, published with {crops[0]}"


def of_fields(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Iterator[str]:
    """The fields of `theirs` that differ in `ours`; a name ends with the part after its last dot."""
    for name, value in theirs.items():
        if ours.get(name) != value:
            words = name.rpartition(".")[2].replace("_", " ")
            yield f"{words} {_text(ours.get(name))}, published with {_text(value)}"


def _of_steps(ours: int | None, theirs: int | None, protocol: Mapping[str, Any]) -> Iterator[str]:
    if theirs is None:
        return
    if ours not in (None, theirs):
        yield f"published at T = {theirs}"
    for name in STEPS:
        if protocol.get(name) not in (None, ours, theirs):
            yield f"{name.replace('_', ' ')} {protocol[name]}, published at T = {theirs}"


def _of_networks(protocol: Mapping[str, Any], part: str) -> Iterator[str]:
    """Differences in the networks: other weights behind the metric, another solver or another
    precision of the model.
    """
    if f"{part}_weights" in protocol:
        yield f"{part} network with weights that are not the published ones"
    if protocol.get("solver") not in (None, "ddim"):
        yield f"solver {protocol['solver']}, published with ddim"
    precision = protocol.get("precision", protocol.get("dtype"))
    if precision != "float32":
        yield f"precision {_text(precision)}, not float32"


def scale_name(system: str) -> str:
    """`naive` of "naive, n = 118"."""
    return system.partition(OF_N)[0]


def is_floor(record: Record) -> bool:
    """Whether a record is of real images against real images: what no sampler is expected to surpass."""
    return record.reference and record.system.startswith(REAL)


def _kind_of_row(record: Record) -> str:
    if record.table != "table3_fewshot_fid":
        return ""
    return "naive" if record.system == NAIVE_OF_ALL else record.setting.split("/")[0]


def _transform(protocol: Mapping[str, Any]) -> Mapping[str, Any]:
    found = protocol.get("transform")
    return found if isinstance(found, Mapping) else {}


def _title_and_size(text: str) -> tuple[str, str]:
    """`("FFHQ", "128")` of "FFHQ 128"; no title if it is not one of the paper's data sets."""
    match = re.fullmatch(rf"({'|'.join(DATA_SETS)})(?: (\d+))?", text)
    return (match[1], match[2] or "") if match else ("", "")


def _text(value: object) -> str:
    if value is None:
        return "not recorded"
    return f"{value:,}" if type(value) is int else str(value)
