"""Run folders of given numbers: the one writer of runs for all tests, and the runs that several tests share."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from registered import OF_IMAGES

from benchmarks.core.context import Context
from benchmarks.core.measurement import Place
from benchmarks.core.registry import REGISTRY, specs
from benchmarks.core.runner.evaluation import make_record
from reports.records.estimate import Error, Estimate, influences_on_mean
from reports.records.influences import write_influences
from reports.records.metrics import METRICS
from reports.records.published import attach
from reports.records.record import LOWER, Record, protocol_id, safe_cell, write_records
from reports.records.run_folder import SAMPLE, SCHEMA, Run, described

TABLE1 = "table1_reconstruction"
PROTOCOL = {
    "benchmark": "reconstruction",
    "ssim": "zero padding",
    "n": 32,
    "seed": 0,
    "transform": {"crop": "center"},
}
OF_ENTRIES = {name: value for name, value in PROTOCOL.items() if name != "n"}
SETTINGS = {"seed": 0, "data": "portraits", "profile": {"name": "quick", "sections": {}}}
CARD = {"title": "Two systems", "by": "A. Person", "about": "Small models, measured for a test."}
HARMFUL = (
    "<script>document.title='harmed'</script>",
    '"><img src=x onerror="document.title=\'harmed\'">',
    "=1+1, 'a' | b % _ $ {{ 7 * 7 }} </script>&amp;",
)
RNG = np.random.default_rng(0)
SSIM = RNG.normal(0.95, 0.02, 200)
SCORES = np.random.default_rng(0).normal(0.9, 0.02, 50)
KEY = ("DiffAE", "", "ssim")


# ----------------------------------------------------------------------------------------------
# Records


def recorded(
    context: Context,
    metric: str,
    estimate: Estimate,
    table: str = TABLE1,
    title: str = "DiffAE",
    **place,
) -> Record:
    """The record that the runner makes of an estimate."""
    return make_record(Place(context, table, title=title, **place), metric, estimate)


def number(table: str, metric: str, value: float | None, **changes) -> Record:
    """A number of DiffAE on 50 images."""
    direction = METRICS[metric].direction if metric in METRICS else LOWER
    base = Record(
        "reconstruction", table, "DiffAE", "portraits", "test", "", None, metric, Estimate(value, n=50),
        direction=direction, protocol="p0",
    )  # fmt: skip
    return changed(base, **changes)


def changed(record: Record, **changes) -> Record:
    """A record with other fields; `value`, `stderr`, `df` and `n` are those of its estimate.

    A standard error has the degrees of freedom n - 1 unless `df` is given; with `stderr=None` the
    influences go too.
    """
    names = [name for name in ("value", "stderr", "df", "n") if name in changes]
    new = {name: changes.pop(name) for name in names}
    if new:
        old = record.estimate
        n, stderr = new.get("n", old.n), new.get("stderr", old.stderr)
        df = new.get("df", old.error.df if old.error and "n" not in new else (n or 2) - 1.0)
        error = None if stderr is None else Error(stderr, df)
        kept = {} if "stderr" in new else {"influences": old.influences, "scores": old.scores}
        changes["estimate"] = Estimate(new.get("value", old.value), error=error, n=n, **kept)
    return replace(record, **changes)


def table1(system: str, metric: str, value: float | None, **changes) -> Record:
    """A number of Table 1: 32 images, encoded and decoded in 100 steps."""
    defaults = {
        "table": TABLE1,
        "setting": "x_T inverted",
        "steps": 100,
        "solver": "ddim",
        "n": 32,
    }
    return number(metric=metric, value=value, system=system, **(defaults | changes))


def fid(system: str, value: float, **changes) -> Record:
    """The FID of a system's samples."""
    defaults = {"system": system, "benchmark": "unconditional", "stderr": 0.0}
    return number("table4_unconditional_fid", "fid", value, **(defaults | changes))


def measured(record: Record, values: np.ndarray, units="images") -> Record:
    """`record` with the mean of `values`, and their influences on it."""
    influences = influences_on_mean(values, units)
    assert influences
    estimate = Estimate(float(values.mean()), influences, n=record.n)
    return replace(record, estimate=estimate)


# ----------------------------------------------------------------------------------------------
# Folders


def write_run(
    folder: Path,
    records: Iterable[Record],
    influences: bool = True,
    times: Iterable[Record] = (),
    **notes,
) -> Path:
    """Write a finished run of these numbers; `notes` are fields of its run.json.

    Without `influences` there is no influences.npz.
    """
    records, times = list(records), list(times)
    folder.mkdir(parents=True, exist_ok=True)
    write_records(folder / "records.csv", records)
    if times:
        write_records(folder / "times.csv", times)
    if influences:
        write_influences(folder / "influences.npz", records)
    content = {"schema": SCHEMA, "complete": True, "protocols": {"p0": PROTOCOL}}
    content |= {"settings": SETTINGS}
    content |= described((r.metric for r in (*records, *times)), specs(REGISTRY.own)) | notes
    (folder / "run.json").write_text(json.dumps(content))
    return folder


def change_notes(folder: Path, **notes) -> Path:
    """Change fields of a run's run.json."""
    path = folder / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | notes))
    return folder


def make_run(scores: dict, *, seed: int = 0, protocol: dict | None = None, **settings) -> Run:
    """A run of means in memory, for the gate: `scores` maps (system, setting, metric) to values per
    image, to one number, or to None.
    """
    rows = []
    for (system, setting, metric), values in scores.items():
        place = {"system": system, "setting": setting, "protocol": f"p{seed}"}
        if values is None or np.isscalar(values):
            note = "no value" if values is None else ""
            record = number("table", metric, values, n=None, note=note, **place)
        else:
            record = number("table", metric, None, n=len(values), **place)
            record = measured(record, values, f"images of seed {seed}")
        rows.append(record)
    fields = PROTOCOL | {"seed": seed} | (protocol or {})
    return Run(Path("run"), tuple(rows), {f"p{seed}": fields}, settings)


def gate_run(folder: Path, scores: dict, **more) -> Path:
    """The same as a run folder."""
    run = make_run(scores, **more)
    notes = {"protocols": run.protocols, "settings": run.settings}
    return write_run(folder, run.rows, **notes)


# ----------------------------------------------------------------------------------------------
# Runs that several tests share


def two_systems(folder: Path, behind: np.ndarray, **notes) -> Path:
    """DiffAE's SSIM on 50 images, and DDIM's, which is `behind` it on each of them."""
    records = [
        measured(number(TABLE1, "ssim", None), SCORES),
        measured(number(TABLE1, "ssim", None, system="DDIM"), SCORES - behind),
    ]
    return write_run(folder, records, **notes)


def harmful(folder: Path) -> Path:
    """A run whose systems, settings, notes, metrics and data have names that must stay text."""
    fields = ("system", "setting", "dataset", "note")
    records = [
        number(TABLE1, "ssim", 0.9 - i / 100, stderr=0.01, **dict.fromkeys(fields, name))
        for i, name in enumerate(HARMFUL)
    ]
    records += [
        number("other <b>", HARMFUL[0], 1.5, benchmark="other", system=name, note=name)
        for name in HARMFUL
    ]
    records += [number(TABLE1, "ssim", None, system="failing", note=HARMFUL[1])]
    protocol = {"benchmark": HARMFUL[0], HARMFUL[1]: HARMFUL[2]}
    failed = [{"benchmark": HARMFUL[1], "system": HARMFUL[0], "reason": HARMFUL[2]}]
    settings = {"data": HARMFUL[0], "profile": {"name": HARMFUL[2]}, "seed": HARMFUL[1]}
    return write_run(
        folder, records, protocols={"p0": protocol}, settings=settings, failed=failed,
        arguments=list(HARMFUL), device=HARMFUL[0], seen_in_training={HARMFUL[0]: HARMFUL[1]},
    )  # fmt: skip


# ----------------------------------------------------------------------------------------------
# Entries of a board


def write_entry(
    folder: Path,
    systems: Mapping[str, np.ndarray],
    fields: Mapping[str, object] = OF_ENTRIES,
    units: str = "images",
    others: tuple[Record, ...] = (),
    dataset: str = "portraits",
    **notes,
) -> Path:
    """An entry: the SSIM of each image by system, and other numbers; all by one protocol."""
    protocol = protocol_id(fields)
    place = {"protocol": protocol, "dataset": dataset}
    scored = [(number(TABLE1, "ssim", None, system=name), x) for name, x in systems.items()]
    scored += [(record, drawn(record)) for record in others]
    records, rows = [], []
    for record, scores in scored:
        if len(scores):
            of_images = record.metric in OF_IMAGES
            n = len(scores) if of_images else record.n
            record = measured(record, scores, units if of_images else record.system)
            record = replace(record, estimate=replace(record.estimate, n=n))
            rows += _samples(replace(record, **place), scores) if of_images else []
        records.append(attach(replace(record, **place), fields))
    write_run(folder, records, protocols={protocol: dict(fields)}, **notes)
    pd.DataFrame(rows).to_csv(folder / "samples.csv", index=False)
    return write_card(folder)


def drawn(record: Record, count: int = 50) -> np.ndarray:
    """Scores with the mean and the standard error of a record; none where it has no error."""
    if record.stderr is None:
        return np.array([])
    x = np.random.default_rng(count).normal(size=count)
    x = (x - x.mean()) / x.std(ddof=1)
    return record.value + record.stderr * np.sqrt(count) * x


def _samples(record: Record, scores: np.ndarray) -> list[dict[str, object]]:
    place = {name: safe_cell("" if (x := getattr(record, name)) is None else x) for name in SAMPLE}
    return [place | {"file": f"{i}.png", record.metric: score} for i, score in enumerate(scores)]


def write_card(folder: Path, **changes) -> Path:
    """The card of an entry; a field that is None is left out."""
    fields = {name: text for name, text in (CARD | changes).items() if text is not None}
    (folder / "card.yaml").write_text(yaml.safe_dump(fields))
    return folder
