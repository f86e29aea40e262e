"""Reference rows: codes that nobody would call a representation, as a scale for the others."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.metrics import features, weights
from benchmarks.runtime.digest import digest
from benchmarks.systems.protocol.base import Code, System, needed
from diffae.checkpoints import checkpoint
from diffae.eight_bit import to_uint8
from diffae.networks.unet import SemanticEncoder
from diffae.system.errors import UserError

DEFAULT_DIM = 128


class PixelsPCA(System):
    """Pixels projected on their first principal components, as many as z_sem has numbers"""

    # Results are stored under the components, not under the images of the fit: LAPACK's last digits depend on the
    # processor. They depend on the number of threads too, so the fit has one thread.

    name, title, reference = "pixels-pca", "pixels + PCA", True
    capabilities = frozenset({"encode", "decode", "semantic"})
    computes_in_float64 = True

    def __init__(self, path: str | Path | None, device: torch.device):
        self.latent_dim, self.device = _same_size_as(path), device
        self.fingerprint = "unfitted"

    def fit(self, batches: Iterable[Tensor]) -> None:
        from sklearn.decomposition import IncrementalPCA
        from threadpoolctl import threadpool_limits

        pca = IncrementalPCA()
        for images in batches:
            flat = images.flatten(1).numpy()
            # twice as many as are kept, so that what one batch drops is not missing from the next
            pca.n_components = pca.n_components or min(2 * self.latent_dim, *flat.shape)
            with threadpool_limits(limits=1):
                pca.partial_fit(flat)
            self.shape = images.shape[1:]
        self.latent_dim = min(self.latent_dim, pca.n_components)
        mean = torch.from_numpy(pca.mean_).float()
        components = torch.from_numpy(pca.components_[: self.latent_dim]).float()
        content = digest(torch.cat([mean[None], components]).numpy())
        self.mean, self.components = mean.to(self.device), components.to(self.device)
        self.fingerprint = f"incremental-pca-{self.latent_dim}-{content}"

    def encode_semantic(self, images: Tensor) -> Tensor:
        return (images.flatten(1) - self.mean) @ self.components.T

    def decode(self, code: Code, steps: int = 100) -> Tensor:
        semantic = needed(code.semantic, "components")
        components, mean = (part.to(semantic.dtype) for part in (self.components, self.mean))
        flat = semantic @ components + mean
        return flat.reshape(-1, *self.shape).clamp(-1, 1)


class RandomEncoder(System):
    """The semantic encoder with random weights: what its architecture alone is worth"""

    name, title, reference = "random-encoder", "random encoder", True
    capabilities = frozenset({"semantic"})

    def __init__(self, path: str | Path | None, device: torch.device):
        config = checkpoint.open_checkpoint(path or "portraits").config
        if not config.encoder_channel_mult:
            raise UserError("random-encoder: needs the checkpoint of an autoencoder for its shape")
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.encoder = SemanticEncoder(config).eval().requires_grad_(False).to(device)
        self.device = device
        self.image_size, self.latent_dim = config.image_size, config.z_channels
        shape = repr(config).encode()
        self.fingerprint = f"random-encoder-0-{hashlib.sha256(shape).hexdigest()}"

    @torch.inference_mode()
    def encode_semantic(self, images: Tensor) -> Tensor:
        return self.encoder(images.to(self.device))

    def networks(self) -> dict[str, nn.Module]:
        return {"encoder": self.encoder}


class TimmEncoder(System):
    """EfficientNet-lite0 trained on ImageNet (timm): what a supervised encoder's features are worth"""

    name, title, reference = "timm", "ImageNet EfficientNet-lite0", True
    capabilities = frozenset({"semantic"})
    latent_dim = 1280

    def __init__(self, path: str | Path | None, device: torch.device):
        if path is not None:
            raise UserError(
                f"{path}: timm has weights of its own; those of another encoder are "
                "--ckpt timm:MODEL=PATH with --systems timm:MODEL"
            )
        weights_path = weights.load_path("efficientnet-lite0", None, allow_unknown=False)
        self.network = features.efficientnet_lite0(weights_path, device)
        self.fingerprint = f"timm-{self.network.sha256}"

    @torch.inference_mode()
    def encode_semantic(self, images: Tensor) -> Tensor:
        return self.network(to_uint8(images))

    def networks(self) -> dict[str, nn.Module]:
        return {"encoder": self.network.module}


def _same_size_as(path: str | Path | None) -> int:
    """The size of z_sem of the autoencoder at `path`, for a fair comparison."""
    try:
        config = checkpoint.open_checkpoint(path or "portraits").config
    except UserError:
        return DEFAULT_DIM
    return config.z_channels if config.encoder_channel_mult else DEFAULT_DIM
