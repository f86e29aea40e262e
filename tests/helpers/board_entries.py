"""Entries of a board, with given scores of images."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from page_runs import write_measured
from run_folders import measured, number

from reports.records.record import Record, protocol_id

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
    pairs = [
        measured(number(TABLE1, "ssim", None, system=name, n=len(scores), **given), scores, units)
        for name, scores in systems.items()
    ]
    pairs += [(number(**vars(other) | given), ()) for other in others]
    write_measured(folder, pairs, protocols={protocol: dict(fields)}, **notes)
    what = {"benchmark": "reconstruction", "dataset": dataset, "split": "test", "setting": ""}
    rows = [
        {**what, "system": name, "steps": "", "solver": "", "file": f"{i}.png", "ssim": score}
        for name, scores in systems.items()
        for i, score in enumerate(scores)
    ]
    pd.DataFrame(rows).to_csv(folder / "samples.csv", index=False)
    return write_card(folder)


def write_card(folder: Path, **changes) -> Path:
    """The card of an entry; a field that is None is left out."""
    fields = {name: text for name, text in (CARD | changes).items() if text is not None}
    (folder / "card.yaml").write_text(yaml.safe_dump(fields))
    return folder
