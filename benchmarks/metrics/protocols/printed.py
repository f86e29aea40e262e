"""Published numbers beside ours, for tables of reconstruction by protocol.

A row names its checkpoint in the field "checkpoint" of its protocol, by the names that `names_of`
gives, and has the fields of `Protocol.describe`. Of several numbers for one checkpoint the row gets
the one that differs least.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.metrics.protocols import schema
from diffae.system.files import read_json
from reports.records.record import Record
from reports.records.tokenizers import SECOND_HAND, SETS, Number, differences, published_for

R = TypeVar("R", bound=Record)


def names_of(checkpoint: Path) -> list[str]:
    """What a checkpoint may be called: a folder's name and the `_name_or_path` of its config.json,
    the name of a file without its ending.

    Raises UserError if config.json is damaged.
    """
    if not checkpoint.is_dir():
        return [checkpoint.stem]
    config = checkpoint / "config.json"
    stated = read_json(config).get("_name_or_path") if config.exists() else None
    return [checkpoint.absolute().name, *([Path(stated).name] if isinstance(stated, str) else [])]


def attach(record: R, protocol: Mapping[str, Any]) -> R:
    """`record` with the nearest published number of its checkpoint; unchanged if there is none, or none
    on its data.

    `protocol` holds the fields that it was measured by.
    """
    known = [published_for(name, record.metric) for name in protocol.get("checkpoint", ())]
    data = SETS.get(record.dataset, record.dataset)
    numbers = [number for one in known for number in one if number.set in ("", data)]
    if not numbers:
        return record
    ours = _ours(protocol)
    found = [(list(differences(one, record, ours, _theirs(one))), one) for one in numbers]
    why, number = min(found, key=lambda each: len(each[0]))  # of equal ones the first
    source = f"{number.source}{' (second-hand)' * (number.mark == SECOND_HAND)}"
    row = replace(record, published=number.value, published_metric=number.metric)
    where = f"{source}; {number.checkpoint}, recognised by its name"
    return replace(row, published_source=where, not_comparable="; ".join(why))


def _theirs(number: Number) -> dict[str, Any]:
    if not number.protocol:
        return {}
    return schema.named(number.protocol).describe(number.metric) | {"precision": "float32"}


def _ours(protocol: Mapping[str, Any]) -> dict[str, Any]:
    """The fields as measured: the crop is the data set's, and the posterior's code the model's."""
    transform, model = protocol.get("transform", {}), protocol.get("model", {})
    measured = {"resolution": transform.get("image_size"), "pixels.crop": transform.get("crop")}
    measured |= {"pixels.posterior": model.get("posterior")}
    return {**protocol, **{name: value for name, value in measured.items() if value is not None}}
