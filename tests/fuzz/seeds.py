"""Whole files for each reader, which `damage.py` then damages: SEEDS, by the name of the target."""

import gzip
import io
import json
import struct
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import stylegan2_imitations as imitations
import torch
from damage import Files
from PIL import Image
from safetensors.torch import save

from benchmarks.systems.stylegan2.network import Generator, StyleGAN2Config
from diffae.checkpoints.checkpoint import CONFIG, WEIGHTS
from diffae.data import pairs
from diffae.data.readers import label_table
from diffae.data.readers.celeba import ATTRIBUTE_FILE, IDENTITY_FILE, PARTITION_FILE
from diffae.data.readers.classes import SOLUTION
from diffae.images.classifier import FORM
from diffae.model import DDIM
from diffae.networks.config import DDIM_BASELINE, ModelConfig
from diffae.train.presets import PRESETS
from reports.records.metric import Margin, Metric
from reports.records.reading import to_plain
from reports.records.record import COLUMNS, LOWER
from reports.records.run_folder import INFLUENCES, RECORDS, RUN, SCHEMA
from reports.records.specs import TableSpec

SIDE = 8  # of images, in pixels
COUNT = 50  # codes
TINY = ModelConfig(
    DDIM_BASELINE, 8, 8, (1,), embed_channels=8, num_res_blocks=1, attention_resolutions=(), norm_groups=4
)  # fmt: skip


def lines(*rows: str) -> bytes:
    return "\n".join(rows).encode()


def npz(**arrays: np.ndarray) -> bytes:
    np.savez(file := io.BytesIO(), **arrays)
    return file.getvalue()


def picture() -> bytes:
    Image.new("RGB", (SIDE, SIDE), "red").save(file := io.BytesIO(), "png")
    return file.getvalue()


# ----------------------------------------------------------------------------------------------
# Data sets


def attributes() -> list[Files]:
    signs, kaggle = ["a.jpg 1 -1", "b.jpg -1 1", "ü.jpg 1 1"], ["a.jpg,1,-1", "b.jpg,-1,1"]
    parts = ["a.jpg 0", "b.jpg 1", "ü.jpg 2"]
    text = {ATTRIBUTE_FILE: lines("3", "Male Young", *signs), PARTITION_FILE: lines(*parts)}
    table = lines("image_id,Male,Young", *kaggle)
    return [
        text,
        text | {IDENTITY_FILE: lines(*parts)},
        {ATTRIBUTE_FILE.replace(".txt", ".csv"): table},
    ]


def idx() -> list[Files]:
    files = {}
    for part, count in (("train", 3), ("t10k", 2)):
        header = struct.pack(">4B3I", 0, 0, 8, 3, count, 2, 2)
        files[f"{part}-images-idx3-ubyte"] = header + bytes(range(4 * count))
        files[f"{part}-labels-idx1-ubyte"] = struct.pack(">4BI", 0, 0, 8, 1, count) + bytes(count)
    packed = {f"{name}.gz": gzip.compress(content, 1, mtime=0) for name, content in files.items()}
    return [files, packed]


def webdataset() -> list[Files]:
    shards = []
    for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        with tarfile.open(fileobj=(file := io.BytesIO()), mode="w", format=form) as archive:
            for name, content in (("a.png", picture()), ("a.cls", b"1"), ("b.png", picture())):
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
            info = tarfile.TarInfo("c.png")
            info.type, info.linkname = tarfile.SYMTYPE, "a.png"
            archive.addfile(info)
        shards.append({"a.tar": file.getvalue()})
    return shards


def columns_of_images() -> list[pa.Array]:
    """Images as bytes, as `datasets` saves them, and with a path and a time that are none."""
    contents = [picture(), picture(), None]
    saved = pa.array([{"bytes": content, "path": "a.png"} for content in contents])
    path = pa.array([b"\xff.png"] * len(contents)).view(pa.string())
    taken = pa.array([2**63 - 1] * len(contents), pa.timestamp("us"))
    odd = [pa.array(contents, pa.binary()), path, taken]
    struct_ = pa.StructArray.from_arrays(odd, ["bytes", "path", "taken"])
    return [pa.array(contents[:2]), saved[:2], saved, struct_]


def tables() -> list[pa.Table]:
    kind = {"_type": "ClassLabel", "names": ["a", "b", "c"]}
    features = json.dumps({"info": {"features": {"label": kind}}})
    made = []
    for images in columns_of_images():
        for labels in ([0, 1, 2], [2**62, None, -1]):
            table = pa.table({"image": images, "label": pa.array(labels[: len(images)])})
            made += [table, table.replace_schema_metadata({"huggingface": features})]
    twice = pa.Table.from_arrays([images, images], names=["image", "image"])
    return [*made, twice, made[0].replace_schema_metadata({"huggingface": "{"})]


def parquet() -> list[Files]:
    files = []
    for table in tables():
        pa.parquet.write_table(table, file := io.BytesIO(), row_group_size=2)
        files.append({"a.parquet": file.getvalue()})
    return files


# ----------------------------------------------------------------------------------------------
# Numbers


def codes() -> list[Files]:
    rows = np.arange(COUNT)
    values = np.sin(np.outer(rows, [1, 2, 3]))
    files = np.array([f"{row}.png" for row in rows])
    labels = {"labels": np.outer(rows, [1, 2]) % 3, "names": np.array(["a", "b"])}
    beside = {"split": rows % 3, "persons": rows // 2, "files": files}
    table = lines(
        "file,a,b:real,c:binary", *(f"{row}.png,{row % 3},{row},{row % 2}" for row in rows)
    )
    whole = {
        "codes.npz": npz(codes=values, **labels, **beside, kinds=np.array(["classes", "real"]))
    }
    alone = {"codes.npz": npz(codes=values, files=files)}
    return [whole, alone, alone | {"labels.npz": npz(**labels)}, alone | {"labels.csv": table}]


def statistics() -> list[Files]:
    mean, factor = np.arange(3) / 3, np.tri(3)
    moments = {"mu": mean, "sigma": factor @ factor.T}
    return [{"a.npz": npz(**moments)}, {"a.npz": npz(**moments, n=np.array(9))}]


def run(brought: bool) -> Files:
    names = ("benchmark", "system", "dataset", "split", "setting", "steps", "solver", "metric")
    rows, index = [], []
    arrays = {"0": np.float32([0.1, -0.1, 0.2]), "1": np.float32([0.3, 0.1, -0.2])}
    for number, array in arrays.items():
        row = dict.fromkeys(COLUMNS, "") | {"benchmark": "b", "table": "t", "protocol": "p"}
        row |= {"system": f"system {number}", "metric": "ssim", "direction": "higher", "n": "4"}
        error = float(np.sqrt(np.square(array).sum(dtype=float)))
        row |= {"steps": "10", "value": "0.5", "stderr": repr(error)}
        rows.append(",".join(row[name] for name in COLUMNS))
        key = json.dumps([int(row[name]) if name == "steps" else row[name] for name in names])
        index.append([key, "images"])
    notes = {"schema": SCHEMA, "protocols": {"p": {"seed": 0}}, "complete": True}
    notes["settings"] = {"profile": {"name": "quick", "changed": [], "sections": {}}}
    if brought:
        metric = Metric(LOWER, "m", "Mine", "me", digits=1, margin=Margin(0.5, "why"))
        table = TableSpec("t", "T", "", "t", ("system",), ("metric",), ("mine",), settings=("",))
        notes |= {"metrics": {"mine": to_plain(metric)}, "tables": [to_plain(table)]}
    return {
        RECORDS: lines(",".join(COLUMNS), *rows, ""),
        RUN: json.dumps(notes).encode(),
        INFLUENCES: npz(index=np.array(json.dumps(index)), **arrays),
    }


def runs() -> list[Files]:
    sides = [{f"{side}/{name}": content for name, content in run(brought).items()}
             for side in ("base", "new") for brought in (False, True)]  # fmt: skip
    return [sides[0] | sides[2], sides[1] | sides[3]]


# ----------------------------------------------------------------------------------------------
# Models and settings


def configuration() -> list[Files]:
    models = [asdict(preset.model) for preset in PRESETS.values()]
    return [{CONFIG: json.dumps(model).encode(), WEIGHTS: b""} for model in models]


def weights() -> list[Files]:
    torch.manual_seed(0)
    many = {str(number): torch.zeros(1) for number in range(3000)}
    config = json.dumps(asdict(TINY)).encode()
    states = [DDIM(TINY).state_dict()] * 4 + [many]
    return [{CONFIG: config, WEIGHTS: save(state)} for state in states]


def classifier() -> list[Files]:
    shapes = {"weight": (2, 3), "bias": (2,), "mean": (3,), "std": (3,)}
    notes = {"form": FORM, "names": '["Male", "Young"]', "checkpoint": "", "made": "here"}
    tensors = {name: torch.ones(shape) for name, shape in shapes.items()}
    changed = [notes, notes, notes | {"names": '["A", "A"]'}, notes | {"names": "[" * 5000}]
    return [{"c.safetensors": save(tensors, about)} for about in changed]


def stylegan2() -> list[Files]:
    torch.manual_seed(0)
    config = StyleGAN2Config((1, 1), z_dim=2, w_dim=2, mapping_layers=1, mapping_width=2)
    state = Generator(config).state_dict()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        written = [
            imitations.write_rosinality(path, state).read_bytes(),
            imitations.write_pytorch(path, state, {"c_dim": 0}).read_bytes(),
            imitations.write_tensorflow(path, state, {"resolution": 8}).read_bytes(),
        ]
    return [{"file": content} for content in written]


def taming() -> list[Files]:
    return [{"last.yaml": lines(
        "model:", "  target: taming.models.vqgan.VQModel", "  params:", "    embed_dim: 4",
        "    n_embed: 16", "    ddconfig: {double_z: false, z_channels: 4, resolution: 256,",
        "      in_channels: 3, out_ch: 3, ch: 32, ch_mult: [1, 2],",
        "      num_res_blocks: 1, attn_resolutions: [16]}",
    )}]  # fmt: skip


def diffusers() -> list[Files]:
    config = {"_class_name": "AutoencoderKL", "in_channels": 3, "out_channels": 3}
    kinds = [config, config | {"_class_name": "VQModel"}, config | {"auto_map": {}}]
    empty = {"diffusion_pytorch_model.safetensors": b""}
    return [{"config.json": json.dumps(kind).encode(), **empty} for kind in kinds]


TABLE = ["file,big,kind,age:real,split,person", "a.png,1,x,2,train,p", "b/c.png,0,y,3,test,q"]
PAIRS = ["before,after,attribute,on,person", "a.png,b/c.png,Hat,1,p", "b/d.png,a.png,Hat,0,q"]
CLASSES = ["ImageId,PredictionString", *(f"ILSVRC2012_val_{i:08},n0{i} 1 2 3 4" for i in range(3))]

SEEDS: dict[str, Callable[[], list[Files]]] = {
    "attributes": attributes,
    "table": lambda: [{label_table.TABLES[0]: lines(*TABLE)}],
    "pairs": lambda: [{pairs.PAIRS: lines(*PAIRS)}],
    "classes": lambda: [{SOLUTION: lines(*CLASSES)}],
    "idx": idx,
    "webdataset": webdataset,
    "parquet": parquet,
    "codes": codes,
    "statistics": statistics,
    "runs": runs,
    "configuration": configuration,
    "weights": weights,
    "classifier": classifier,
    "stylegan2": stylegan2,
    "taming": taming,
    "diffusers": diffusers,
}
