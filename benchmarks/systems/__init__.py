"""Systems: models behind one protocol.

    systems.load("diffae", path)                        a registered one, ready to use
    systems.load("my_vae:MyVAE", path)                  one that is found where it is written, package.module:factory
    systems.load("timm:resnet50", path)                 an encoder of timm
    systems.as_system(thing)                            of a name, a path, a `System`, or a model in memory
    systems.wrap(model, image_size=64, title="Mine")    of any object with `encode` and `decode`

`base.py` says what a system is.
"""

import importlib
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.runtime.registry import Own, Registry, found_at

if TYPE_CHECKING:
    import torch

    from benchmarks.runtime.errors import SystemFailed
    from benchmarks.systems.base import Code, System
    from benchmarks.systems.live import as_system, wrap
    from benchmarks.systems.parts import Part

__all__ = [
    "REGISTRY",
    "Code",
    "Part",
    "System",
    "SystemFailed",
    "as_system",
    "describe",
    "factory",
    "is_address",
    "load",
    "require",
    "slug",
    "wrap",
]


# Of these, what needs PyTorch, by the module that has it: imported when it is used.
LAZY = {
    "Code": "benchmarks.systems.base",
    "Part": "benchmarks.systems.parts",
    "System": "benchmarks.systems.base",
    "SystemFailed": "benchmarks.runtime.errors",
    "as_system": "benchmarks.systems.live",
    "wrap": "benchmarks.systems.live",
}


def __getattr__(name: str) -> Any:
    if name not in LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(LAZY[name]), name)


def _line(system: type) -> str:
    return (system.__doc__ or "").strip().split("\n")[0]


REGISTRY = Registry(
    "system",
    "diffae.systems",
    {
        "diffae": Own(
            "benchmarks.systems.diffusion:DiffAESystem",
            "Diffusion autoencoder: z_sem and x_T, latent DDIM for sampling (the paper's model)",
        ),
        "ddim": Own(
            "benchmarks.systems.diffusion:DDIMSystem",
            "DDIM baseline: the same UNet without an encoder; its only code is x_T",
        ),
        "vqgan": Own(
            "benchmarks.systems.vqgan:VQGANSystem",
            "VQ-GAN: a map of codes from one codebook (taming-transformers' checkpoints)",
        ),
        "vqvae2": Own(
            "benchmarks.systems.vqvae2:VQVAE2System",
            "VQ-VAE-2: two maps of codes from two codebooks (rosinality's checkpoints)",
        ),
        "nvae": Own(
            "benchmarks.systems.nvae:NVAESystem",
            "NVAE: a hierarchy of groups of latent maps (NVlabs' checkpoints)",
        ),
        "d2c": Own(
            "benchmarks.systems.d2c:D2CSystem",
            "D2C: an autoencoder with a contrastive loss, and a DDIM of its codes (the authors' checkpoint)",
        ),
        "stylegan2-w": Own(
            "benchmarks.systems.stylegan2:StyleGAN2W",
            "StyleGAN2, its code one vector w for all layers",
        ),
        "stylegan2-wplus": Own(
            "benchmarks.systems.stylegan2:StyleGAN2WPlus",
            "StyleGAN2, its code a vector w for each layer (W+)",
        ),
        "diffusers": Own(
            "benchmarks.systems.diffusers_system:open_model",
            "Any autoencoder of images of diffusers, of its folder or of a pipeline's vae",
        ),
        "pixels-pca": Own(
            "benchmarks.systems.references:PixelsPCA",
            "Pixels projected on their first principal components, as many as z_sem has numbers",
        ),
        "random-encoder": Own(
            "benchmarks.systems.references:RandomEncoder",
            "The semantic encoder with random weights: what its architecture alone is worth",
        ),
        "timm": Own(
            "benchmarks.systems.references:TimmEncoder",
            "EfficientNet-lite0 trained on ImageNet (timm): what a supervised encoder's features are worth",
        ),
        "dummy-perfect": Own(
            "benchmarks.systems.dummy:Perfect", "The image is its own code: SSIM 1, MSE 0"
        ),
        "dummy-constant": Own(
            "benchmarks.systems.dummy:Constant",
            "Every image decodes to mid-grey, every code is zero: path length 0, AUROC 0.5",
        ),
        "dummy-random": Own(
            "benchmarks.systems.dummy:RandomCode",
            "A code that knows nothing of the image: AUROC 0.5 within its error",
        ),
        "dummy-map": Own(
            "benchmarks.systems.dummy:ColourMap",
            "A map: the image averaged over 4 x 4 pixels; the error is what varies within them",
        ),
        "dummy-levels": Own(
            "benchmarks.systems.dummy:Pyramid",
            "Several maps: the levels of a Laplacian pyramid (Burt and Adelson, 1983): SSIM 1, MSE 0",
        ),
        "dummy-layers": Own(
            "benchmarks.systems.dummy:Layers",
            "Layers: one vector for each of four, all the same; read and decoded by their mean",
        ),
        "dummy-tokens": Own(
            "benchmarks.systems.dummy:GreyLevels",
            "Tokens: each value of a pixel as the nearest of 16; no value is off by more than 1/15",
        ),
        "dummy-stochastic": Own(
            "benchmarks.systems.dummy:MeanAndRest",
            "A vector and x_T: the mean colour, and ten times the rest; perfect with the image's own x_T",
        ),
    },
    line=_line,
)

# What `--systems` defaults to: the paper's model, its baseline, and the rows that give a scale.
DEFAULT = ("diffae", "ddim", "pixels-pca", "random-encoder")


def load(
    name: str, path: "str | Path | None" = None, device: "str | torch.device" = "cpu"
) -> "System":
    """The system `name` from the checkpoint `path` (None: what ships with the package, if it does), `checked`.

    Raises UserError if there is no such system or its checkpoint cannot be used, SystemFailed if it is there
    and not what a system must be.
    """
    import torch

    from benchmarks.systems import checked

    return checked.build(name, factory(name), path, torch.device(device))


def factory(name: str) -> Callable[..., Any]:
    """What makes the system of that name of a path and a device.

    A name is a registered one, "timm:MODEL", or "package.module:attribute", where a class (or a function) of the user's
    is. Raises UserError if there is nothing of that name.
    """
    place, separator, attribute = name.partition(":")
    if not separator:
        return REGISTRY.get(name)
    if place == "timm":
        from benchmarks.systems.timm_encoders import TimmNamed

        return partial(TimmNamed, attribute)
    return found_at(place, attribute)


def is_address(name: str) -> bool:
    """Whether it says where a system is (package.module:factory, timm:MODEL), and is neither a plain name nor a path."""
    place, _, attribute = name.partition(":")
    return bool(attribute) and "/" not in name and place.replace(".", "").isidentifier()


def require(name: str) -> None:
    """Raise UserError if there is no system of that name. Nothing of ours is imported."""
    place, separator, attribute = name.partition(":")
    if not separator:
        REGISTRY.require(name)
    elif place != "timm":
        found_at(place, attribute)


def describe(name: str) -> str:
    """One line about a system, from its docstring."""
    return REGISTRY.describe(name)


def slug(title: str) -> str:
    """A title as a name, for files and options."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
