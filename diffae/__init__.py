"""Diffusion autoencoders (Preechakul et al., CVPR 2022): the model behind the harness."""

from typing import TYPE_CHECKING

__version__ = "0.7.0.dev0"  # RELEASING.md says when it changes
__all__ = ["DDIM", "DiffusionAutoencoder"]

if TYPE_CHECKING:
    from diffae.model import DDIM, DiffusionAutoencoder


def __getattr__(name: str) -> object:
    """Import torch and the models only when they are used, so that `--help` answers at once."""
    if name in __all__:
        from diffae import model

        return getattr(model, name)
    raise AttributeError(f"module 'diffae' has no attribute {name!r}")
