"""The scores of single images: `samples.csv` of a run folder, and `Results.samples`."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.core.context import Row
from diffae.data import Dataset
from diffae.system.whole import write_whole
from reports.records.record import safe_cell

if TYPE_CHECKING:
    import pandas as pd

# What tells the samples of one table apart; then come the image, its file and a column for each score.
WHAT = ("benchmark", "system", "dataset", "split", "setting", "steps", "solver", "calls")


def frame_of(rows: Iterable[Row], dataset: Dataset) -> "pd.DataFrame":
    """One row per image, system and setting, with a column for every score that is a mean over images.

    `image` is the index in the data set, `file` where it lies. A score that belongs to a different
    benchmark is empty.
    """
    import pandas as pd

    scores: dict[tuple[object, ...], dict[str, pd.Series]] = {}
    for row in rows:
        if row.per_image is not None:
            column = pd.Series(row.per_image.scores, index=row.per_image.images)
            column = column + 0.0  # hits and misses are numbers
            scores.setdefault(tuple(getattr(row, name) for name in WHAT), {})[row.metric] = column
    parts = []
    for what, columns in scores.items():
        part = pd.DataFrame(columns)
        known = dict(zip(WHAT, what, strict=True)) | {"image": part.index}
        names = [dataset.source.where(int(image)) for image in part.index]
        parts.append(pd.DataFrame({**known, "file": names}, index=part.index).join(part))
    found = (
        pd.concat(parts, ignore_index=True)
        if parts
        else pd.DataFrame(columns=[*WHAT, "image", "file"])
    )
    return found.astype({"steps": "Int64", "calls": "Int64", "image": "int64"})


def write_samples(path: Path, rows: Iterable[Row], dataset: Dataset) -> None:
    """Write `frame_of` to a CSV file, whole or not at all; names as they are within the data set."""
    frame = frame_of(rows, dataset)
    frame["file"] = frame["image"].map(lambda image: safe_cell(dataset.name_of(int(image))))
    for name in ("system", "dataset", "setting"):
        frame[name] = frame[name].map(safe_cell)
    write_whole(path, frame.to_csv(index=False, lineterminator="\n").encode())
