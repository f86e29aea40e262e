"""Published numbers of codes."""

import csv
from pathlib import Path

from benchmarks.metrics.codes import schema
from reports.records.representations import lines, published

FILE = Path(__file__).parents[2] / "reports" / "published" / "codes.csv"


def test_the_file():
    """Numbers as printed, none twice, of names and protocols that exist and define them."""
    rows = list(csv.DictReader(FILE.open(encoding="utf-8", newline="")))
    assert len(rows) == len(published()) > 100
    assert {row["mark"] for row in rows} == {"P", "S"} and all(row["source"] for row in rows)
    keys = [(row["system"], row["data"], row["metric"], row["protocol"]) for row in rows]
    assert len(set(keys)) == len(keys)
    assert {row["metric"] for row in rows} <= set(schema.NUMBERS)
    for row in rows:
        float(row["value"]), float(row["spread"] or 0)
        assert not row["protocol"] or schema.named(row["protocol"]).defines(row["metric"])


def test_a_line_has_one_data_set_protocol_and_hand():
    """The three sets of MPI3D are never on one line, nor are own numbers with copied ones."""
    assert list(lines("dci_d", "fdae")) == [
        "published, Cars3D, fdae: DiffAE (80 numbers, FDAE's) 0.307 ± 0.015, FDAE 0.418 ± 0.036",
        "published, MPI3D complex, fdae: DiffAE (80 numbers, FDAE's) 0.506 ± 0.016, "
        "FDAE 0.644 ± 0.031, VCT 0.467 ± 0.064",
        "published, Shapes3D, fdae: DiffAE (80 numbers, FDAE's) 0.114 ± 0.008, FDAE 0.917 ± 0.038",
    ]
    assert list(lines("tad")) == [
        "published, CelebA, infodiffusion, second-hand: DiffAE 0.16, InfoDiffusion 0.30"
    ]
    of_ap = list(lines("ap"))
    assert [line.count("trained on") for line in of_ap] == [4, 12]
    assert "published, MPI3D real, protocol not known, second-hand: VCT 0.475 ± 0.005" in list(
        lines("dci_d")
    )
    assert not list(lines("rankme")) and not list(lines("dci_d", "plain"))
