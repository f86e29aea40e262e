"""Systems by name: those of this package, of plug-ins, of timm, and classes by their address.

Imports no PyTorch.
"""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.runtime.registry import Own, Registry, found_at
from diffae.checkpoints import hub

if TYPE_CHECKING:
    import torch

    from benchmarks.systems.protocol.base import System

OURS = {
    "diffae": "benchmarks.systems.diffusion:DiffAESystem",
    "ddim": "benchmarks.systems.diffusion:DDIMSystem",
    "vqgan": "benchmarks.systems.vqgan.system:VQGANSystem",
    "vqvae2": "benchmarks.systems.vqvae2.system:VQVAE2System",
    "nvae": "benchmarks.systems.nvae.system:NVAESystem",
    "d2c": "benchmarks.systems.d2c.system:D2CSystem",
    "stylegan2-w": "benchmarks.systems.stylegan2.system:StyleGAN2W",
    "stylegan2-wplus": "benchmarks.systems.stylegan2.system:StyleGAN2WPlus",
    "diffusers": "benchmarks.systems.diffusers.system:open_model",
    "pixels-pca": "benchmarks.systems.references:PixelsPCA",
    "random-encoder": "benchmarks.systems.references:RandomEncoder",
    "timm": "benchmarks.systems.references:TimmEncoder",
}

# The default of `--systems`: the paper's model, its baseline, and the rows that give a scale.
DEFAULT = ("diffae", "ddim", "pixels-pca", "random-encoder")


def _own(target: str) -> Own:
    """A system of this package.

    Its description is the first line of its docstring, read from the file without importing it.
    """
    module, name = target.split(":")
    path = Path(__file__).parents[2] / f"{module.replace('.', '/')}.py"
    source = path.read_text(encoding="utf-8")
    docstring = re.search(rf'^(?:class|def) {name}\b.*?"""([^"\n]*)', source, re.M | re.S)
    return Own(target, docstring[1] if docstring else "")


REGISTRY: Registry[Callable[..., "System"]] = Registry(
    "system",
    "diffae.systems",
    {name: _own(target) for name, target in OURS.items()},
    line=lambda system: (system.__doc__ or "").strip().split("\n")[0],
)


def load(
    name: str, path: "str | Path | None" = None, device: "str | torch.device" = "cpu"
) -> "System":
    """Load the system `name` from the checkpoint `path`; its calls are checked (protocol/checked.py).

    `path` may be on the Hub: hf://OWNER/NAME. `path=None` loads the packaged checkpoint, if
    there is one. Raises UserError if there is no such system or its checkpoint cannot be used,
    SystemFailed if the system fails or is invalid.
    """
    import torch

    from benchmarks.systems.protocol import checked

    make = factory(name)
    place, origin = hub.find(path)
    system = checked.build(name, make, place, torch.device(device))
    system.origin = origin
    return system


def factory(name: str) -> Callable[..., "System"]:
    """The function that makes the system of that name from a path and a device.

    A name is a registered one, "timm:MODEL", "codes:FILE", or "package.module:attribute", the
    address of a class (or a function) of the user. Raises UserError if there is nothing of that name.
    """
    place, separator, attribute = name.partition(":")
    if not separator:
        return REGISTRY.get(name)
    if place == "timm":
        from benchmarks.systems.references import TimmNamed

        return partial(TimmNamed, attribute)
    if place == "codes":
        from benchmarks.systems.codes_file import CodesFile

        return partial(CodesFile, attribute)
    return found_at(name)


def is_address(name: str) -> bool:
    """Whether a text is the address of a system: package.module:factory, timm:MODEL or codes:FILE.

    Plain names and paths are not.
    """
    place, _, attribute = name.partition(":")
    if place == "codes":
        return bool(attribute)
    return bool(attribute) and "/" not in name and place.replace(".", "").isidentifier()


def require(name: str) -> None:
    """Raise UserError if there is no system of that name. Our own systems are not imported."""
    place, separator, _ = name.partition(":")
    if not separator:
        REGISTRY.require(name)
    elif place not in ("timm", "codes"):
        found_at(name)


def slug(title: str) -> str:
    """A title as a name for files and options."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
