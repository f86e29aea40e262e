"""Systems that are a scale for the others: codes that learned nothing from the data, and encoders of timm."""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks import weights
from benchmarks.metrics.networks.features import efficientnet_lite0
from benchmarks.runtime.digest import digest
from benchmarks.systems.protocol.base import Code, Description, System, needed
from benchmarks.systems.shared import containers
from benchmarks.systems.shared.recognised import read_address
from diffae.checkpoints import checkpoint
from diffae.checkpoints.torch_file import in_memory
from diffae.eight_bit import to_uint8
from diffae.networks.unet import SemanticEncoder
from diffae.system.cli import did_you_mean
from diffae.system.errors import UserError
from diffae.system.files import file_size, sha256

DEFAULT_DIM = 128


class PixelsPCA(System):
    """Pixels projected on their first principal components, as many as z_sem has numbers"""

    # Results are stored under the components, not under the images of the fit, since LAPACK's last digits depend on
    # the processor. They also depend on the number of threads, so the fit uses one thread.

    name, title, reference = "pixels-pca", "pixels + PCA", True
    capabilities = frozenset({"encode", "decode", "semantic"})
    computes_in_float64 = True

    def __init__(self, path: str | Path | None, device: torch.device):
        self.latent_dim, self.device = _same_size_as(path), device
        self.lengths = _doubled(self.latent_dim)
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
        self.lengths = _doubled(self.latent_dim)
        mean = torch.from_numpy(pca.mean_).float()
        components = torch.from_numpy(pca.components_[: self.latent_dim]).float()
        content = digest(torch.cat([mean[None], components]).numpy())
        self.mean, self.components = mean.to(self.device), components.to(self.device)
        self.fingerprint = f"incremental-pca-{self.latent_dim}-{content}"

    def encode_semantic(self, images: Tensor) -> Tensor:
        return (images.flatten(1) - self.mean) @ self.components.T

    def decode(self, code: Code, steps: int = 100, keep: int | None = None) -> Tensor:
        semantic = needed(code.semantic, "components")[:, :keep]
        components, mean = (part.to(semantic.dtype) for part in (self.components[:keep], self.mean))
        flat = semantic @ components + mean
        return self.cut(flat.reshape(-1, *self.shape))


class RandomEncoder(System):
    """The semantic encoder with random weights: what its architecture alone is worth"""

    name, title, reference = "random-encoder", "random encoder", True
    capabilities = frozenset({"semantic"})

    def __init__(self, path: str | Path | None, device: torch.device):
        config = checkpoint.open_checkpoint(path or "portraits").config
        if not config.encoder_channel_mult:
            raise UserError("random-encoder: needs the checkpoint of an autoencoder for its shape")
        with torch.random.fork_rng([]):
            torch.default_generator.manual_seed(0)  # the weights are drawn on the CPU
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
        self.network = efficientnet_lite0(weights_path, device)
        self.fingerprint = f"timm-{self.network.sha256}"

    @torch.inference_mode()
    def encode_semantic(self, images: Tensor) -> Tensor:
        return self.network(to_uint8(images))

    def networks(self) -> dict[str, nn.Module]:
        return {"encoder": self.network.module}


class TimmNamed(System):
    """An encoder of timm, whose code is what its classifier takes; published weights, from a file"""

    capabilities = frozenset({"semantic"})

    def __init__(self, model: str, path: str | Path | None, device: torch.device):
        import timm
        from timm.data import resolve_model_data_config

        if model not in timm.list_models():
            hint = did_you_mean(model, timm.list_models())
            raise UserError(f"timm:{model}: timm has no model of that name{hint}")
        if path is None:
            raise UserError(f"timm:{model}: needs its weights: --ckpt timm:{model}=PATH")
        file = read_address(path, {})[0] or Path(path)
        tensors = _tensors(file)  # before the network, which may take gigabytes
        network: Any = timm.create_model(model, pretrained=False)
        containers.give(network, tensors, file)
        network.reset_classifier(0)
        self.network, self.device = network.eval().to(device), device
        self.data = resolve_model_data_config(network)
        self.model, self.title, self.name = model, model, f"timm-{model}"
        self.latent_dim = int(network.num_features)
        self.fingerprint = f"timm-{model}-{sha256(file)}"[:200]

    def describe(self) -> Description:
        return {"encoder": self.model, "input": self._side, "resized": "bilinear with antialiasing"}

    @property
    def _side(self) -> int:
        return int(self.data["input_size"][-1])

    def encode_semantic(self, images: Tensor) -> Tensor:
        """Features of images N x 3 x S x S in [-1, 1].

        Images are resized and normalised with the size, mean and deviation that the encoder was
        trained with.
        """
        x = (images.to(self.device) + 1) / 2
        x = F.interpolate(x, (self._side, self._side), mode="bilinear", antialias=True)
        mean, std = (x.new_tensor(self.data[key])[:, None, None] for key in ("mean", "std"))
        return self.network((x - mean) / std)

    def networks(self) -> dict[str, nn.Module]:
        return {"encoder": self.network}


def _doubled(most: int) -> tuple[int, ...]:
    """1, 2, 4, ... and `most`."""
    return (*(1 << i for i in range((most - 1).bit_length())), most)


def _same_size_as(path: str | Path | None) -> int:
    """The size of z_sem of the autoencoder at `path`, for a fair comparison.

    Raises UserError if there is none at the path.
    """
    config = checkpoint.open_checkpoint(path or "portraits").config
    return config.z_channels if config.encoder_channel_mult else DEFAULT_DIM


def _tensors(path: Path) -> dict[str, Tensor]:
    """The weights of a safetensors or torch.save file, whose state dict may be nested under a name."""
    if path.suffix == ".safetensors":
        file_size(path)
        return checkpoint.read_tensors(path)
    content = containers.entries(containers.read(path))
    state = content.get("state_dict", content.get("model", content))
    return in_memory(containers.entries(state), path)
