"""The numbers that Preechakul et al. 2022 (Diffusion Autoencoders, CVPR) published.

`lookup` finds the paper's value for a cell of one of its tables, by the harness's names; `attach`
writes it into a record together with the reasons, if any, why the two must not be compared. The
reasons come from comparing the record's protocol with the paper's (`reports.records.comparable`).
"""

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from importlib import resources
from typing import Any, TypeVar

from reports.records.comparable import NAIVE_OF_ALL, differences, letters, paper_dataset
from reports.records.metrics import METRICS, published_name
from reports.records.record import Record

R = TypeVar("R", bound=Record)

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
        (ours + probe, mean): (theirs, "linear classifier")
        for ours, theirs in (
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

    `dataset` matters to Table 4, and to Section 5.3, whose number is of CelebA's 40 attributes. If the paper gives a cell at one T alone (Tables 1 and 3:
    T = 100), that number is returned whatever `steps` is: compare its own. For a stand-in metric
    such as fd_effnet the number of the original (fid) is returned; none for a stand-in that is read
    the other way, such as a distance in place of a similarity.
    """
    original = published_name(metric)
    if original != metric and METRICS[original].direction != METRICS[metric].direction:
        return None
    if table == "section5.3_probe" and dataset and letters(dataset) not in WITH_ATTRIBUTES:
        return None
    key = (table, *_their_names(table, system, setting), original)
    found = [r for r in published_records() if (r.table, r.system, r.setting, r.metric) == key]
    if table in NEAREST_DATASET:
        same = [r for r in found if plain(r.dataset) == plain(dataset)]
        found = same or [r for r in found if r.dataset == NEAREST_DATASET[table]]
    at_steps = [r for r in found if steps is not None and r.steps == steps]
    return next(iter(at_steps or (found if len(found) == 1 else [])), None)


def attach(record: R, protocol: Mapping[str, Any]) -> R:
    """`record` with the paper's value for its cell; unchanged if the paper has none.

    `protocol` holds the fields that the record was measured by, with the `transform` and number
    (`dataset_images`) of the data set's images. `not_comparable` lists the differences from the
    paper's protocol, and is empty only if there are none: a missing field counts as a difference.
    """
    r, data = record, paper_dataset(record.dataset, protocol)
    found = lookup(
        r.table, r.system, setting=r.setting, steps=r.steps, metric=r.metric, dataset=data
    )
    if found is None:
        return record
    return replace(
        record,
        published=found.value,
        published_metric=found.metric,
        published_source=found.published_source,
        not_comparable="; ".join(differences(record, protocol, found.dataset, found.steps)),
    )


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


def plain(name: str) -> str:
    """A name in a canonical form: `FFHQ 128`, `ffhq-128` and `ffhq128` are equal."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


@cache
def published_records() -> tuple[Record, ...]:
    """Every number of the paper, in its own names, as records without a protocol of ours."""
    return tuple(_record(row) for name in FILES for row in rows_of(name))


def rows_of(name: str) -> Iterator[dict[str, str]]:
    """The rows of a file of published numbers that ships."""
    with resources.files("reports").joinpath("published", name).open(encoding="utf-8") as file:
        yield from csv.DictReader(file)


def _record(row: Mapping[str, str]) -> Record:
    benchmark, place = TABLES[row["table"]]
    label, metric = row.get("source", ""), METRICS[row["metric"]]
    source = f"Preechakul et al. 2022, {place}" + (f" ({label})" if label else "")
    names: dict[str, Any] = {
        name: row[name] for name in ("table", "system", "dataset", "setting", "metric")
    }
    return Record(
        **names,
        benchmark=benchmark,
        split="",
        steps=int(row["steps"]) if row["steps"] else None,
        value=float(row["value"]),
        direction=metric.direction,
        unit=metric.unit,
        published_source=source,
        note=f"{source}; printed ± {row['std']}" if row["std"] else source,
    )
