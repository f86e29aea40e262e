"""Published numbers of image autoencoders, each with what is known of how it was measured.

    published_for("sd-vae-ft-ema", "rfid")      every number printed for this checkpoint

Evaluation codes print different numbers for one checkpoint, so a number is comparable only if its
protocol is known and agrees (`published.attach`). A checkpoint is recognised by its name alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from reports.records.reading import Fields, differing_fields, plain, rows_of
from reports.records.record import Record

# The names that readers give to whole data sets.
SETS = {"imagenet-val": "ImageNet-1k val", "coco-val2017": "COCO 2017 val"}
SECOND_HAND = "S"
BY_PROTOCOL = "reconstruction_by_protocol"  # their table; a row's setting is the protocol
NAMES = {"lpips_vgg": "lpips"}  # a metric that papers print under another name


@dataclass(frozen=True)
class CheckpointNumber:
    """A published number of a checkpoint; what is not stated is empty or None.

    protocol    the name of one of ours that its code follows
    reference   of an rFID, as in protocols
    spread      what is printed after ±
    mark        P: read on the project's own page; S: second-hand
    """

    checkpoint: str
    set: str
    n: int | None
    resolution: int | None
    reference: str
    protocol: str
    metric: str
    value: float
    spread: float | None
    source: str
    mark: str


def published_for(checkpoint: str, metric: str) -> tuple[CheckpointNumber, ...]:
    """The published numbers of a checkpoint by this metric; a stand-in has none."""
    name, own = NAMES.get(metric, metric), plain(checkpoint)
    return tuple(n for n in published() if plain(n.checkpoint) == own and n.metric == name)


def differences(
    number: CheckpointNumber, record: Record, measured: Fields, printed: Fields
) -> Iterator[str]:
    """The differences between `record` and a published number, in words.

    `measured` and `printed` hold the fields of the two protocols by "section.field", `printed` nothing
    if the number's protocol is unknown; `measured` also has the "resolution" in pixels.
    """
    if number.mark == SECOND_HAND:
        yield "second-hand"
    fields = {"set": number.set, "n": number.n, "resolution": number.resolution, **printed}
    if not printed:
        yield "protocol unknown"
        fields |= {"rfid.reference": number.reference} if number.metric == "rfid" else {}
    stated = {name: value for name, value in fields.items() if value not in ("", None)}
    yield from (f"{name.rpartition('.')[2]} not stated" for name in fields if name not in stated)
    of_record = {"set": SETS.get(record.dataset, record.dataset), "n": record.n}
    yield from differing_fields({**measured, **of_record}, stated)


@cache
def published() -> tuple[CheckpointNumber, ...]:
    """Every published number, in the order of the file."""
    return tuple(map(_parse, rows_of("tokenizers.csv")))


def _parse(row: Fields) -> CheckpointNumber:
    numbers = {name: int(row[name]) if row[name] else None for name in ("n", "resolution")}
    spread = float(row["spread"]) if row["spread"] else None
    return CheckpointNumber(**{**row, **numbers, "value": float(row["value"]), "spread": spread})
