"""The tables of the paper, made from records and nothing else.

    write_tables(read_records(run / "records.csv"), run / "tables", title="...", context={...})

`TABLES` lists them. Records of other benchmarks get a plain table each; `overview` has the
headlines of all.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from reports import markdown
from reports.layout import (
    FIELD_LABELS,
    Cell,
    Label,
    Panel,
    Reference,
    Table,
    TableSpec,
    Value,
    at_largest_steps,
    build,
    choose,
    field_text,
    shown_fields,
)
from reports.numbers import detectable_change, heading, number_text
from reports.records import COLUMNS, Record

_RECONSTRUCTION = ("latent_dim", "ssim", "ssim_valid", "lpips", "pd_effnet", "mse", "psnr")
_FID = ("fid", "fd_effnet")
_MEANS = ("mean", "prevalence-weighted mean")
_DIVERSITY = ("diversity_lpips", "diversity_effnet")
_PPL = ("ppl", "ppl_alex", "ppl_effnet")
_NN_RATIO = ("nn_ratio_inception", "nn_ratio_effnet", "nn_ratio_pixels")

TABLES = [
    TableSpec(
        name="table1_reconstruction",
        title="Table 1: reconstruction",
        caption=(
            "Autoencoding of held-out images, inverted and decoded with the same T. SSIM is the "
            "paper's (zero padding); SSIM (valid) leaves out the border."
        ),
        source="table1_reconstruction",
        rows=("system", "setting", "steps"),
        columns=("metric",),
        metrics=_RECONSTRUCTION,
        largest_steps=True,
        headline=("ssim", "lpips", "pd_effnet", "mse"),
    ),
    TableSpec(
        name="table2_ablation",
        title="Table 2: reconstruction by number of steps",
        caption="As Table 1, at each T, with the stochastic code inverted or drawn at random.",
        source="table2_ablation",
        rows=("system", "setting"),
        columns=("steps",),
        metrics=_RECONSTRUCTION,
        panels=True,
    ),
    TableSpec(
        name="section5.3_probe",
        title="Section 5.3: linear probes",
        caption="Linear classifiers of the attributes on each code, scored on held-out images.",
        source="section5.3_probe",
        rows=("system",),
        columns=("metric", "setting"),
        metrics=("auroc", "ap", "accuracy"),
        select=lambda record: record.setting in ("", *_MEANS),
        headline=("auroc",),
        headline_settings=_MEANS,
    ),
    TableSpec(
        name="section5.3_probe_attributes",
        title="Section 5.3: linear probes by attribute",
        caption="The scores behind the means, one row an attribute.",
        source="section5.3_probe",
        rows=("setting",),
        setting_header="attribute",
        columns=("system",),
        metrics=("auroc", "ap", "accuracy"),
        panels=True,
        select=lambda record: record.setting not in ("", *_MEANS),
    ),
    TableSpec(
        name="table3_fewshot_fid",
        title="Table 3: few-shot conditional samples",
        caption=(
            "Samples accepted by a classifier trained on a few labels (binary) or on positive and "
            "unlabelled images (pu), against the images of the class: the mean over seeds, which draw the "
            "labelled images. ± holds the labels, the samples and the real images; the standard deviation "
            "over seeds alone, the paper's ±, stands beside it. "
            "naive: all images against those of the class, no model; real images of the class: as many as "
            "are sampled, against the rest of them."
        ),
        source="table3_fewshot_fid",
        rows=("setting",),
        setting_header="class",
        columns=("metric", "system"),
        metrics=(*_FID, "fid_seed_std", "fd_effnet_seed_std", "acceptance_rate"),
        headline=_FID,
    ),
    TableSpec(
        name="table4_unconditional_fid",
        title="Table 4: unconditional samples",
        caption="Distance between samples and the data set, by the number of steps T.",
        source="table4_unconditional_fid",
        rows=("steps",),
        columns=("metric", "system"),
        metrics=_FID,
        headline=_FID,
    ),
    TableSpec(
        name="appendix_f_smoothness",
        title="Appendix F: smoothness of interpolation",
        caption=(
            "Perceptual path length between pairs of codes; smaller is smoother. A few pairs can decide the "
            "mean. PPL as it is published is VGG16's, trimmed: of the pairs between the 1st and the 99th "
            "percentile."
        ),
        source="appendix_f_smoothness",
        rows=("system", "steps"),
        columns=("metric", "setting"),
        metrics=_PPL,
        headline=_PPL,
        headline_settings=("trimmed mean", "median"),
    ),
    TableSpec(
        name="appendix_g_identity",
        title="Appendix G: identity under manipulation",
        caption=(
            "Cosine similarity of face embeddings before and after an edit, by attribute and "
            "strength, and how far the edit moved the attribute's logit: an edit that changes "
            "nothing keeps the identity too. The rows of real images are the range of the similarity."
        ),
        source="appendix_g_identity",
        rows=("setting",),
        setting_header="edit",
        columns=("metric", "system"),
        metrics=("arcface", "id_portraits", "logit_change"),
        headline=("arcface", "id_portraits"),
        headline_settings=("Male ", "Smiling ", "Wavy_Hair ", "Young "),
    ),
    TableSpec(
        name="figure3_variation",
        title="Figure 3: what each part of the code decides",
        caption=(
            "How much a decoded image changes when one part of its code is exchanged and the other "
            "kept: x_T drawn anew, or z_sem taken from other images."
        ),
        source="figure3_variation",
        rows=("system", "setting", "steps"),
        columns=("metric",),
        metrics=(*_DIVERSITY, "pixel_std"),
        headline=_DIVERSITY,
    ),
    TableSpec(
        name="figure6_denoising",
        title="Figure 6: predicted x_0 by t",
        caption="Held-out images noised to t, against what one network call makes of them.",
        source="figure6_denoising",
        rows=("setting",),
        setting_header="noised to",
        columns=("metric", "system"),
        metrics=("mse", "ssim"),
        headline=("mse",),
        headline_settings=("t = 500",),
    ),
    TableSpec(
        name="appendix_c_memorisation",
        title="Appendix C: nearest training images",
        caption=(
            "Distance of samples, and of held-out images, to the nearest training image. A ratio "
            "below 1 says that samples lie nearer to the training images than new images do."
        ),
        source="appendix_c_memorisation",
        rows=("system", "steps"),
        columns=("metric", "setting"),
        metrics=("nn_inception", "nn_effnet", "nn_pixels", *_NN_RATIO),
        headline=_NN_RATIO,
        headline_settings=("median",),
    ),
    TableSpec(
        name="section5.5_cost",
        title="Section 5.5: cost",
        caption="Parameters, operations (2 per multiply-add) and network calls; no times.",
        source="section5.5_cost",
        rows=("setting", "steps"),
        setting_header="of",
        columns=("system",),
        metrics=("parameters", "gflops", "network_calls"),
        panels=True,
        headline=("parameters",),
        headline_settings=("total",),
    ),
    TableSpec(
        name="section5.5_times",
        title="Section 5.5: times",
        caption="Measured on this machine, once; another machine and another run give other numbers.",
        source="section5.5_times",
        rows=("setting", "steps"),
        setting_header="of",
        columns=("system",),
        metrics=("images_per_second", "peak_memory"),
        panels=True,
    ),
]


def write_tables(
    records: Sequence[Record], out: Path, title: str, context: Mapping[str, str]
) -> list[Path]:
    """Write `overview` and each table that `records` hold to `out`, as NAME.md and NAME.csv.

    Every Markdown file has `title` at its head and `context` (run, profile, ...) at its foot. The
    CSV files hold the same records with plain numbers. Returns the files written. Raises
    ValueError if two records claim one cell.
    """
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for table in build_tables(records):
        written += write_table(table, out, title, context)
    return written


def write_table(table: Table, out: Path, title: str, context: Mapping[str, str]) -> list[Path]:
    """Write one table to the folder `out`, as NAME.md and NAME.csv, and return both."""
    page, data = out / f"{table.name}.md", out / f"{table.name}.csv"
    page.write_text(markdown.render(table, title, context), encoding="utf-8")
    to_frame(table).to_csv(data, index=False, lineterminator="\n")
    return [page, data]


def build_tables(records: Sequence[Record]) -> list[Table]:
    """The overview, then each table that `records` hold, ready for any renderer."""
    chosen = [(spec, choose(spec, records)) for spec in (*TABLES, *_other_specs(records))]
    tables = [_overview(chosen), *(build(spec, some) for spec, some in chosen if some)]
    names = [table.name for table in tables]
    if len(set(names)) < len(names):
        raise ValueError(f"two tables would be written to one file: {', '.join(sorted(names))}")
    return tables


def to_frame(table: Table) -> pd.DataFrame:
    """The records of `table` in reading order: plain numbers, and text safe in a spreadsheet."""
    rows = [
        {name: getattr(r, name) for name in COLUMNS}
        | {"best": r in table.best, "detectable_change": detectable_change(r.stderr)}
        for r in table.records
    ]
    rows = [{name: _safe(value) for name, value in row.items()} for row in rows]
    frame = pd.DataFrame(rows, columns=[*COLUMNS, "best", "detectable_change"])
    return frame.astype({"steps": "Int64", "n": "Int64"})


def _safe(value: object) -> object:
    """A spreadsheet runs text that begins like a formula; an apostrophe keeps it text.

    A carriage return alone would end the row: the CSV writer quotes line feeds only.
    """
    if not isinstance(value, str):
        return value
    text = value.replace("\r\n", "\n").replace("\r", "\n")
    return "'" + text if text.lstrip().startswith(tuple("=+-@")) else text


def _other_specs(records: Sequence[Record]) -> list[TableSpec]:
    known = {spec.source for spec in TABLES}
    others = dict.fromkeys(r.table for r in records if r.table not in known)
    return [
        TableSpec(
            name=re.sub(r"[^A-Za-z0-9._-]+", "_", source).strip("._") or "other",
            title=source or "Other numbers",
            caption="",
            source=source,
            rows=("system", "setting", "steps"),
            columns=("metric",),
            headline=tuple(dict.fromkeys(r.metric for r in records if r.table == source)),
        )
        for source in others
    ]


def _overview(chosen: Iterable[tuple[TableSpec, list[Record]]]) -> Table:
    records = [r for spec, some in chosen for r in at_largest_steps(some) if _is_headline(spec, r)]
    fields = shown_fields(records, ("benchmark", "dataset", "system", "setting", "steps"))
    headers = (
        *(FIELD_LABELS.get(field, field) for field in fields),
        "metric",
        "value",
        "smallest detectable change",
        "n",
        "published",
        "protocol",
    )
    rows = tuple(_overview_row(record, fields) for record in records)
    caption = (
        "The headline of each benchmark, at the largest T. The smallest detectable change is 2.8 √2 times "
        "the standard error: of systems that differ by so much, two independent runs show it at the 5 % level "
        "4 times in 5."
    )
    panel = Panel("", headers, rows)
    return Table("overview", "Overview", caption, (panel,), tuple(records), frozenset())


def _is_headline(spec: TableSpec, record: Record) -> bool:
    """A row without a metric or a setting could not run at all, which is news."""
    metric = bool(spec.headline) and record.metric in ("", *spec.headline)
    return metric and (not record.setting or record.setting.startswith(spec.headline_settings))


def _overview_row(record: Record, fields: Sequence[str]) -> tuple[Cell, ...]:
    change = detectable_change(record.stderr)
    return (
        *(Label(field_text(record, field)) for field in fields),
        Label(heading(record.metric, [record])),
        Value(record),
        Label("" if change is None else number_text(change, record.metric)),
        Label("" if record.n is None else f"{record.n:,}"),
        Reference(record),
        Label(record.protocol),
    )
