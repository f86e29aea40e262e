"""Fuzz the readers: every file is read or refused with a `UserError`, and nothing else happens.

    python tests/fuzz/fuzz_readers.py attributes --minutes 10

The targets are `attributes` (CelebA's label files), `table` (labels.csv), `pairs` (pairs.csv), `idx`, `statistics` and `codes` (npz), `configuration`
(config.json, and --set), `weights` (safetensors), `runs` (folders that the gate compares),
`systems` (outputs of a plug-in), `stylegan2` (its three containers), `taming` (the yaml of a
VQ-GAN), `vqvae2` and `diffusers` (a model's configuration), `classifier` (of z_sem),
`webdataset`, `parquet` and `arrow` (of save_to_disk). Hypothesis makes the inputs: valid files, the
same with damaged parts, and random bytes. Another exception, a call that takes more than `SECONDS`
or one that takes more than `MEMORY` ends the run with the smallest such input.
`test_fuzz_readers.py` runs a few hundred fixed ones of each.
"""

import argparse
import gzip
import io
import json
import resource
import signal
import struct
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path

import code_inputs
import numpy as np
import picture_inputs
import plug_in_outputs
import shard_inputs
import stylegan2_pickles
import torch
import vq_inputs
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from safetensors.torch import save
from vq_inputs import JSON

from benchmarks.core.profiles import PROFILES, override
from benchmarks.core.profiles import find as find_profile
from benchmarks.core.sizes import checked, settings_of
from benchmarks.metrics.frechet import frechet_distance, read_statistics
from diffae.checkpoints.checkpoint import CONFIG, WEIGHTS, open_checkpoint
from diffae.data import pairs
from diffae.data.dataset import LABEL_FIELDS
from diffae.data.readers import classes, label_table
from diffae.data.readers.celeba import (
    ATTRIBUTE_FILE,
    IDENTITY_FILE,
    PARTITION_FILE,
    read_celeba_labels,
)
from diffae.data.readers.classes import SOLUTION, read_solution
from diffae.data.readers.idx import read_both
from diffae.model import DDIM, DiffusionAutoencoder
from diffae.networks.config import AUTOENCODER, DDIM_BASELINE, LatentConfig, ModelConfig
from diffae.system.errors import UserError
from diffae.train.presets import PRESETS
from reports.gate.page import Findings, summary, terminal
from reports.gate.verdicts import compare
from reports.records.metrics import METRICS, Margin, Metric
from reports.records.reading import to_plain
from reports.records.record import COLUMNS, HIGHER, LOWER, NEITHER
from reports.records.run_folder import INFLUENCES, RECORDS, RUN, SCHEMA, read_margins, read_run
from reports.records.specs import TableSpec
from reports.tables.build import merge
from reports.tables.markdown import render as render_table

SECONDS, MEMORY = 10, 1 << 30  # of one call: CPU time, and bytes beyond what is mapped at the start

ROUND = 200  # inputs, after which the clock is looked at

Files = dict[str, bytes]


@dataclass(frozen=True)
class Target:
    """A reader under test: the inputs for it, and a call that raises UserError or returns something
    valid.
    """

    inputs: st.SearchStrategy
    read: Callable[[Path, object], None]


# ----------------------------------------------------------------------------------------------
# Damage that any file may have


@st.composite
def damaged(draw, whole: bytes) -> bytes:
    """A file with up to four parts cut out, doubled, or written over."""
    content = whole
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(content)))
        end = start + draw(st.integers(0, 8))
        patch = draw(
            st.one_of(st.just(b""), st.binary(max_size=8), st.just(2 * content[start:end]))
        )
        content = content[:start] + patch + content[end:]
    return content[: draw(st.one_of(st.just(len(content)), st.integers(0, len(content))))]


def or_damaged(whole: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    return st.one_of(whole, whole, whole.flatmap(damaged), st.binary(max_size=64))


def write(folder: Path, files: Files) -> None:
    """The files, and no others, into `folder`."""
    for path in folder.iterdir():
        path.unlink()
    for name, content in files.items():
        (folder / name).write_bytes(content)


# ----------------------------------------------------------------------------------------------
# Attribute files

WORDS = st.one_of(
    st.sampled_from(["1", "-1", "0", "2", "a.jpg", "b.jpg", "../c.jpg", "Male", "Smiling", ""]),
    st.integers().map(str),
    st.integers(4000, 5000).map(lambda digits: "9" * digits),
    st.text(max_size=6),
)
ENDS = st.sampled_from(["\n", "\n", "\r\n", "\r", "\u2028", ""])
NAMES, ATTRIBUTES = ["a.jpg", "b.jpg", "c.png", "ü.jpg"], ["Male", "Smiling", "Young"]


@st.composite
def label_folder(draw) -> Files:
    """CelebA's label files that fit together, but for a line or a byte here and there."""
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=4, unique=True))
    attributes = draw(st.lists(st.sampled_from(ATTRIBUTES), min_size=1, max_size=3, unique=True))
    signs = st.lists(
        st.sampled_from(["1", "-1"]), min_size=len(attributes), max_size=len(attributes)
    )
    rows = [" ".join([name, *draw(signs)]) for name in names]
    files = {ATTRIBUTE_FILE: [str(len(names)), " ".join(attributes), *rows]}
    for name in draw(st.sets(st.sampled_from([PARTITION_FILE, IDENTITY_FILE]))):
        files[name] = [f"{image} {draw(st.integers(0, 2))}" for image in names]
    forms = {name: draw(st.booleans()) for name in files}
    return {
        name.replace(".txt", ".csv") if forms[name] else name: draw(
            or_damaged(text_file(as_csv(lines, name) if forms[name] else lines))
        )
        for name, lines in files.items()
    }


def as_csv(lines: list[str], name: str) -> list[str]:
    """The lines of a label file in Kaggle's form."""
    rows = [",".join(line.split(" ")) for line in lines]
    if name == ATTRIBUTE_FILE:
        return [f"image_id,{rows[1]}", *rows[2:]]
    return ["image_id,number", *rows]


@st.composite
def text_file(draw, lines: list[str]) -> bytes:
    """The lines, at times with some replaced, in one of the encodings that editors write."""
    changed = list(lines)
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        at = draw(st.integers(0, len(lines)))
        changed[at : at + 1] = [" ".join(draw(st.lists(WORDS, max_size=4)))]
    encoding = draw(st.sampled_from(["utf-8", "utf-8", "utf-8-sig", "latin-1", "utf-16"]))
    return draw(ENDS).join(changed).encode(encoding, errors="replace")


def read_labels(folder: Path, files: Files) -> None:
    write(folder, files)
    labels = read_celeba_labels(folder, seed=0)
    count, found = len(set(labels.names)), labels.fields
    assert found["attributes"].shape == (count, len(set(found["attribute_names"]))) and count > 0
    assert found["partition"].shape == (count,) and set(found["partition"]) <= {0, 1, 2}
    assert found["identities"] is None or found["identities"].shape == (count,)


SOLUTIONS = [f"ILSVRC2012_val_{i:08},n0{i} 1 2 3 4" for i in range(3)]


def read_classes(folder: Path, content: bytes) -> None:
    (folder / SOLUTION).write_bytes(content)
    listed = read_solution(folder / SOLUTION)
    images = [f"val/{name}.JPEG" for name in listed if "/" not in name and "\0" not in name]
    found = classes.read_classes(folder, (*images, "val/a/b.JPEG", "val/b/b.JPEG"))
    assert len(found.fields.get("classes", found.images)) == len(found.images)


PAIRS = ["before,after,attribute,on,person", "a.png,b/c.png,Hat,1,p", "b/d.png,a.png,Hat,0,q"]


def read_pairs(folder: Path, content: bytes) -> None:
    (folder / pairs.PAIRS).write_bytes(content)
    found = pairs.read_pairs(folder / pairs.PAIRS, ("a.png", "b/c.png", "b/d.png"))
    for (before, attribute, _), (after, _) in found.items():
        assert before != after and {before, after} <= {0, 1, 2} and attribute.isprintable()
    people = pairs.people_of(found, 3, None)
    assert people is None or len(people) == 3


ROWS = ["file,big,kind,age:real,split,person", "a.png,1,x,2,train,p", "b/c.png,0,y,3,test,q"]


def read_table(folder: Path, content: bytes) -> None:
    (folder / label_table.TABLES[0]).write_bytes(content)
    found = label_table.read_labels(folder, ("a.png", "b/c.png", "b/d.png"))
    of_rows = {name: found.fields[name] for name in LABEL_FIELDS if name in found.fields}
    assert all(
        len(rows) == len(found.images) for rows in (*of_rows.values(), found.splits or found.images)
    )
    if "attributes" in of_rows:
        assert of_rows["attributes"].shape[1] == len(set(found.fields["attribute_names"]))


# ----------------------------------------------------------------------------------------------
# IDX


@st.composite
def idx_file(draw, dimensions: int) -> bytes:
    """An IDX file whose header may promise anything, plain or gzipped."""
    shape = draw(st.lists(st.integers(0, 4), min_size=dimensions, max_size=dimensions))
    data = draw(st.binary(min_size=int(np.prod(shape)), max_size=int(np.prod(shape))))
    promised = [draw(st.one_of(st.just(n), st.integers(0, 2**32 - 1))) for n in shape]
    promised = draw(st.sampled_from([shape, shape, promised]))
    kind = draw(st.sampled_from([8, 8, 8, 9, 13]))
    content = struct.pack(f">4B{dimensions}I", 0, 0, kind, dimensions, *promised) + data
    content += bytes(draw(st.sampled_from([0, 0, 0, 1, 1 << 16])))
    return gzip.compress(content, 1, mtime=0) if draw(st.booleans()) else content


@st.composite
def idx_folder(draw) -> Files:
    """Four files that fit together, with up to four of them exchanged."""
    side = draw(st.integers(1, 3))
    files = {}
    for part in ("train", "t10k"):
        count = draw(st.integers(1, 4))
        pixels = draw(st.binary(min_size=count * side**2, max_size=count * side**2))
        header = struct.pack(">4B3I", 0, 0, 8, 3, count, side, side)
        files[f"{part}-images-idx3-ubyte"] = header + pixels
        labels = bytes(draw(st.lists(st.integers(0, 11), min_size=count, max_size=count)))
        files[f"{part}-labels-idx1-ubyte"] = struct.pack(">4BI", 0, 0, 8, 1, count) + labels
    for name in draw(st.sets(st.sampled_from(sorted(files)))):
        dimensions = 3 if "images" in name else 1
        whole = st.one_of(idx_file(dimensions), st.just(files.pop(name)))
        ending = draw(st.sampled_from(["", ".gz"]))
        files[name + ending] = draw(or_damaged(whole))
    return files


def read_idx_folder(folder: Path, files: Files) -> None:
    write(folder, files)
    pixels, labels, (train, test) = read_both(folder)
    assert pixels.dtype == labels.dtype == np.uint8 and pixels.ndim == 3 and pixels.size > 0
    assert len(pixels) == len(labels) == train + test and labels.max() < 10


# ----------------------------------------------------------------------------------------------
# Statistics

KINDS = st.sampled_from(["<f8", "<f4", "<f2", "<i8", "<u1", "<c16", "|b1", "<U3", "|O", "<M8[s]"])
SMALL = st.floats(-5, 5)
NUMBERS = st.one_of(SMALL, st.floats(), st.sampled_from([np.nan, np.inf, -1.0, 0.0, 1e308]))


@st.composite
def npy_header(draw, shape: tuple[int, ...]) -> bytes:
    """The header of an npy file: to the letter, or with a shape, dtype or text of another kind."""
    wild = st.lists(st.integers(-1, 2**62), max_size=4).map(tuple)
    claimed = draw(st.one_of(st.just(shape), st.just(shape), wild))
    text = repr({"descr": draw(KINDS), "fortran_order": draw(st.booleans()), "shape": claimed})
    text = draw(
        st.one_of(st.just(text), st.text(max_size=40), st.integers(1, 9000).map("(".__mul__))
    )
    version = draw(st.sampled_from([(1, 0), (1, 0), (2, 0), (3, 0), (9, 9)]))
    size = struct.pack("<H" if version == (1, 0) else "<I", len(text.encode()) + 1)
    return b"\x93NUMPY" + bytes(version) + size + text.encode() + b"\n"


@st.composite
def npy_file(draw, shape: tuple[int, ...]) -> bytes:
    count = int(np.prod(shape))
    numbers = draw(st.sampled_from([SMALL, SMALL, SMALL, NUMBERS]))
    values = np.array(draw(st.lists(numbers, min_size=count, max_size=count))).reshape(shape)
    whole = io.BytesIO()
    with np.errstate(all="ignore"):
        if len(shape) == 2 and draw(st.integers(0, 3)):
            values = values @ values.T  # symmetric, a covariance unless it overflows
        if not shape and draw(st.integers(0, 3)):
            values = np.abs(np.rint(values))  # a count
        np.save(whole, values.astype(draw(st.sampled_from(["<f8", "<f4", "<i8"]))))
    if draw(st.integers(0, 7)):
        return whole.getvalue()
    return draw(npy_header(shape)) + draw(
        st.one_of(st.just(values.tobytes()), st.binary(max_size=40))
    )


@st.composite
def npz_file(draw) -> bytes:
    """An npz of mu, sigma and perhaps n, in any of zip's compressions."""
    d = draw(st.sampled_from([1, 2, 3, 4, 0]))
    arrays = {"mu": draw(npy_file((d,))), "sigma": draw(npy_file((d, d)))}
    if draw(st.booleans()):
        arrays["n"] = draw(npy_file(()))
    whole = io.BytesIO()
    method = draw(st.sampled_from([0, 8, 12, 14]))
    with zipfile.ZipFile(whole, "w", method) as archive:
        for name, content in arrays.items():
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), content, method)
    return whole.getvalue()


def read_npz(folder: Path, content: bytes) -> None:
    path = folder / "statistics.npz"
    path.write_bytes(content)
    moments = read_statistics(path)
    d = len(moments.mean)
    assert moments.n >= 0 and d > 0 and moments.scatter.shape == (d, d)
    if moments.n != 1:
        distance = frechet_distance(moments, moments)
        assert np.isfinite(distance) and np.isfinite(moments.covariance()).all()


# ----------------------------------------------------------------------------------------------
# Configuration

MODELS = [asdict(preset.model) for preset in PRESETS.values()]
LATENT = sorted(field.name for field in fields(LatentConfig))
SIZES = st.integers(-1, 70) | st.sampled_from([256, 4096, 10**6, 10**12, 64.0, True])


@st.composite
def config_file(draw) -> bytes:
    """The configuration of a preset with fields changed, left out or made up."""
    data = dict(draw(st.sampled_from(MODELS)))
    values = st.one_of(SIZES, st.lists(SIZES, max_size=5), JSON)
    for name in draw(st.sets(st.sampled_from(sorted(data)), max_size=3)):
        data[name] = draw(values)
    if isinstance(data.get("latent"), dict) and draw(st.booleans()):
        changed = {draw(st.sampled_from(LATENT)): draw(values)}
        data["latent"] = data["latent"] | changed
    if draw(st.booleans()) and draw(st.booleans()):
        data.pop(draw(st.sampled_from(sorted(data))))
    return json.dumps(data).encode()


NESTED = st.integers(1, 100_000).map(lambda depth: b"[" * depth)
SETTINGS = [*PROFILES["quick"].settings()]
SET = st.one_of(
    st.tuples(
        st.sampled_from(SETTINGS),
        st.lists(st.one_of(SIZES.map(str), NUMBERS.map(str), WORDS), max_size=3).map(",".join),
    ).map("=".join),
    st.text(max_size=30),
)
CONFIGURATION = st.one_of(
    or_damaged(config_file()), or_damaged(config_file()), JSON.map(json.dumps).map(str.encode), NESTED, SET
)  # fmt: skip


VALUES = st.one_of(SIZES.map(str).map(str.lower), st.lists(SIZES.map(str).map(str.lower), max_size=3).map(lambda v: f"[{','.join(v)}]"), WORDS, WORDS.map(lambda w: f"'{w}'"))  # fmt: skip


@st.composite
def settings_file(draw) -> bytes:
    """A profile, or a command line, with values and names that may be any."""
    sections = sorted(PROFILES["quick"].sections)
    lines = [f'{draw(st.sampled_from(["base", "name", "seed", "set"]))} = "smoke"'] * draw(SELDOM)
    for section in draw(st.sets(st.sampled_from(sections), max_size=3)):
        names = list(settings_of(type(PROFILES["quick"].sections[section])))
        lines.append(f"[{section}]")
        lines += [
            f"{n} = {draw(VALUES)}" for n in draw(st.sets(st.sampled_from(names), max_size=2))
        ]
    return "\n".join(lines).encode()


def read_settings(folder: Path, content: bytes) -> None:
    """A profile that is accepted has settings that are; and a command line has arguments or is refused."""
    write(folder, {"mine.toml": content})
    profile = find_profile(str(folder / "mine.toml"))
    for section, sizes in profile.sections.items():
        for name, hint in settings_of(type(sizes)).items():
            assert checked(getattr(sizes, name), hint) == getattr(sizes, name), (section, name)


def read_configuration(folder: Path, content: bytes | str) -> None:
    if isinstance(content, str):
        assert override(PROFILES["quick"], content).changed
        return
    write(folder, {CONFIG: content, WEIGHTS: b""})
    config = open_checkpoint(folder).config
    model = DiffusionAutoencoder if config.kind == AUTOENCODER else DDIM
    with torch.device(
        "meta"
    ):  # a configuration that is accepted is one that a model can be built of
        model(config)


# ----------------------------------------------------------------------------------------------
# Run folders

CELLS = st.one_of(
    NUMBERS.map(repr), WORDS, st.sampled_from(["nan", "-inf", "1e999", "3", "True", '"', "a\nb"])
)


SELDOM = st.integers(0, 11).map(lambda i: i == 11)


@st.composite
def run_folder(draw) -> Files:
    """A small run, with cells, fields and arrays of it changed, and its files damaged."""
    count = draw(st.integers(1, 3))
    rows = [draw(run_row(f"system {i}")) for i in range(count)]
    errors = {row["system"]: draw(st.lists(SMALL, min_size=2, max_size=4)) for row in rows}
    for row in rows:
        row["stderr"] = repr(
            float(np.sqrt(np.square(np.float32(errors[row["system"]])).sum(dtype=float)))
        )
    table = [list(COLUMNS), *([row[name] for name in COLUMNS] for row in rows)]
    if draw(SELDOM):
        at, column = draw(st.integers(0, count)), draw(st.integers(0, len(COLUMNS) - 1))
        table[at][column] = draw(CELLS)
    files = {
        RECORDS: "\n".join(map(",".join, table)).encode(errors="replace") + b"\n",
        RUN: json.dumps(draw(run_notes())).encode(),
        INFLUENCES: draw(influences(rows, errors)),
    }
    if draw(SELDOM):
        name = draw(st.sampled_from(sorted(files)))
        files[name] = draw(st.one_of(damaged(files[name]), st.binary(max_size=64), NESTED))
    return files


@st.composite
def run_row(draw, system: str) -> dict[str, str]:
    direction = draw(st.sampled_from([HIGHER, LOWER, NEITHER]))
    row = dict.fromkeys(COLUMNS, "") | {"benchmark": "b", "table": "t", "system": system}
    row |= {"metric": "ssim", "direction": direction, "protocol": "p", "n": "4", "steps": "10"}
    return row | {"value": repr(draw(st.one_of(SMALL, NUMBERS)))}


MINE = Metric(LOWER, "m", "Mine", "me", digits=1, margin=Margin(0.5, "why"))
TABLE = TableSpec("t", "T", "", "t", ("system",), ("metric",), ("mine",), settings=("",))


@st.composite
def described(draw, instance: Metric | TableSpec) -> dict[str, object]:
    """A row of the table of metrics, or a table's spec, with a field or two changed."""
    names = st.sampled_from([field.name for field in fields(instance)])
    values = st.one_of(JSON, st.sampled_from([["system", "metric"], ["steps"], "mine", 3, ""]))
    changed = draw(st.dictionaries(names, values, max_size=2)) if draw(SELDOM) else {}
    return to_plain(instance) | changed


@st.composite
def run_notes(draw) -> object:
    """What run.json holds: protocols, settings and whether the run is complete, or anything."""
    fields_of_protocol = draw(
        st.dictionaries(st.sampled_from(["seed", "n", "x"]), JSON, max_size=2)
    )
    notes = {"schema": SCHEMA, "protocols": {"p": fields_of_protocol}, "complete": True}
    profile = draw(
        st.dictionaries(st.sampled_from(["name", "changed", "sections"]), JSON, max_size=3)
    )
    notes["settings"] = {"profile": profile}
    if draw(st.booleans()):
        notes["metrics"] = {"mine": draw(described(MINE))}
        notes["tables"] = [draw(described(TABLE)) for _ in range(draw(st.integers(1, 2)))]
    for name in ("schema", "protocols", "complete", "settings", "metrics", "tables"):
        notes |= {name: draw(JSON)} if draw(SELDOM) else {}
    return draw(JSON) if draw(SELDOM) else notes


@st.composite
def influences(draw, rows: list[dict[str, str]], errors: dict[str, list[float]]) -> bytes:
    """The influences of the rows, at times with an array whose header promises anything."""
    names = ("benchmark", "system", "dataset", "split", "setting", "steps", "solver", "metric")
    keys = [json.dumps([int(row[n]) if n == "steps" else row[n] for n in names]) for row in rows]
    index = io.BytesIO()
    np.save(index, np.array(json.dumps([[key, "images"] for key in keys])))
    members = {"index": index.getvalue()}
    for i, row in enumerate(rows):
        whole = io.BytesIO()
        np.save(whole, np.float32(errors[row["system"]]))
        members[str(i)] = draw(npy_file((4,))) if draw(SELDOM) else whole.getvalue()
    archive = io.BytesIO()
    method = draw(st.sampled_from([12, 14])) if draw(SELDOM) else 8
    with zipfile.ZipFile(archive, "w", method) as file:
        for name, content in members.items():
            file.writestr(zipfile.ZipInfo(f"{name}.npy"), content, method)
    return archive.getvalue()


def read_runs(folder: Path, sides: tuple[Files, Files]) -> None:
    """Compare two runs, and print what comes out, for any terminal."""
    runs = []
    for files in sides:
        write(folder, files)
        runs.append(read_run(folder))
        pages = [render_table(table, "title", {}) for table in merge([runs[-1]]).tables]
        assert all(len(page.encode()) < 1 << 20 for page in pages)
    found = compare(*runs, read_margins(brought=runs[1].metrics | runs[0].metrics))
    findings = Findings(found, found, "base", "new", METRICS)
    page = terminal(findings, everything=True) + summary(findings)
    assert len(page.encode()) < 1 << 20


# ----------------------------------------------------------------------------------------------
# Weights

TINY = ModelConfig(
    DDIM_BASELINE, 8, 8, (1,), embed_channels=8, num_res_blocks=1, attention_resolutions=(), norm_groups=4
)  # fmt: skip
DTYPES = st.sampled_from(
    ["F32", "F16", "BF16", "F64", "F64", "I64", "BOOL", "F8_E4M3", "F31", "", 7]
)
WHOLE = st.integers(-1, 40) | st.sampled_from([2**20, 2**40, 2**63, 2**64, 1.5, True, None, "1"])


@cache
def tiny_weights() -> bytes:
    """The weights of a baseline of some thousand numbers."""
    torch.manual_seed(0)
    return save(DDIM(TINY).state_dict())


def with_header(header: object, data: bytes, length: int | None = None) -> bytes:
    text = json.dumps(header).encode() if not isinstance(header, bytes) else header
    return struct.pack("<Q", len(text) if length is None else length) + text + data


@st.composite
def weights_file(draw) -> bytes:
    """A file of safetensors whose header has up to three lies, and whose numbers may be none."""
    whole = tiny_weights()
    size = struct.unpack("<Q", whole[:8])[0]
    header, data = json.loads(whole[8 : 8 + size]), whole[8 + size :]
    for _ in range(draw(st.sampled_from([0, 0, 1, 2, 3]))):
        name = draw(st.sampled_from(sorted(header)))
        lie = draw(st.sampled_from(["gone", "renamed", "twice", "dtype", "shape", "place", "junk"]))
        if lie == "gone":
            header.pop(name)
        elif lie == "renamed":
            header[draw(st.text(max_size=9))] = header.pop(name)
        elif lie == "twice":
            header[draw(st.text(max_size=9))] = header[name]
        elif lie == "junk":
            header[name] = draw(JSON)
        elif isinstance(header[name], dict):
            field = {"dtype": DTYPES, "shape": st.lists(WHOLE, max_size=5)}
            value = draw(field.get(lie, st.lists(WHOLE, min_size=1, max_size=3)))
            header[name] = dict(header[name], **{lie if lie in field else "data_offsets": value})
        if not header:
            break
    numbers = bytearray(data)
    for _ in range(draw(st.sampled_from([0, 0, 0, 1]))):
        at = 4 * draw(st.integers(0, len(data) // 4 - 1))
        numbers[at : at + 4] = struct.pack("<f", draw(st.floats(width=32)))
    length = draw(st.sampled_from([None, None, None, None, 0, 8, 2**31, 2**63]))
    return with_header(header, bytes(numbers), length)


MANY = st.integers(1, 5000).map(
    lambda n: with_header(
        {
            f"{i}": {"dtype": "F32", "shape": [1], "data_offsets": [4 * i, 4 * i + 4]}
            for i in range(n)
        },
        bytes(4 * n),
    )
)
WEIGHTS_FILE = st.one_of(
    weights_file(), weights_file(), or_damaged(weights_file()), NESTED.map(lambda n: with_header(n, b"")), MANY
)  # fmt: skip


def read_weights(folder: Path, content: bytes) -> None:
    write(folder, {CONFIG: json.dumps(asdict(TINY)).encode(), WEIGHTS: content})
    model = DDIM.from_pretrained(folder)
    out = model.predict_noise(torch.zeros(1, 3, 8, 8), 500)
    assert all(p.dtype == torch.float32 and p.isfinite().all() for p in model.parameters())
    assert out.shape == (1, 3, 8, 8)


TARGETS = {
    "attributes": Target(label_folder(), read_labels),
    "table": Target(or_damaged(text_file(ROWS)), read_table),
    "pairs": Target(or_damaged(text_file(PAIRS)), read_pairs),
    "classes": Target(
        or_damaged(text_file(["ImageId,PredictionString", *SOLUTIONS])), read_classes
    ),
    "idx": Target(idx_folder(), read_idx_folder),
    "statistics": Target(or_damaged(npz_file()), read_npz),
    "codes": Target(code_inputs.files(or_damaged), code_inputs.read_codes),
    "configuration": Target(CONFIGURATION, read_configuration),
    "settings": Target(
        st.one_of(settings_file(), or_damaged(settings_file()), NESTED), read_settings
    ),
    "weights": Target(WEIGHTS_FILE, read_weights),
    "runs": Target(
        st.one_of(st.tuples(run_folder(), run_folder()), run_folder().map(lambda f: (f, f))),
        read_runs,
    ),
    "systems": Target(plug_in_outputs.stranger(), plug_in_outputs.measure),
    "stylegan2": Target(
        or_damaged(st.deferred(lambda: st.sampled_from(stylegan2_pickles.whole()))),
        stylegan2_pickles.read,
    ),
    "taming": Target(or_damaged(vq_inputs.yaml_file()), vq_inputs.read_yaml),
    "vqvae2": Target(or_damaged(vq_inputs.vqvae2_file()), vq_inputs.read_vqvae2),
    "diffusers": Target(or_damaged(vq_inputs.model_config()), vq_inputs.read_model_config),
    "classifier": Target(
        or_damaged(picture_inputs.classifier_file()), picture_inputs.read_classifier
    ),
    "webdataset": Target(or_damaged(shard_inputs.tar_file()), shard_inputs.read_tar),
    "parquet": Target(or_damaged(shard_inputs.parquet_file()), shard_inputs.read_parquet),
    "arrow": Target(
        st.tuples(shard_inputs.arrow_file(), shard_inputs.state_file())
        | st.tuples(or_damaged(shard_inputs.arrow_file()), or_damaged(shard_inputs.state_file())),
        shard_inputs.read_saved,
    ),
}


# ----------------------------------------------------------------------------------------------
# Running


def attempt(target: Target, folder: Path, content: object) -> str:
    """Read one input: "read" or "refused". Everything else raises, a call that takes too long too."""

    def too_long(*_: object) -> None:
        raise TimeoutError(f"took more than {SECONDS} s of CPU time")

    signal.signal(signal.SIGPROF, too_long)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        target.read(folder, content)
        return "read"
    except UserError as error:
        assert str(error)
        return "refused"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def limit_memory() -> None:
    """Make an allocation of more than MEMORY beyond what is mapped now a MemoryError."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))


def fuzz(target: Target, examples: int, start: int, derandomize: bool = False) -> Counter[str]:
    """Try `examples` inputs and count the outcomes. Raises what a reader raised, on its smallest input."""
    outcomes: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:

        @settings(
            max_examples=examples,
            deadline=None,
            database=None,
            derandomize=derandomize,
            phases=[Phase.generate, Phase.target, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        )
        @given(target.inputs)
        def run(content: object) -> None:
            outcomes[attempt(target, Path(folder), content)] += 1

        (run if derandomize else seed(start)(run))()
    return outcomes


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("target", nargs="?", choices=[*TARGETS, "all"], default="all")
    parser.add_argument("--minutes", type=float, default=10, help="for each target (default: 10)")
    args = parser.parse_args(arguments)
    with torch.device("meta"):
        DDIM(PRESETS["portraits-ddim"].model)  # what torch imports on first use counts for no call
    limit_memory()
    for name in TARGETS if args.target == "all" else [args.target]:
        fuzz_for(name, args.minutes)


def fuzz_for(name: str, minutes: float) -> None:
    """Fuzz one target for so many minutes and print what came of it."""
    end, outcomes, start = time.monotonic() + 60 * minutes, Counter(), 0
    while time.monotonic() < end:
        outcomes += fuzz(TARGETS[name], ROUND, start)
        start += 1
        print(f"{name}: {dict(outcomes)}, {time.process_time():.0f} s", file=sys.stderr)
    counts = ", ".join(f"{count:,} {outcome}" for outcome, count in sorted(outcomes.items()))
    print(f"{name}: {outcomes.total():,} inputs in {minutes:g} minutes: {counts}, 0 failures")


if __name__ == "__main__":
    main()
