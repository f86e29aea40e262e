"""The model card of a checkpoint, as the Hugging Face Hub reads it: metadata in YAML, then Markdown.

card.md.j2 is its text.
"""

import csv
import io
from pathlib import Path

import jinja2
import yaml

from diffae.checkpoints.checkpoint import Checkpoint
from diffae.checkpoints.official import OfficialCheckpoint
from diffae.checkpoints.packaged import PACKAGED
from diffae.checkpoints.trained_on import NOTE
from diffae.checkpoints.trained_on import read as read_record
from diffae.system.cli import plain
from diffae.system.errors import UserError
from diffae.system.files import Json, JsonObject, read_json, read_text

Rows = list[dict[str, str]]  # of a run's overview, by the columns of records.csv


def measured(run: Path, sha256: str) -> Rows:
    """The headlines that a run measured for the checkpoint with this fingerprint.

    Each has `number`, its value with the standard error. Raises UserError, naming the file, if the
    run is not complete or did not measure the checkpoint.
    """
    note, table = run / "run.json", run / "tables" / "overview.csv"
    try:
        about = read_json(note)
        weights, complete = about["settings"]["weights"], about["complete"] is True
        titles = {about["titles"][name] for name, digest in weights.items() if digest == sha256}
    except (KeyError, TypeError, AttributeError):
        raise UserError(f"{note}: not of a run of this version; measure again") from None
    if not complete:
        raise UserError(f"{note}: the run is not complete; run its command again to finish it")
    if not titles:
        raise UserError(f"--run {run}: did not measure this checkpoint (SHA-256 {sha256[:12]}...)")
    try:
        rows = csv.DictReader(io.StringIO(read_text(table)), strict=True)
        measured_rows = [row for row in rows if row["system"] in titles and row["value"]]
        return [{**row, "number": _number(row["value"], row["stderr"])} for row in measured_rows]
    except (ValueError, KeyError, TypeError, csv.Error):
        raise UserError(f"{table}: damaged; give the folder of a finished run") from None


def _number(value: str, stderr: str) -> str:
    error = f" ± {plain(float(stderr), 2)}" if stderr else ""
    return plain(float(value), 5) + error


def render(
    name: str, checkpoint: Checkpoint, parameters: int, rows: Rows, licence: str | None
) -> str:
    """The card of a checkpoint, with the `rows` that a run measured for it, if any.

    `licence` is the Hub's id of its licence. By default it is the package's for a packaged model,
    and "unknown" for any other.
    """
    record = read_record(checkpoint.path)
    licence = licence or ("mit" if checkpoint.path.parent == PACKAGED else "unknown")
    front: dict[str, Json] = {"license": licence, "library_name": "diffae-bench"}
    front["tags"] = ["diffusion", "representation-learning", "arxiv:2111.15640"]
    stages: JsonObject = {}
    if record is not None:
        front["datasets"] = [record.data]
        stages = read_json(checkpoint.path / NOTE).get("stages") or {}
    if rows:
        front["model-index"] = [{"name": name, "results": [_index_entry(row) for row in rows]}]
    about = {"name": name, "config": checkpoint.config, "parameters": parameters, "rows": rows}
    about |= {"record": record, "stages": stages, "licence": licence}
    about["of_authors"] = isinstance(checkpoint, OfficialCheckpoint)
    about["front"] = yaml.safe_dump(front, sort_keys=False, allow_unicode=True)
    template = Path(__file__).with_name("card.md.j2").read_text(encoding="utf-8")
    text = jinja2.Environment(trim_blocks=True).from_string(template).render(about)
    return text.rstrip() + "\n"


def _index_entry(row: dict[str, str]) -> Json:
    """The entry of `model-index` for a number."""
    labels = (row["metric"], row["setting"], row["steps"] and f"T = {row['steps']}")
    name = ", ".join(filter(None, labels))
    metric: Json = {"type": row["metric"], "value": float(row["value"]), "name": name}
    data = {"type": row["dataset"], "name": row["dataset"], "split": row["split"]}
    return {"task": {"type": row["benchmark"]}, "dataset": data, "metrics": [metric]}
