"""The public models: a diffusion autoencoder and the DDIM baseline.

    model = DiffusionAutoencoder.from_pretrained("portraits")
    z     = model.encode(images)                            # images N x 3 x S x S in [-1, 1] -> N x d
    x_T   = model.encode_stochastic(images, z, steps=100)   # the stochastic subcode
    out   = model.decode(z, x_T, steps=100)                 # back to images in [-1, 1]

The default solver is the paper's DDIM; `solver="fast"` reaches the same quality with a tenth of the
steps (`steps=10`, see `diffae.diffusion`).

Every method works on the batch that it is given, without gradients and in evaluation mode, and
raises UserError (one line) for input that does not fit. Results are ordinary tensors, so that
another network may be trained on them. The networks (`unet`, `encoder`, `latent_net`) are ordinary
modules for training.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn

from diffae.checkpoints import checkpoint
from diffae.diffusion.gaussian import (
    NUM_TIMESTEPS,
    constant_alphas,
    linear_alphas,
    noise_of_velocity,
)
from diffae.diffusion.scheme import Scheme
from diffae.diffusion.solve import SolverStep, decode_steps, encode_steps, last
from diffae.networks.config import AUTOENCODER, DDIM_BASELINE, VELOCITY, ModelConfig
from diffae.networks.latent_net import LatentNet
from diffae.networks.nn import without_weights
from diffae.networks.unet import SemanticEncoder, UNet
from diffae.system.errors import UserError, shown, whole

MOST = 1 << 31  # samples at once: an upper bound to catch mistakes; memory allows far fewer


@lru_cache(maxsize=16)  # both schedules, for each device and dtype in use
def _moved(alphas: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
    return alphas.to(device, dtype)


def _as_noise(output: Tensor, x_t: Tensor, t: Tensor, alphas: Tensor, prediction: str) -> Tensor:
    """eps_theta from a network's output, which is the noise or the velocity.

    `alphas` are copied to the device of `x_t` once: an index on the CPU would wait for the GPU.
    """
    if prediction == VELOCITY:
        return noise_of_velocity(output, x_t, _moved(alphas, x_t.device, x_t.dtype)[t])
    return output


# ----------------------------------------------------------------------------------------------
# Checks of arguments: a UserError names the argument and says what it must be

# Images are in [-1, 1]; a small overshoot does no harm, but 0 to 255 is another scale.
BRIGHTEST = 2.0


def _timesteps(t: Tensor | int, x: Tensor, count: int) -> Tensor:
    """`t` as int64 N on the device of `x`: one integer from 0 to count - 1, or one per image."""
    if not isinstance(t, Tensor) or t.ndim == 0:
        return torch.full((len(x),), whole(t, "t", 0, count - 1), device=x.device)
    if t.is_floating_point() or t.dtype == torch.bool or t.shape != (len(x),):
        raise UserError(f"t must be one whole number, or {len(x)}, one per image, not {shown(t)}")
    if len(t) and not 0 <= int(t.min()) <= int(t.max()) < count:
        wrong = next(int(value) for value in t if not 0 <= int(value) < count)
        raise UserError(f"t must be from 0 to {count - 1}, not {wrong}")
    return t.to(x.device, torch.int64)


def _batch(value: Tensor, name: str, shape: Sequence[int], like: Tensor) -> Tensor:
    """Check a floating-point tensor N x *shape and return it on the device of `like`, in its dtype."""
    text = " x ".join(map(str, ("N", *shape)))
    if not isinstance(value, Tensor) or value.shape[1:] != tuple(shape) or value.ndim == 0:
        raise UserError(f"{name} must be a tensor {text}, not {shown(value)}")
    if not value.is_floating_point():
        raise UserError(f"{name} must be of floating point, not {value.dtype}")
    if value.device != like.device:
        raise UserError(f"{name}: on {value.device}, the model on {like.device}; move one of them")
    return value.to(like.dtype)


def _check_lengths(batch: Tensor, name: str, other: Tensor, other_name: str) -> None:
    """Raise UserError unless two batches have the same length."""
    if (n := len(batch)) != (m := len(other)):
        raise UserError(f"{name} and {other_name} must be as many, not {n} and {m}")


# ----------------------------------------------------------------------------------------------
# Models


class _Model(nn.Module):
    """Base class of both models: configuration, UNet, the image schedule, and loading."""

    kind: str
    source: Path | None = None  # the folder or file that it was loaded from

    def __init__(self, config: ModelConfig):
        super().__init__()
        if config.kind != self.kind:
            raise UserError(f"the checkpoint holds a {config.kind}, not a {self.kind}")
        self.config = config
        self.alphas = linear_alphas()
        self.unet = UNet(config)

    @classmethod
    def from_pretrained(cls, path: str | Path, device: str | torch.device = "cpu") -> Self:
        """Load a folder of our format, the authors' `last.ckpt` (its EMA weights), or a packaged model.

        The first two may be on the Hugging Face Hub: `hf://OWNER/NAME[@REVISION][/PATH]`. Nothing in
        the file is executed. Raises UserError if there is no such model, if it is of a different
        kind, or if tensors are missing, left over, misshapen or not finite; each is named.
        """
        return cls.from_checkpoint(checkpoint.open_checkpoint(path), device)

    @classmethod
    def from_checkpoint(cls, source: checkpoint.Checkpoint, device: str | torch.device) -> Self:
        """Load a checkpoint that is open. Raises UserError as `from_pretrained` does."""
        with without_weights():  # they are read in place, never held twice
            model = cls(source.config)
        checkpoint.load_weights(model, source)
        model.source = source.path
        model = model.to(device).eval().requires_grad_(False)
        # About a fifth faster on a CPU, and the layout of a GPU's tensor cores.
        return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def save_pretrained(self, folder: Path, dtype: torch.dtype = torch.float32) -> None:
        """Write `model.safetensors` (in `dtype`) and `config.json` into `folder`."""
        checkpoint.save(self, self.config, folder, dtype)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the checkpoint that it was loaded from; empty for a model that was not loaded."""
        return checkpoint.open_checkpoint(self.source).fingerprint() if self.source else ""

    @property
    def image_size(self) -> int:
        """Side S of the images in px."""
        return self.config.image_size

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self._reference_weight.device

    def _pixels(self, value: Tensor, name: str) -> Tensor:
        """Check images, x_t or x_T: N x 3 x S x S of any range."""
        size = self.image_size
        return _batch(value, name, (3, size, size), self._reference_weight)

    def _images(self, images: Tensor) -> Tensor:
        """Check images N x 3 x S x S in [-1, 1]."""
        checked = self._pixels(images, "images")
        if len(checked) and float(checked.detach().abs().max()) > BRIGHTEST:
            low, high = float(checked.min()), float(checked.max())
            remedy = "pixels of 8 bits: x / 127.5 - 1"
            raise UserError(f"images must be in [-1, 1], not {low:.4g} to {high:.4g} ({remedy})")
        return checked

    @property
    def _reference_weight(self) -> Tensor:
        """A weight of the network; batches must be on its device."""
        return self.unet.out[2].weight  # type: ignore[union-attr, return-value]

    def _noise(self, x_t: Tensor, t: Tensor, z: Tensor | None = None) -> Tensor:
        output = self.unet(x_t, t, z)
        return _as_noise(output, x_t, t, self.alphas, self.config.prediction)


class DiffusionAutoencoder(_Model):
    """Image -> (z_sem, x_T) -> image (paper, Section 3), and new z_sem by the latent DDIM (Section 4)."""

    kind = AUTOENCODER
    z_mean: Tensor
    z_std: Tensor

    def __init__(self, config: ModelConfig):
        super().__init__(config)
        self.encoder = SemanticEncoder(config)
        self.latent_net = LatentNet(config.latent, config.z_channels) if config.latent else None
        if config.latent:
            self.latent_alphas = constant_alphas(config.latent.beta)
            self.register_buffer("z_mean", torch.zeros(1, config.z_channels))
            self.register_buffer("z_std", torch.ones(1, config.z_channels))

    @property
    def latent_dim(self) -> int:
        """Size d of z_sem."""
        return self.config.z_channels

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """z_sem of images: N x 3 x S x S in [-1, 1] -> N x d."""
        return self.encoder(self._images(images))

    @torch.no_grad()
    def encode_stochastic(
        self, images: Tensor, z: Tensor, steps: int = 100, solver: str | Scheme = "ddim"
    ) -> Tensor:
        """x_T of images given their z_sem, by inverting the decoder (paper, Eq. 8): N x 3 x S x S.

        It must be decoded by the same solver.
        """
        images, z = self._images(images), self._codes(z)
        _check_lengths(z, "z", images, "images")
        predict = partial(self._noise, z=z)
        return last(encode_steps(predict, images, self.alphas, steps, solver=solver))

    @torch.no_grad()
    def decode(
        self, z: Tensor, x_T: Tensor, steps: int = 100, solver: str | Scheme = "ddim"
    ) -> Tensor:
        """Images of codes: z N x d and x_T N x 3 x S x S -> N x 3 x S x S in [-1, 1]."""
        return last(self.decode_steps(z, x_T, steps, solver))

    def decode_steps(
        self, z: Tensor, x_T: Tensor, steps: int, solver: str | Scheme = "ddim"
    ) -> Iterator[SolverStep]:
        """The decoding step by step: each step's x_{t-1} and predicted x_0 (paper, Fig. 6)."""
        x_T, z = self._pixels(x_T, "x_T"), self._codes(z)
        _check_lengths(z, "z", x_T, "x_T")
        return decode_steps(partial(self._noise, z=z), x_T, self.alphas, steps, solver=solver)

    @torch.no_grad()
    def predict_noise(self, x_t: Tensor, t: Tensor | int, z: Tensor) -> Tensor:
        """eps_theta(x_t, t, z_sem): one network call.

        `t` is one integer from 0 to 999, or one per image.
        """
        x_t, z = self._pixels(x_t, "x_t"), self._codes(z)
        _check_lengths(z, "z", x_t, "x_t")
        return self._noise(x_t, _timesteps(t, x_t, NUM_TIMESTEPS), z)

    @torch.no_grad()
    def predict_latent_noise(self, z_t: Tensor, t: Tensor | int) -> Tensor:
        """eps_omega(z_t, t) of the latent DDIM, on normalised z_sem."""
        z_t = self._codes(z_t, "z_t")
        return self._latent_noise(z_t, _timesteps(t, z_t, NUM_TIMESTEPS))

    @torch.no_grad()
    def sample_latents(
        self, n_or_noise: int | Tensor, steps: int = 100, solver: str | Scheme = "ddim"
    ) -> Tensor:
        """New z_sem (denormalised) from the latent DDIM: N x d.

        Takes N, or the noise N x d to start from.
        """
        self._latent_net()
        if isinstance(n_or_noise, Tensor) and n_or_noise.ndim:
            noise = self._codes(n_or_noise, "noise")
        else:
            n = whole(n_or_noise, "n", 1, MOST)
            noise = torch.randn(n, self.latent_dim, device=self.device)
        predict, alphas = self._latent_noise, self.latent_alphas
        trajectory = decode_steps(predict, noise, alphas, steps, clip=False, solver=solver)
        return self.denormalise(last(trajectory))

    def _codes(self, z: Tensor, name: str = "z") -> Tensor:
        return _batch(z, name, (self.latent_dim,), self._reference_weight)

    def normalise(self, z: Tensor) -> Tensor:
        """z_sem to zero mean and unit standard deviation over the training images."""
        self._latent_net()
        return (z - self.z_mean) / self.z_std

    def denormalise(self, z: Tensor) -> Tensor:
        """The inverse of `normalise`: N x d -> N x d."""
        self._latent_net()
        return z * self.z_std + self.z_mean

    def _latent_noise(self, z_t: Tensor, t: Tensor) -> Tensor:
        net = self._latent_net()
        return _as_noise(net(z_t, t), z_t, t, self.latent_alphas, net.config.prediction)

    def _latent_net(self) -> LatentNet:
        if self.latent_net is None:
            raise UserError("this checkpoint has no latent DDIM: train or load one that has")
        return self.latent_net


class DDIM(_Model):
    """The baseline: the same methods without z_sem. Its only code is x_T."""

    kind = DDIM_BASELINE

    @torch.no_grad()
    def encode_stochastic(
        self, images: Tensor, steps: int = 100, solver: str | Scheme = "ddim"
    ) -> Tensor:
        """x_T of images by inverting the decoder: N x 3 x S x S in [-1, 1] -> N x 3 x S x S."""
        images = self._images(images)
        return last(encode_steps(self._noise, images, self.alphas, steps, solver=solver))

    @torch.no_grad()
    def decode(self, x_T: Tensor, steps: int = 100, solver: str | Scheme = "ddim") -> Tensor:
        """Images of x_T: N x 3 x S x S -> N x 3 x S x S in [-1, 1]."""
        return last(self.decode_steps(x_T, steps, solver))

    def decode_steps(
        self, x_T: Tensor, steps: int, solver: str | Scheme = "ddim"
    ) -> Iterator[SolverStep]:
        """The decoding step by step: each step's x_{t-1} and predicted x_0."""
        x_T = self._pixels(x_T, "x_T")
        return decode_steps(self._noise, x_T, self.alphas, steps, solver=solver)

    @torch.no_grad()
    def predict_noise(self, x_t: Tensor, t: Tensor | int) -> Tensor:
        """eps_theta(x_t, t): one network call.

        `t` is one integer from 0 to 999, or one per image.
        """
        x_t = self._pixels(x_t, "x_t")
        return self._noise(x_t, _timesteps(t, x_t, NUM_TIMESTEPS))
