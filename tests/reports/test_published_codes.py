"""Published numbers of codes."""

import csv
from pathlib import Path

from benchmarks.metrics.codes import schema
from reports.records.estimate import Estimate
from reports.records.record import Record
from reports.records.representations import attach, published

FILE = Path(__file__).parents[2] / "reports" / "published" / "codes.csv"


def test_the_file():
    """Numbers as printed, none twice, of names and protocols that exist and define them."""
    rows = list(csv.DictReader(FILE.open(encoding="utf-8", newline="")))
    assert len(rows) == len(published()) > 100
    assert {row["mark"] for row in rows} == {"P", "S"} and all(row["source"] for row in rows)
    keys = [(row["system"], row["data"], row["metric"], row["protocol"]) for row in rows]
    assert len(set(keys)) == len(keys)
    assert {row["metric"] for row in rows} <= set(schema.NUMBERS)
    assert all(row["spread"] for row in rows if row["source"].startswith("wuancong/FDAE paper"))
    for row in rows:
        float(row["value"]), float(row["spread"] or 0)
        assert not row["protocol"] or schema.named(row["protocol"]).defines(row["metric"])


def record(system="DiffAE", dataset="shapes3d", metric="dci_d"):
    place = {"split": "", "setting": "the code", "steps": None}
    return Record(
        "representation", "axes", system, dataset, metric=metric, estimate=Estimate(0.5), **place
    )


def test_a_row_has_the_number_of_its_system_on_its_data_with_what_differs():
    def theirs(name):
        assert name == "fdae"
        return {"dci.concepts": 36, "dci.rows": "drawn"}

    found = attach(record("FDAE"), {"dci.concepts": 0, "dci.rows": "drawn"}, theirs)
    assert (found.published, found.not_comparable) == (0.917, "dci.concepts 36; another code")
    assert found.published_source.endswith("Shapes3D, fdae: FDAE")
    found = attach(record(), {}, theirs)
    assert (found.published, found.not_comparable) == (0.114, "protocol not known; another code")
    assert found.published_source.endswith(
        "Shapes3D, protocol not known: DiffAE (80 numbers, FDAE's)"
    )
    complex_, real = (
        attach(record(dataset=f"mpi3d-{which}"), {}, theirs) for which in ("complex", "real")
    )
    assert complex_.published == 0.506 and real == record(dataset="mpi3d-real")
    for other in (record(system="NVAE"), record(dataset="portraits"), record(metric="rankme")):
        assert attach(other, {}, theirs) == other
