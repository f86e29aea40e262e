"""The numbers that Preechakul et al. 2022 (Diffusion Autoencoders, CVPR) published.

`lookup` finds the paper's value for a cell of one of its tables, by the harness's names; `attach`
writes it into a record together with the reasons, if any, why the two must not be compared. The
reasons come from comparing the record's protocol with the paper's (`reports.records.comparable`).
"""

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from typing import Any, TypeVar

from reports.records.comparable import NAIVE_OF_ALL, differences, letters, paper_dataset
from reports.records.metrics import METRICS, published_name
from reports.records.record import Record

R = TypeVar("R", bound=Record)
Key = tuple[str, str, str, str]  # table, system, setting and metric

FILES = ("diffae_2022.csv", "diffae_2022_appendix_secondhand.csv")

# Each table of the paper: the benchmark that measures it, and its name there.
TABLES = {
    "table1_reconstruction": ("reconstruction", "Table 1"),
    "table2_ablation": ("reconstruction", "Table 2"),
    "section5.3_probe": ("probes", "Section 5.3"),
    "table3_fewshot_fid": ("fewshot", "Table 3"),
    "table4_unconditional_fid": ("unconditional", "Table 4"),
    "appendix_f_smoothness": ("interpolation", "Appendix F"),
    "appendix_g_identity": ("identity", "Appendix G"),
}

# Table 4 is given by data set. A data set of ours that is none of them is shown beside this one.
NEAREST_DATASET = {"table4_unconditional_fid": "CelebA 64"}

# The data sets whose attributes are those that Section 5.3 averages over: its number stands beside
# no mean over others.
WITH_ATTRIBUTES = {"celebahq", "celeba", "portraits"}

_LONG, _SHORT = "trained on 130M images", "trained on 48M images"
_MEAN, _WEIGHTED = "mean", "prevalence-weighted mean"

# table -> (our system, our setting) -> (the paper's system, the paper's setting). In these tables,
# what is not listed has no published value: DDIM from a random x_T, or the AUROC of one attribute.
# Section 5.3 does not say how it averages over attributes: its number is shown beside both means.
NAMES: dict[str, dict[tuple[str, str], tuple[str, str]]] = {
    "table1_reconstruction": {
        ("DDIM", "x_T inverted"): ("DDIM", ""),
        ("DiffAE", "x_T inverted"): ("DiffAE", ""),
        ("DiffAE", "x_T random"): ("DiffAE (random x_T)", ""),
    }
    | {
        (gan, ""): (gan, "")
        for gan in ("StyleGAN2 (W)", "StyleGAN2 (W+)", "VQ-GAN", "VQ-VAE2", "NVAE")
    },
    "table2_ablation": {
        ("DDIM", "x_T inverted"): ("DDIM", _LONG),
        ("DiffAE", "x_T inverted"): ("DiffAE 512D", _LONG),
        ("DiffAE", "x_T random"): ("DiffAE 512D (random x_T)", _LONG),
        ("DiffAE 512D", "x_T inverted"): ("DiffAE 512D", _LONG),
        ("DiffAE 512D", "x_T random"): ("DiffAE 512D (random x_T)", _LONG),
        ("DiffAE 512D 48M", "x_T random"): ("DiffAE 512D (random x_T)", _SHORT),
    }
    | {
        (f"DiffAE {size}D", "x_T random"): (f"DiffAE {size}D (random x_T)", _SHORT)
        for size in (256, 128, 64)
    },
    "section5.3_probe": {
        (ours, mean): (theirs, "linear classifier")
        for ours, theirs in (
            ("DiffAE", "DiffAE z_sem (512D)"),
            ("DiffAE, Adam probe", "DiffAE z_sem (512D)"),
            ("DiffAE z_sem", "DiffAE z_sem (512D)"),
            ("StyleGAN2 (W)", "StyleGAN2 W (inverted, 512D)"),
            ("StyleGAN2 (W), Adam probe", "StyleGAN2 W (inverted, 512D)"),
        )
        for mean in (_MEAN, _WEIGHTED)
    },
}


@dataclass(frozen=True)
class Published:
    """A published number; `steps` is None where the table does not depend on T."""

    value: float
    dataset: str
    steps: int | None
    metric: str
    source: str


def lookup(
    table: str,
    system: str,
    *,
    setting: str,
    steps: int | None,
    metric: str,
    dataset: str = "",
) -> Published | None:
    """The paper's value for a cell, by the harness's names, or None if the paper has none.

    `dataset` matters to Table 4, and to Section 5.3, whose number is of CelebA's 40 attributes. If the paper gives a cell at one T alone (Tables 1 and 3:
    T = 100), that value is returned whatever `steps` is: compare `Published.steps`. For a
    stand-in metric such as fd_effnet the value of the original (fid) is returned, and
    `Published.metric` names the original; none for a stand-in that is read the other way, such as a
    distance in place of a similarity.
    """
    original = published_name(metric)
    if original != metric and METRICS[original].direction != METRICS[metric].direction:
        return None
    theirs, their_setting = _their_names(table, system, setting)
    key = (table, theirs, their_setting, original)
    if table == "section5.3_probe" and dataset and letters(dataset) not in WITH_ATTRIBUTES:
        return None
    found = _of_dataset(table, _published().get(key, ()), dataset)
    at_steps = [value for value in found if steps is not None and value.steps == steps]
    if at_steps or len(found) != 1:
        return at_steps[0] if at_steps else None
    return found[0]


def attach(record: R, protocol: Mapping[str, Any]) -> R:
    """`record` with the paper's value for its cell; unchanged if the paper has none.

    `protocol` holds the fields that the record was measured by, with the `transform` and number
    (`dataset_images`) of the data set's images. `not_comparable` lists the differences from the
    paper's protocol, and is empty only if there are none: a missing field counts as a difference.
    """
    data = paper_dataset(record.dataset, protocol)
    found = lookup(
        record.table,
        record.system,
        setting=record.setting,
        steps=record.steps,
        metric=record.metric,
        dataset=data,
    )
    if found is None:
        return record
    return replace(
        record,
        published=found.value,
        published_metric=found.metric,
        published_source=found.source,
        not_comparable="; ".join(differences(record, protocol, found.dataset, found.steps)),
    )


# ----------------------------------------------------------------------------------------------
# Looking up


def _their_names(table: str, system: str, setting: str) -> tuple[str, str]:
    if table in NAMES:
        return NAMES[table].get((system, setting), ("", ""))
    if table == "table3_fewshot_fid":
        return ("Naive" if system == NAIVE_OF_ALL else system), setting
    if table == "table4_unconditional_fid":
        return system, "50k samples"
    if table == "appendix_g_identity":
        return system, setting.rsplit(" ", 1)[0]
    if table == "appendix_f_smoothness" and setting != "trimmed mean":  # the usual PPL
        return "", ""
    return system, ""


def _of_dataset(table: str, found: tuple[Published, ...], dataset: str) -> list[Published]:
    if table not in NEAREST_DATASET:
        return list(found)
    same = [value for value in found if _plain(value.dataset) == _plain(dataset)]
    return same or [value for value in found if value.dataset == NEAREST_DATASET[table]]


def _plain(name: str) -> str:
    """A data set's name in a canonical form: `FFHQ 128`, `ffhq-128` and `ffhq128` are equal."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def published_records() -> list[Record]:
    """Every number of the paper, in its own names, as records without a protocol of ours."""
    return [
        Record(
            benchmark=TABLES[row["table"]][0],
            table=row["table"],
            system=row["system"],
            dataset=row["dataset"],
            split="",
            setting=row["setting"],
            steps=int(row["steps"]) if row["steps"] else None,
            metric=row["metric"],
            value=float(row["value"]),
            direction=METRICS[row["metric"]].direction,
            unit=METRICS[row["metric"]].unit,
            note="; ".join(filter(None, (_source(row), row["std"] and f"printed ± {row['std']}"))),
        )
        for row in _rows()
    ]


@cache
def _published() -> dict[Key, tuple[Published, ...]]:
    values: dict[Key, tuple[Published, ...]] = {}
    for row in _rows():
        key = (row["table"], row["system"], row["setting"], row["metric"])
        values[key] = (*values.get(key, ()), _parse(row))
    return values


def _rows() -> Iterator[dict[str, str]]:
    for name in FILES:
        with resources.files("reports").joinpath("published", name).open(encoding="utf-8") as file:
            yield from csv.DictReader(file)


def _parse(row: dict[str, str]) -> Published:
    return Published(
        value=float(row["value"]),
        dataset=row["dataset"],
        steps=int(row["steps"]) if row["steps"] else None,
        metric=row["metric"],
        source=_source(row),
    )


def _source(row: Mapping[str, str]) -> str:
    label = row.get("source", "")
    place = TABLES[row["table"]][1]
    return f"Preechakul et al. 2022, {place}" + (f" ({label})" if label else "")
