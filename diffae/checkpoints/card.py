"""The model card of a checkpoint, as the Hugging Face Hub reads it: metadata in YAML, then Markdown.

card.md.j2 is its text.
"""

import csv
import io
from pathlib import Path
from typing import Any

import jinja2
import yaml

from diffae.checkpoints.checkpoint import Folder
from diffae.checkpoints.official import OfficialCheckpoint
from diffae.checkpoints.packaged import PACKAGED
from diffae.checkpoints.trained_on import NOTE
from diffae.checkpoints.trained_on import read as read_record
from diffae.system.cli import plain
from diffae.system.errors import UserError
from diffae.system.files import read_json, read_text

Rows = list[dict[str, str]]  # of a run's overview, by the columns of records.csv


def measured(run: Path, sha256: str) -> Rows:
    """The headlines that a run measured of the checkpoint of this fingerprint, each with its `number`.

    `number` is the value with its standard error. Raises UserError, naming the file, if the run is
    not complete or did not measure the checkpoint.
    """
    note, table = run / "run.json", run / "tables" / "overview.csv"
    try:
        about = read_json(note)
        weights, complete = about["settings"]["weights"], about["complete"] is True
        titles = {about["titles"][name] for name, theirs in weights.items() if theirs == sha256}
    except (KeyError, TypeError, AttributeError):
        raise UserError(f"{note}: not of a run of this version; measure again") from None
    if not complete:
        raise UserError(f"{note}: the run is not complete; run its command again to finish it")
    if not titles:
        raise UserError(f"--run {run}: did not measure this checkpoint (SHA-256 {sha256[:12]}...)")
    try:
        rows = csv.DictReader(io.StringIO(read_text(table)), strict=True)
        ours = [row for row in rows if row["system"] in titles and row["value"]]
        return [{**row, "number": _number(row["value"], row["stderr"])} for row in ours]
    except (ValueError, KeyError, TypeError, csv.Error):
        raise UserError(f"{table}: damaged; give the folder of a finished run") from None


def _number(value: str, stderr: str) -> str:
    return plain(float(value), 5) + (f" ± {plain(float(stderr), 2)}" if stderr else "")


def render(
    name: str, found: Folder | OfficialCheckpoint, parameters: int, rows: Rows, licence: str | None
) -> str:
    """The card of a checkpoint: with the `rows` that a run measured of it, if any.

    `licence` is the Hub's id of one; without it, that of the package for its own models, else
    "unknown".
    """
    record = read_record(found.path)
    licence = licence or ("mit" if found.path.parent == PACKAGED else "unknown")
    front: dict[str, Any] = {"license": licence, "library_name": "diffae-bench"}
    front["tags"] = ["diffusion", "representation-learning", "arxiv:2111.15640"]
    stages: Any = {}
    if record is not None:
        front["datasets"] = [record.data]
        stages = read_json(found.path / NOTE).get("stages") or {}
    if rows:
        front["model-index"] = [{"name": name, "results": [_result(row) for row in rows]}]
    about = {"name": name, "config": found.config, "parameters": parameters, "rows": rows}
    about |= {"record": record, "stages": stages, "licence": licence}
    about["of_authors"] = isinstance(found, OfficialCheckpoint)
    about["front"] = yaml.safe_dump(front, sort_keys=False, allow_unicode=True)
    template = Path(__file__).with_name("card.md.j2").read_text(encoding="utf-8")
    text = jinja2.Environment(trim_blocks=True).from_string(template).render(about)
    return text.rstrip() + "\n"


def _result(row: dict[str, str]) -> dict[str, Any]:
    """A number as an entry of `model-index`."""
    at = (row["metric"], row["setting"], row["steps"] and f"T = {row['steps']}")
    name = ", ".join(filter(None, at))
    metric = {"type": row["metric"], "value": float(row["value"]), "name": name}
    data = {"type": row["dataset"], "name": row["dataset"], "split": row["split"]}
    return {"task": {"type": row["benchmark"]}, "dataset": data, "metrics": [metric]}
