"""Untrusted run folders: the gate reads them or refuses them in one line."""

import io
import json
import os
import resource
import struct
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from in_process import signals_kept
from runs import KEY, SSIM, gate_run

from diffae.system import cli
from diffae.system.errors import UserError
from diffae.system.files import read_json
from reports import compare
from reports.records.influences import read_influences
from reports.records.run_folder import read_run

FILES = ("records.csv", "influences.npz", "run.json")


@pytest.fixture
def folder(tmp_path) -> Path:
    return gate_run(tmp_path / "run", {KEY: SSIM})


def refusal(folder: Path, megabytes: int = 64) -> str:
    """The line that refuses a folder, within seconds of CPU time and a limit on memory."""
    before, peak = os.times(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UserError) as refused:
        read_run(folder)
    after = os.times()
    assert after.user + after.system - before.user - before.system < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < megabytes * 1024
    line = str(refused.value)
    assert str(folder) in line and len(line) < 400 + len(str(folder)) and line.isprintable()
    return line


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("kind", ["folder", "pipe", "device", "link"])
def test_what_is_no_file_is_refused_and_not_waited_for(folder, file, kind):
    path = folder / file
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero" if kind == "device" else folder / "nothing")
    expected = "no such file" if kind == "link" else f"{file}: a {kind}, not a file"
    assert expected in refusal(folder)


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("records.csv", b"\xff\xfe", "byte 0 is not UTF-8 text"),
        ("records.csv", b"", "not in the format of this version"),
        ("influences.npz", b"", "not the influences"),
        ("influences.npz", b"PK\x03\x04 cut", "not the influences"),
        ("influences.npz", b"text", "not the influences"),
    ],
)
def test_another_file_is_named(folder, file, content, reason):
    (folder / file).write_bytes(content)
    assert f"{file}: {reason}" in refusal(folder)


@pytest.mark.parametrize("text", ["ab," * 5_000_000, ",\n" * 5_000_000, "ab\n" * 5_000_000])
def test_a_table_that_is_all_cells_takes_no_gigabyte(folder, text):
    (folder / "records.csv").write_text(text)
    refusal(folder, megabytes=1024)


@pytest.mark.parametrize("file", FILES)
def test_a_file_of_terabytes_is_refused(folder, file):
    os.truncate(folder / file, 1 << 42)  # a hole: it takes no place
    assert f"{1 << 42:,} bytes, and at most" in refusal(folder)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[]", "not an object of JSON but []"),
        ("null", "not an object of JSON but None"),
        ("{}", "of no schema"),
        ('{"schema": 2}', "of schema 2, and this version reads 1; measure again"),
        ('{"schema": 1, "complete": true, "protocols": []}', "no protocols"),
        ('{"schema": 1, "complete": true, "protocols": {"a": 1}}', "no protocols"),
        (
            '{"schema": 1, "complete": true, "protocols": {}, "settings": []}',
            "settings is not an object",
        ),
        ("[" * 100_000, "damaged: not JSON: "),
        ('{"a": ' * 100_000, "damaged: not JSON: "),
        ('{"a": ' + "9" * 5_000 + "}", "not JSON: Exceeds the limit"),
        ('{"schema": 1, "protocols": {}, "complete": "no"}', "the run is not complete"),
        ("{", "not JSON"),
        ("\udcff", "not UTF-8 text"),
    ],
)
def test_a_run_json_that_is_none(folder, text, reason):
    (folder / "run.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    if reason in ("no protocols", "settings is not an object"):
        (folder / "records.csv").write_text(
            (folder / "records.csv").read_text().replace(",p0,", ",,")
        )
    assert reason in refusal(folder)


def npy(header: str, data: bytes = b"") -> bytes:
    text = header.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


def described(dtype: str, shape: str) -> str:
    return f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape}, }}"


INDEX = json.dumps([["key", "units"]])


def archive(path: Path, array: bytes, compression: int = zipfile.ZIP_DEFLATED) -> None:
    with zipfile.ZipFile(path, "w", compression) as file:
        file.writestr(
            "index.npy", npy(described(f"<U{len(INDEX)}", "()"), INDEX.encode("utf-32-le"))
        )
        file.writestr("0.npy", array)


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (npy(described("<f4", "(1099511627776,)"), b"0" * 8), "not the influences of a run"),
        (npy(described("<f4", "(-2,)"), b"0" * 8), "not the influences of a run"),
        (npy(described("<f4", "(2, 1)"), b"0" * 8), "influence 0 is not a list of two or more"),
        (npy(described("|O", "(1,)"), b"0" * 8), "Object arrays cannot be loaded"),
        (npy(described("<f4", "(1,)"), b"0" * 4), "influence 0 is not a list of two or more"),
        (npy(described("<f4", "(2,)"), b"\xff" * 8), "influence 0 is not a list of two or more"),
        (npy(described("<i4", "(2,)"), b"0" * 8), "influence 0 is not a list of two or more"),
        (npy(described("<f8", "(2,)"), b"0" * 16), "influence 0 is not a list of two or more"),
        (npy("(" * 9_000), "not the influences of a run"),
        (b"\x93NUMPY\x09\x00", "not the influences of a run"),
        (b"", "not the influences of a run"),
    ],
)
def test_arrays_that_are_none(folder, array, reason):
    archive(folder / "influences.npz", array)
    assert reason in refusal(folder)


@pytest.mark.parametrize(
    ("offset", "patch", "reason"),
    [
        (8, struct.pack("<H", 1), "is encrypted"),
        (10, struct.pack("<H", 93), "compression method is not supported"),
        (24, struct.pack("<I", 3_500_000_000), "it unpacks to 3,500,000"),
    ],
)
def test_entries_that_promise_too_much(folder, offset, patch, reason):
    path = folder / "influences.npz"
    archive(path, npy(described("<f4", "(2,)"), b"0" * 8))
    content = bytearray(path.read_bytes())
    at = content.rfind(b"PK\1\2") + offset
    content[at : at + len(patch)] = patch
    path.write_bytes(content)
    assert reason in refusal(folder)


def test_a_member_that_unpacks_to_more_than_it_says_is_cut_off(tmp_path):
    path = tmp_path / "influences.npz"
    archive(path, npy(described("<f4", "(4194304,)"), bytes(1 << 24)))
    content = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\1\2", 24), (b"PK\3\4", 22)):
        at = content.rfind(mark) + offset
        content[at : at + 4] = struct.pack("<I", 100)
    path.write_bytes(content)
    with pytest.raises(UserError, match="not the influences of a run"):
        read_influences(path)


@pytest.mark.parametrize(
    "index", ["1", "[1]", "[[1, 2]]", '["ab"]', '[["a", "b", "c"]]', "[" * 9000, "{"]
)
def test_an_index_that_is_none(folder, index):
    path = folder / "influences.npz"
    np.savez(path, index=np.array(index), **{"0": np.ones(3, np.float32)})
    assert "not the influences of a run" in refusal(folder)


def test_units_that_are_there_twice_are_refused(folder):
    index = json.dumps([["key", "units"], ["key", "units"]])
    arrays = {str(i): np.ones(3, np.float32) for i in range(2)}
    np.savez(folder / "influences.npz", index=np.array(index), **arrays)
    assert "influence 1 is of units that the number has already" in refusal(folder)


# ----------------------------------------------------------------------------------------------
# Terminals


def ascii_terminal() -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding="ascii")


def test_an_ascii_terminal_gets_escapes(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    base = gate_run(tmp_path / "base", {("Größe", "", "ssim"): SSIM})
    noise = rng.normal(0, 0.001, 200)
    new = gate_run(tmp_path / "neu", {("Größe", "", "ssim"): SSIM - 0.1 + noise})
    monkeypatch.setattr(sys, "stdout", ascii_terminal())
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(io.BytesIO(), "ascii", "backslashreplace"))
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    with signals_kept(), pytest.raises(SystemExit) as ended:
        cli.run(lambda: compare.main([str(base), str(new)]))
    assert ended.value.code == 1
    written = sys.stdout.buffer.getvalue().decode("ascii")
    assert r"Gr\xf6\xdfe" in written


def test_a_full_disk_behind_a_stream_is_status_2(folder, tmp_path):
    for stream, other in (("stderr", tmp_path / "nowhere"), ("stdout", folder)):
        streams = {stream: open("/dev/full", "w")}
        arguments = [sys.executable, "-m", "reports.compare", str(folder), str(other)]
        assert subprocess.run(arguments, check=False, **streams).returncode == 2


def test_a_line_is_short_and_harmless_whatever_it_quotes(tmp_path):
    path = tmp_path / "run.json"
    path.write_text(json.dumps(["\x1b[31m" + "x" * 100_000]))
    with pytest.raises(UserError) as refused:
        read_json(path)
    assert len(str(refused.value)) < 200 + len(str(path)) and str(refused.value).isprintable()


def test_the_scores_of_a_number_are_those_of_its_row_and_0_is_one(folder):
    """By system, setting and T; an empty cell is no score."""
    (record,) = read_run(folder).rows
    head = "benchmark,system,dataset,split,setting,steps,solver,calls,image,file,ssim,mse"
    of = (record.benchmark, record.system, record.dataset, record.split, record.setting)
    ours, other = (",".join((*of[:4], setting, "", "", "")) for setting in (of[4], "another"))
    lines = [
        f"{ours},0,a.png,0.0,1.0",
        f"{ours},1,b.png,,2.0",
        f"{other},0,a.png,9.0,",
        f"{ours},2,c.png,-0.5,",
    ]
    (folder / "samples.csv").write_text("\n".join([head, *lines]) + "\n")
    assert read_run(folder).scores_of(record) == [("a.png", 0.0), ("c.png", -0.5)]
    assert read_run(folder).scores_of(replace(record, metric="mse")) == [
        ("a.png", 1.0),
        ("b.png", 2.0),
    ]
    assert read_run(folder).scores_of(replace(record, setting="another")) == [("a.png", 9.0)]
    assert read_run(folder).scores_of(replace(record, steps=0)) == []
    doubled = [f"{line},{line.rsplit(',', 1)[1]}" for line in [head, *lines]]
    (folder / "samples.csv").write_text("\n".join(doubled) + "\n")
    with pytest.raises(UserError, match="column mse is listed 2 times"):
        read_run(folder).scores_of(record)
