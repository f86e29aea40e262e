"""Entries of a board, with given scores of images."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from page_runs import write_measured
from run_folders import measured, number

from reports.records.metrics import METRICS
from reports.records.published import attach
from reports.records.record import Record, protocol_id, safe_cell
from reports.records.run_folder import SAMPLE
from reports.records.uncertainty import Uncertainty

TABLE1 = "table1_reconstruction"
FIELDS = {"benchmark": "reconstruction", "ssim": "zero padding", "seed": 0}
CARD = {"title": "Two systems", "by": "A. Person", "about": "Small models, measured for a test."}


def write_entry(
    folder: Path,
    systems: Mapping[str, np.ndarray],
    fields: Mapping[str, object] = FIELDS,
    units: str = "images",
    others: tuple[Record, ...] = (),
    dataset: str = "portraits",
    **notes,
) -> Path:
    """An entry: the SSIM of each image by system, and other numbers; all by one protocol."""
    protocol = protocol_id(fields)
    given = {"protocol": protocol, "dataset": dataset}
    scored = [(number(TABLE1, "ssim", None, system=name), x) for name, x in systems.items()]
    scored += [(record, drawn(record)) for record in others]
    pairs, rows = [], []
    for record, scores in scored:
        known: Uncertainty = ()
        if len(scores):
            of_images = METRICS[record.metric].of_images
            n = len(scores) if of_images else record.n
            record, known = measured(record, scores, units if of_images else record.system)
            record = replace(record, n=n)
            rows += _samples(replace(record, **given), scores) if of_images else []
        pairs.append((attach(replace(record, **given), fields), known))
    write_measured(folder, pairs, protocols={protocol: dict(fields)}, **notes)
    pd.DataFrame(rows).to_csv(folder / "samples.csv", index=False)
    return write_card(folder)


def drawn(record: Record, k: int = 50) -> np.ndarray:
    """Scores with the mean and the standard error of a record; none where it has no error."""
    if record.stderr is None:
        return np.array([])
    x = np.random.default_rng(k).normal(size=k)
    x = (x - x.mean()) / x.std(ddof=1)
    return record.value + record.stderr * np.sqrt(k) * x


def _samples(record: Record, scores: np.ndarray) -> list[dict[str, object]]:
    what = {name: safe_cell("" if (x := getattr(record, name)) is None else x) for name in SAMPLE}
    return [what | {"file": f"{i}.png", record.metric: score} for i, score in enumerate(scores)]


def write_card(folder: Path, **changes) -> Path:
    """The card of an entry; a field that is None is left out."""
    fields = {name: text for name, text in (CARD | changes).items() if text is not None}
    (folder / "card.yaml").write_text(yaml.safe_dump(fields))
    return folder
