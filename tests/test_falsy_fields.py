"""What is written and read back is equal, also where a field is 0, empty, False or nothing.

Every dataclass of which a file is made is written with each field at each falsy value of its type,
beside fields that are none. Fields come from the dataclasses, so a new one is covered.
"""

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np
import pytest
import torch

from diffae.checkpoints import trained_on
from diffae.checkpoints.trained_on import TrainedOn
from diffae.data.fingerprint import Survey
from diffae.data.prepared import HEADER, Header
from diffae.data.transforms import Transform
from diffae.images.classifier import Classifier
from diffae.networks.config import LatentConfig, ModelConfig
from diffae.system.errors import UserError
from probes import LinearProbe
from reports.records.estimate import Error, Estimate, Influence
from reports.records.influences import read_influences, write_influences
from reports.records.metric import Margin, Metric
from reports.records.reading import from_plain, to_plain
from reports.records.record import COLUMNS, LOWER, Record, read_records, record_key, write_records
from reports.records.specs import TableSpec


def falsy(hint: Any) -> Iterator[Any]:
    """The falsy values that a type admits, and those numbers that are equal to nothing."""
    if NoneType in get_args(hint):
        yield None
        for part in get_args(hint):
            yield from falsy(part) if part is not NoneType else ()
        return
    kind = get_origin(hint) or hint
    if kind is float:
        yield from (0.0, -0.0, math.nan, math.inf)
    elif kind in (int, bool, str, tuple, list, dict):
        yield kind()


@dataclass(frozen=True)
class Kind:
    """A file: an instance none of whose fields is falsy, how it is written and read, the fields
    that may refuse a falsy value by an error, and those that have one value alone.
    """

    full: Any
    again: Callable[[Any, Path], Any]
    refuses: str = ""
    fixed: str = ""


def by_csv(record: Record, folder: Path) -> Record:
    write_records(folder / "records.csv", [record])
    (found,) = read_records(folder / "records.csv")
    return found


def estimate_by_csv(estimate: Estimate, folder: Path) -> Estimate:
    return by_csv(replace(RECORD, estimate=estimate), folder).estimate


def error_by_csv(error: Error, folder: Path) -> Error | None:
    return estimate_by_csv(Estimate(0.5, error=error), folder).error


def by_json(instance: Any, folder: Path) -> Any:
    return from_plain(type(instance), json.loads(json.dumps(to_plain(instance))))


def by_training(record: TrainedOn, folder: Path) -> TrainedOn | None:
    (folder / trained_on.NOTE).write_text(json.dumps({"trained_on": asdict(record)}))
    return trained_on.read(folder)


def by_header(header: Header, folder: Path) -> Header:
    (folder / HEADER).write_bytes(header.to_bytes())
    return Header.read(folder)


def by_safetensors(classifier: Classifier, folder: Path) -> Classifier:
    classifier.save(folder / "classifier.safetensors")
    return Classifier.load(folder / "classifier.safetensors")


def by_config(config: ModelConfig, folder: Path) -> ModelConfig:
    return ModelConfig.from_json(json.loads(json.dumps(config.to_json())))


def by_npz(influence: Influence, folder: Path) -> Influence:
    record = replace(RECORD, estimate=Estimate(0.5, (influence,)))
    write_influences(folder / "influences.npz", [record])
    return read_influences(folder / "influences.npz")[record_key(record)][0]


RECORD = Record(
    "reconstruction", "table1", "DiffAE", "portraits", "test", "x_T random", 10, "ssim",
    Estimate(0.5, n=50), LOWER, "dB", 0.7, "fid", "the paper", "another T", "p0", "a note", True,
    "ddim", 20,
)  # fmt: skip
EARLIER = TrainedOn("smoke", "others", "valid", 5, 7)
TENSORS = torch.tensor([[0.0, -0.0, 1.0]]), torch.zeros(1), torch.ones(3), torch.ones(3)
KINDS = {
    "records.csv": Kind(
        RECORD, by_csv, "direction", " ".join({f.name for f in fields(Record)} - {*COLUMNS})
    ),
    "records.csv, an estimate": Kind(
        Estimate(0.5, n=50), estimate_by_csv, fixed="influences error scores why notes"
    ),
    "records.csv, an error": Kind(Error(0.1, math.inf), error_by_csv, "stderr df"),
    "run.json, a metric": Kind(
        Metric(LOWER, "dB", "Title", "paper", label="L", digits=1, paper_digits=2,
               margin=Margin(0.5, "why"), network="n", stands_in_for="fid", only_on="faces",
               depends_on_n=True, unbiased=True, least=-1.0, most=1.0,
               neutral=1.0, is_exact=True),
        by_json, "direction least most neutral",
    ),
    "run.json, a margin": Kind(Margin(0.5, "why", True), by_json, "size"),
    "run.json, a table": Kind(
        TableSpec("t", "T", "C", "s", ("system",), ("steps",), ("ssim",), True, "map", True,
                  ("a",), ("b",), ("ssim",), ("a",), 5, (("ssim", "steps"),),
                  ("solver",)),
        by_json, "name source rows columns panels",
    ),
    "training.json": Kind(
        TrainedOn("smoke", "portraits", "train", 10, 3, "seeded", {"crop": "center"}, "ab",
                  {"seed": 1}, EARLIER),
        by_training,
    ),
    "prepared.json": Kind(
        Header(1, "faces", 10, 8, 16, Transform(16), "seeded", ["Male"], ["x"], {"a": "b"},
               2, Survey("ab", 10, 1, 1), "st", {"pixels.npy": "a", "labels.npz": "b", "names.json": "c"}),
        by_header, "version transform survey sha256",
    ),
    "config.json": Kind(
        ModelConfig("diffusion_autoencoder", 8, 8, (1,), (1,), 8, 4, 1, (8,), 4, 0.5, "velocity",
                    LatentConfig(num_layers=2, hidden_channels=8, time_channels=4)),
        by_config,
        "kind image_size model_channels channel_mult encoder_channel_mult embed_channels z_channels "
        "num_res_blocks norm_groups prediction dropout",
    ),
    "classifier.safetensors": Kind(
        Classifier(("Male",), LinearProbe(*TENSORS), "ab", "learnt"), by_safetensors, "names"
    ),
    "influences.npz": Kind(Influence("images", np.array([0.5, -0.0], np.float32)), by_npz, fixed="values"),
}  # fmt: skip


def text(instance: Any) -> str:
    """All fields, with the sign of zero and NaN."""
    return repr([(field.name, getattr(instance, field.name)) for field in fields(instance)])


CASES = [
    pytest.param(name, field.name, id=f"{name}: {field.name}")
    for name, kind in KINDS.items()
    for field in fields(kind.full)
    if field.name not in kind.fixed.split()
]


@pytest.mark.parametrize("name, field", CASES)
def test_a_falsy_field_is_read_as_it_was_written(name, field, tmp_path):
    kind = KINDS[name]
    assert getattr(kind.full, field), "none of its values may be falsy"
    for number, value in enumerate(falsy(get_type_hints(type(kind.full))[field])):
        folder = tmp_path / str(number)
        folder.mkdir()
        try:
            given = replace(kind.full, **{field: value})
            found = kind.again(given, folder)
        except (UserError, ValueError):
            assert field in kind.refuses.split(), (field, value)
            continue
        assert text(found) == text(given), (field, value)


@pytest.mark.parametrize("name", KINDS)
def test_a_full_instance_is_read_as_it_was_written(name, tmp_path):
    kind = KINDS[name]
    assert text(kind.again(kind.full, tmp_path)) == text(kind.full)
