"""How published numbers are recognised: the names of a checkpoint, and the fields of the protocols that
they follow. `reports.records.published` attaches them.
"""

from collections.abc import Mapping
from pathlib import Path

from benchmarks.metrics.codes import schema as codes
from benchmarks.metrics.codes.table import fields
from benchmarks.metrics.protocols import schema
from benchmarks.metrics.protocols.library import Value
from diffae.system.files import read_json


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


def fields_of(protocol: str, metric: str) -> Mapping[str, Value]:
    """The fields, by "section.field", that decide a metric under a protocol of reconstructions or, if
    the metric is a number of codes, of codes.
    """
    if metric in codes.NUMBERS:
        return fields(metric, codes.named(protocol))
    return schema.named(protocol).describe(metric)
