"""Model folders of diffusers: find the folder of a path, refuse unsupported ones, load the model.

Only `config.json` and `*.safetensors` are read. No code of a folder is run, no pickle is opened. A folder
on the Hub is downloaded before (diffae/checkpoints/hub.py), and no network is used here.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from benchmarks.systems.shared import library
from benchmarks.systems.shared.recognised import CONFIG, PIPELINE, read_json
from diffae.checkpoints import hub
from diffae.system.errors import UserError, name_all
from diffae.system.files import file_size, sha256

Config = Mapping[str, Any]
WEIGHTS = "diffusion_pytorch_model"
LAYERS = re.compile(r"(^|_)(layers|blocks|depth)(_|$)")  # their names in a configuration
PICKLES = (".bin", ".pt", ".pth", ".ckpt")
PARTS = ("vae", "vqvae")  # the folders of a pipeline that can be its autoencoder


@dataclass(frozen=True)
class Kind:
    """Properties in which a class of diffusers differs from the others.

    `output` is the field of the result of its `encode`; `stride` and `channels` of the code are
    computed from its configuration.
    """

    output: str
    stride: Callable[[Config], int]
    channels: Callable[[Config], int] = itemgetter("latent_channels")


def _levels(name: str) -> Callable[[Config], int]:
    """The stride of a pyramid with the levels of entry `name`: all but one halve the side."""
    return lambda config: 2 ** (len(config[name]) - 1)


KINDS = {
    "AutoencoderKL": Kind("latent_dist", _levels("block_out_channels")),
    "AsymmetricAutoencoderKL": Kind("latent_dist", _levels("down_block_out_channels")),
    "AutoencoderTiny": Kind("latents", _levels("encoder_block_out_channels")),
    "AutoencoderDC": Kind("latent", _levels("encoder_block_out_channels")),
    "AutoencoderRAE": Kind("latent", itemgetter("patch_size"), itemgetter("encoder_hidden_size")),
    "AutoencoderKLFlux2": Kind("latent_dist", _levels("block_out_channels")),
    "AutoencoderKLHunyuanImage": Kind("latent_dist", itemgetter("spatial_compression_ratio")),
    "AutoencoderKLKVAE": Kind("latent_dist", _levels("ch_mult"), itemgetter("z_channels")),
    "ConsistencyDecoderVAE": Kind("latent_dist", _levels("encoder_block_out_channels")),
    "VQModel": Kind(
        "latents",
        _levels("block_out_channels"),
        lambda config: config.get("vq_embed_dim") or config["latent_channels"],
    ),
}


@dataclass(frozen=True)
class ModelFolder:
    """A readable folder: its path, its title in tables, and its class."""

    folder: Path
    title: str
    class_name: str

    @property
    def weights(self) -> list[Path]:
        return sorted(self.folder.glob("*.safetensors"))

    def fingerprint(self) -> str:
        """SHA-256 of the safetensors and the configuration."""
        digest = hashlib.sha256((self.folder / CONFIG).read_bytes())
        for path in self.weights:
            digest.update(f"{path.name} {sha256(path)}\n".encode())
        return digest.hexdigest()


def find(path: Path) -> ModelFolder:
    """Find the model folder of `path`: itself, or the `vae` of a pipeline.

    Raises UserError, naming the path.
    """
    if not path.is_dir():
        needed = f"of diffusers: with {CONFIG} and {WEIGHTS}.safetensors"
        if path.exists():
            raise UserError(f"{path}: is a file; give its folder ({needed})")
        raise UserError(f"{path}: no such folder ({needed}){hub.hint(path)}")
    folder = _of_pipeline(path) if (path / PIPELINE).is_file() else path
    config = read_json(folder / CONFIG)
    class_name = _class_name(config, folder)
    for name in ("in_channels", "out_channels"):
        if config.get(name, 3) != 3:
            why = "images have 3 channels here"
            raise UserError(f"{folder}: {name} is {config[name]!r:.20}: {why}")
    _refuse_without_safetensors(folder)
    return ModelFolder(folder, f"{hub.title(path)} ({class_name})", class_name)


def _of_pipeline(path: Path) -> Path:
    """The folder of a pipeline's autoencoder.

    Raises UserError if it has none of diffusers' own classes.
    """
    index = read_json(path / PIPELINE)
    for part in (part for part in PARTS if (path / part).is_dir()):
        library_and_class = index.get(part) or ["diffusers"]
        if not isinstance(library_and_class, list) or library_and_class[:1] != ["diffusers"]:
            raise UserError(
                f"{path}: its {part} is custom code ({library_and_class!r:.80}), which is not run; only classes of "
                "diffusers itself are supported"
            )
        return path / part
    raise UserError(f"{path}: a pipeline without a vae; there is no autoencoder in it to measure")


def _class_name(config: Config, folder: Path) -> str:
    name = config.get("_class_name")
    if "auto_map" in config:
        raise UserError(f"{folder}: its {CONFIG} asks for custom code (auto_map), which is not run")
    if not isinstance(name, str):
        owner = config.get("system")
        hint = f"; it is a folder of ours: --ckpt {owner}={folder}" if owner else ""
        raise UserError(f"{folder}: no model of diffusers: no {CONFIG} with a _class_name{hint}")
    if name not in KINDS:
        raise UserError(
            f"{folder}: {name:.60} is not an autoencoder of images that can be measured; supported are "
            f"{', '.join(KINDS)}"
        )
    return name


def _refuse_without_safetensors(folder: Path) -> None:
    if any(folder.glob(f"{WEIGHTS}*.safetensors")):
        for path in folder.glob("*.safetensors"):
            file_size(path)  # refuses a pipe, which would block
        return
    if pickles := sorted(path.name for path in folder.iterdir() if path.suffix in PICKLES):
        raise UserError(
            f"{folder}: has its weights as a pickle only ({pickles[0]}), which is not opened; save the model as "
            f"{WEIGHTS}.safetensors"
        )
    raise UserError(f"{folder}: has no {WEIGHTS}.safetensors")


# ----------------------------------------------------------------------------------------------
# The model


def load(source: ModelFolder) -> Any:
    """The model in float32, in evaluation mode, with all of its weights.

    Raises UserError, naming the folder.
    """
    package = library.diffusers(str(source.folder))
    if (model_class := getattr(package, source.class_name, None)) is None:
        raise UserError(
            f"{source.folder}: the diffusers that is installed ({package.__version__}) has no {source.class_name}; "
            "install a newer one"
        )
    load_config, from_config = model_class.load_config, model_class.from_config
    _refuse_beyond_weights(source, lambda: from_config(load_config(source.folder)))
    try:
        model, report = model_class.from_pretrained(
            source.folder,
            local_files_only=True,
            use_safetensors=True,
            low_cpu_mem_usage=False,
            torch_dtype=torch.float32,
            output_loading_info=True,
            variant=_variant(source),
        )
    except Exception as error:  # a configuration can be wrong in any way
        words = " ".join(str(error).split())[:300]
        fault = f"diffusers makes no {source.class_name} of it ({type(error).__name__}: {words})"
        raise UserError(f"{source.folder}: {fault}") from None
    _refuse_incomplete(model, report, source.folder)
    return model.eval().requires_grad_(False)


def _refuse_beyond_weights(source: ModelFolder, build: Callable[[], nn.Module]) -> None:
    """Raise UserError if the configuration is larger than the weights.

    It is if it has more layers than the files have tensors, or if the network has more numbers than
    they have bytes: building it could take hours or all memory. Other faults are left to diffusers.
    """
    path = source.folder / CONFIG
    try:
        tensors = sum(len(safe_open(file, "pt").keys()) for file in source.weights)
    except (OSError, SafetensorError):
        return
    for name, value in read_json(path).items():
        layers = value if isinstance(value, list) else [value]
        if LAYERS.search(name) and any(isinstance(n, int) and n > tensors for n in layers):
            fault = f"{value!r:.40} are more layers than its weights have tensors ({tensors:,})"
            raise UserError(f"{path}: {name}: {fault}")
    try:
        with torch.device("meta"):
            model = build()
    except Exception:
        return
    size = sum(file.stat().st_size for file in source.weights)
    if (count := sum(p.numel() for p in model.parameters())) > size:
        fault = f"describes a network of {count:,} numbers, and its weights have {size:,} bytes"
        raise UserError(f"{path}: {fault}")


def _variant(source: ModelFolder) -> str | None:
    """The variant in the names of the weights, such as fp16, if there are none without a variant."""
    names = [path.name for path in source.weights if path.name.startswith(WEIGHTS)]
    plain = [n for n in names if n.startswith((f"{WEIGHTS}.safetensors", f"{WEIGHTS}-"))]
    return None if plain else names[0].removeprefix(f"{WEIGHTS}.").split(".")[0].split("-")[0]


def _refuse_incomplete(model: nn.Module, report: Mapping[str, Iterable[str]], folder: Path) -> None:
    """Raise UserError if weights are missing or left over.

    diffusers would initialise missing ones at random and drop the others.
    """
    state = model.state_dict()
    faults = {
        "missing": sorted(report["missing_keys"]),
        "not part of the model": sorted(report["unexpected_keys"]),
        "not finite": sorted(k for k, v in state.items() if not torch.isfinite(v).all()),
    }
    if text := name_all(faults):
        raise UserError(f"{folder}: tensors {text}")
