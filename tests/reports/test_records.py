"""records.csv grows by whole rows, whatever happens to the disk."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from diffae.system.errors import UserError
from reports.records.estimate import Estimate
from reports.records.record import Record, read_records, record_key, write_records
from reports.records.run_folder import Run

ROW = Record("b", "t", "s", "d", "test", "", None, "mse", Estimate(0.5))


def rows(*settings: str) -> list[Record]:
    return [replace(ROW, setting=setting) for setting in settings]


def test_rows_are_added_and_the_file_is_the_one_written_at_once(tmp_path):
    run = Run(tmp_path)
    for some in (rows("a", "b"), [], rows("c"), rows("d", "e")):
        for row in some:
            run.add(row)
        run.write()
        assert read_records(tmp_path / "records.csv") == run.rows  # at any time
    write_records(tmp_path / "whole.csv", rows(*"abcde"))
    assert (tmp_path / "records.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


@pytest.mark.parametrize(
    "field", ["benchmark", "system", "dataset", "split", "setting", "steps", "solver", "metric"]
)
def test_a_key_is_of_all_that_tells_what_was_measured(field, tmp_path):
    """And of nothing else: a number of another run, or in another table, has the same."""
    other = replace(ROW, **{field: 7 if field == "steps" else "another"})
    assert record_key(other) != record_key(ROW)
    write_records(tmp_path / "r.csv", [ROW, replace(other, estimate=Estimate(0.25))])
    again = replace(ROW, table="u", estimate=Estimate(0.25, n=3), protocol="p", note="why")
    assert record_key(again) == record_key(ROW)


def test_a_file_that_was_there_is_left_until_there_is_another(tmp_path):
    write_records(tmp_path / "records.csv", rows("old"))
    run = Run(tmp_path)
    run.add(ROW)
    assert [r.setting for r in read_records(tmp_path / "records.csv")] == ["old"]
    run.write()
    assert read_records(tmp_path / "records.csv") == [ROW]


def test_a_number_that_is_there_is_refused_across_flushes(tmp_path):
    run = Run(tmp_path)
    run.add(ROW)
    run.write()
    with pytest.raises(UserError, match="row 2: repeats the number of row 1"):
        run.add(replace(ROW, estimate=Estimate(0.6)))
    run.write()
    assert read_records(tmp_path / "records.csv") == run.rows == [ROW]


def test_a_disk_that_fills_up_leaves_whole_rows(tmp_path):
    """It takes a part of them first, as a file does that may not grow any more."""
    path = tmp_path / "r.csv"
    script = f"""
import resource, sys
from dataclasses import replace
from pathlib import Path
from test_records import ROW
from reports.records.record import write_records
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path = Path({str(path)!r})
write_records(path, [ROW])
size = path.stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, size + 10))
try:
    write_records(path, [ROW, replace(ROW, setting="next")])
except OSError as error:
    sys.exit(40)
"""
    here = Path(__file__)
    paths = f"{here.parent}{os.pathsep}{here.parents[2]}"
    done = subprocess.run([sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": paths})
    assert done.returncode == 40
    assert path.read_bytes().endswith(b"\n") and read_records(path) == [ROW]
