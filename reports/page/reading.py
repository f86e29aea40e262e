"""Input of the page: finished run folders, and the scores of their images."""

import csv
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from diffae.system.errors import UserError
from diffae.system.files import read_text
from reports.records.reading import short
from reports.records.record import Record
from reports.records.run_folder import SAMPLES, Run, read_run
from reports.tables.build import safe_cell
from reports.tables.merging import Merged, merge


def outlying_image(found: Merged, units: int, *pair: Record) -> str:
    """The image whose difference of scores is furthest from the mean difference, by the run's
    samples.csv.

    Empty if the file does not say, or if the number of its images is not that of the units of the
    difference.
    """
    a, b = ({} if len(found.folders) > 1 else _scores(found.folders[0], r) for r in pair)
    differences = {name: b[name] - a[name] for name in a if name in b}
    if len(differences) != units:
        return ""
    mean = fmean(differences.values())
    return short(max(differences, key=lambda name: abs(differences[name] - mean)))


def _scores(folder: Run, record: Record) -> dict[str, float]:
    """The scores of a record's images by their file names; empty if there are none."""
    what = ("benchmark", "system", "dataset", "split", "setting", "steps", "solver")
    wanted = [
        safe_cell("" if getattr(record, n) is None else str(getattr(record, n))) for n in what
    ]
    try:
        rows = csv.DictReader(read_text(folder.folder / SAMPLES).splitlines())
        ours = [row for row in rows if [row[name] for name in what] == wanted]
        return {row["file"]: float(row[record.metric]) for row in ours}
    except (UserError, KeyError, ValueError, TypeError, csv.Error):
        return {}


def read(paths: Sequence[Path]) -> Merged:
    """Read finished run folders. Raises UserError naming the file that is invalid."""
    return merge([read_run(path) for path in paths])
