"""D2C as a system: the authors' `model.ckpt`, or a folder of this project.

Its code is the autoencoder's map before standardisation. New codes are sampled by its own DDIM at
the published code's timesteps, independently of a benchmark's steps.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.systems.d2c.ddim_unet import GROUPS
from benchmarks.systems.d2c.network import D2C, D2CConfig, steps_by_skip
from benchmarks.systems.protocol.base import Code, Description, needed
from benchmarks.systems.protocol.returned import in_words
from benchmarks.systems.shared import containers
from benchmarks.systems.shared.cells import to_bits
from benchmarks.systems.shared.folder import Opened
from benchmarks.systems.shared.logistic_mixture import LogisticMixture, to_uniform
from benchmarks.systems.shared.quantised import map_of
from diffae.checkpoints.torch_file import in_memory
from diffae.diffusion import noise
from diffae.system.errors import UserError

# How a pixel is chosen from its distribution: drawn, as in the published code, always with the same uniform numbers;
# the likeliest component's location; or the mean, as in NVAE. And the published sampler's skip between timesteps.
OPTIONS = {
    "pixels": ("sample", "location", "mean"),
    "skip": ("10", "1", "2", "5", "20", "50", "100", "200"),
}
PARTS = ("autoencoder", "diffusion", "latent_mod")
# The momentum encoder, its queue, and the contrastive head.
TRAINING = ("encoder_k.", "queue", "encoder_q.fc.")
CLEAN_UP = 50  # timestep to which the published manipulation noises a code

BITS = 5  # of the input, in every published configuration
ATTENTION_SIDE = 16  # the DDIM attends to maps of this side, likewise
MOST_SCALES = 10


class D2CSystem(Opened[D2CConfig, D2C]):
    """D2C: an autoencoder with a contrastive loss, and a DDIM of its codes (the authors' checkpoint)"""

    name, title = "d2c", "D2C"
    capabilities = frozenset({"encode", "decode", "semantic", "sample", "sample_latents"})
    computes_in_float64 = True
    choices, example, config_class, network = OPTIONS, "model.ckpt", D2CConfig, D2C

    def _read(self, path: Path) -> tuple[D2CConfig, dict[str, Tensor]]:
        content = containers.read(path)
        parts = containers.entries(content)
        if lacking := [part for part in PARTS if not containers.entries(parts.get(part))]:
            containers.refuse_other_kind(content, path, "d2c", ", ".join(lacking))
        state = {
            f"{part}.{name.removeprefix('encoder_q.')}": tensor
            for part in PARTS
            for name, tensor in containers.entries(parts[part]).items()
            if not (name.startswith(TRAINING) or name.endswith(".weight_normalized"))
        }
        tensors = in_memory(state, path)
        if "latent_mod.std" in tensors and not bool((tensors["latent_mod.std"] > 0).all()):
            raise UserError(f"{path}: latent_mod: a standard deviation of codes is not above zero")
        return read_configuration(tensors, path), tensors

    def _set_sizes(self, config: D2CConfig) -> None:
        self.stride, self.image_size = config.stride, config.image_size
        self.latent_dim = config.latent_channels * config.latent_side**2
        self.semantic_parts = (map_of(config.latent_channels),)

    def describe(self) -> Description:
        return {
            "pixels": self.options["pixels"],
            "input_bits": self.model.configuration.bits,
            "latent_ddim_calls": len(self._timesteps()),
        }

    def _timesteps(self) -> list[int]:
        return steps_by_skip(int(self.options["skip"]))

    # ------------------------------------------------------------------------------------------
    # The autoencoder

    def encode_semantic(self, images: Tensor) -> Tensor:
        """z before standardisation: N x C x H/8 x W/8."""
        inputs = to_bits(images.to(self.device), self.model.configuration.bits)
        return self.model.autoencoder.encode(inputs)

    def logits(self, code: Code) -> Tensor:
        """Logits of the distribution of the images' values (logistic_mixture.py): N x 100 x H x W."""
        return self.model.autoencoder.logits(needed(code.semantic, "map").to(self.device))

    def pixels(self, logits: Tensor, u_mixture: Tensor, u_logistic: Tensor) -> Tensor:
        """Images in [-1, 1] drawn from the distributions of `logits`.

        The uniform numbers are from [1e-5, 1 - 1e-5]: N x 10 x H x W choose the component, N x 3 x
        H x W the value.
        """
        mixture = LogisticMixture(logits.to(self.device))
        return mixture.sample(u_mixture.to(self.device), u_logistic.to(self.device))

    def decode(self, code: Code, steps: int = 100) -> Tensor:
        """Images of codes, with pixels chosen by `#pixels=`.

        Draws use the same uniform numbers for every image and every call.
        """
        mixture = LogisticMixture(self.logits(code))
        if self.options["pixels"] == "mean":
            return mixture.mean()
        if self.options["pixels"] == "location":
            return mixture.location()
        return mixture.sample(*(u.to(mixture.weights) for u in uniforms(mixture.weights.shape)))

    # ------------------------------------------------------------------------------------------
    # The DDIM

    def predict_noise(self, z: Tensor, t: int | Tensor) -> Tensor:
        """The noise in standardised z (N x C x 32 x 32 for images of 256 px) at timestep t, 0 to 999."""
        z = self._fits(z)
        t = torch.as_tensor(t, device=self.device)
        return self.model.predict_noise(z, t.expand(len(z)))

    def ddim(self, z: Tensor, timesteps: Sequence[int]) -> Tensor:
        """Denoise standardised z, given at the last of the ascending `timesteps`.

        One network call at each.
        """
        steps = [int(t) for t in timesteps]
        if steps != sorted(set(steps)) or not steps or not 0 <= steps[0] <= steps[-1] <= 999:
            raise UserError(f"{self.source}: timesteps must ascend, each from 0 to 999")
        return self.model.ddim(self._fits(z), steps)

    def clean_up(self, code: Code, noise: Tensor) -> Code:
        """The last step of the published manipulation.

        The code is noised to t = 50 and denoised at t = 50 and 0.
        """
        z = self._fits(needed(code.semantic, "map"))
        z = self.model.latent_mod.standardise(z)
        noised = self.model.add_noise(z, CLEAN_UP, self._fits(noise))
        return Code(self.model.latent_mod.restore(self.model.ddim(noised, [0, CLEAN_UP])))

    def sample_latents(self, indices: Sequence[int], seed: int, steps: int) -> Tensor:
        shape = self.model.configuration.latent_shape
        start = noise.normal(seed, "d2c latent", indices, shape).to(self.device)
        return self.model.latent_mod.restore(self.model.ddim(start, self._timesteps()))

    def _fits(self, z: Tensor) -> Tensor:
        """z on the device. Raises UserError if the DDIM does not take maps of its size."""
        wanted = self.model.configuration.latent_shape
        if tuple(z.shape[1:]) != wanted:
            raise UserError(
                f"{self.source}: the DDIM takes N x {in_words(wanted)}, codes of images of {self.image_size} px, "
                f"not {in_words(z.shape)}"
            )
        return z.to(self.device)

    def networks(self) -> dict[str, nn.Module]:
        return {"autoencoder": self.model.autoencoder, "latent DDIM": self.model.diffusion}


def uniforms(shape: Sequence[int]) -> tuple[Tensor, Tensor]:
    """The uniform numbers with which `decode` draws pixels of N x K x H x W components.

    1 x K x H x W and 1 x 3 x H x W.
    """
    source = noise.generator(0, "d2c pixels", 0)
    first, second = (noise.uniforms(source, (1, n, *shape[2:])) for n in (shape[1], 3))
    return to_uniform(first), to_uniform(second)


# ----------------------------------------------------------------------------------------------
# The configuration, read from the names and shapes of the tensors: the file has no other record of it


def read_configuration(tensors: Mapping[str, Tensor], path: Path) -> D2CConfig:
    """Read the configuration.

    Raises UserError, naming the path, if the tensors are not those of a D2C, or of an unsupported
    one.
    """
    published = _PublishedTensors(tensors, path)
    pre, enc, dec, post = (
        published.tower(f"autoencoder.{name}")
        for name in ("pre_process", "enc_tower", "dec_tower", "post_process")
    )
    head = published.sides("autoencoder.image_conditional.1.weight")
    if head[0] % 10:
        raise published.unsupported(f"an output of {head[0]} channels, not ten a component")
    if len(pre) != len(post) or len(enc) != len(dec) or pre[-1] or post[0]:
        raise published.unsupported("another number of scales on the way up than on the way down")
    channels = published.sides("autoencoder.stem.weight")[0]
    if channels < 2:
        raise published.unsupported("a single channel")
    return D2CConfig(
        channels=channels,
        pre=pre[:-1],
        enc=enc,
        dec=dec,
        post=post[1:],
        latent_channels=published.sides("autoencoder.enc_sampler.weight")[0],
        mixtures=head[0] // 10,
        squeeze=any(".se.se." in name for name in tensors),
        bits=BITS,
        **_of_unet(published),
    )


def _of_unet(published: "_PublishedTensors") -> dict[str, Any]:
    """The fields of the configuration that belong to the DDIM."""
    channels = published.sides("diffusion.conv_in.weight")[0]
    if channels % GROUPS:
        raise published.unsupported(f"a DDIM of {channels} channels, no multiple of {GROUPS}")
    levels = published.numbers(r"diffusion\.down\.(\d{1,3})\.block\.")
    if not 1 <= len(levels) <= MOST_SCALES:
        raise published.unsupported(f"a DDIM of {len(levels)} levels")
    of_level = [published.sides(f"diffusion.down.{i}.block.0.conv1.weight")[0] for i in levels]
    if any(width % channels for width in of_level):
        raise published.unsupported(f"a DDIM of widths {of_level}, no multiples of {channels}")
    attends = [f"diffusion.down.{i}.attn.0.q.weight" in published.tensors for i in levels]
    if True not in attends:
        raise published.unsupported("a DDIM without attention, which does not tell its side")
    return {
        "latent_side": ATTENTION_SIDE * 2 ** attends.index(True),
        "unet_channels": channels,
        "unet_mult": tuple(width // channels for width in of_level),
        "unet_blocks": len(published.numbers(r"diffusion\.down\.0\.block\.(\d{1,3})\.")),
        "unet_attends": tuple(map(int, attends)),
    }


class _PublishedTensors:
    """The tensors of the authors' file, whose names and shapes show the configuration."""

    def __init__(self, tensors: Mapping[str, Tensor], path: Path):
        self.tensors, self.path = tensors, path

    def sides(self, name: str) -> tuple[int, ...]:
        """The shape of a kernel."""
        return containers.shape_of(self.tensors, name, 4, self.path, "a D2C of the authors'")

    def numbers(self, pattern: str) -> list[int]:
        """The different numbers in the pattern's group where it matches a name, ascending."""
        matches = (re.match(pattern, name) for name in self.tensors)
        return sorted({int(match[1]) for match in matches if match})

    def tower(self, prefix: str) -> tuple[int, ...]:
        """The numbers of ordinary cells before, between and after the cells that change the side."""
        prefix = re.escape(prefix)
        cells = self.numbers(rf"{prefix}\.(\d{{1,5}})\.")
        changing = set(self.numbers(rf"{prefix}\.(\d{{1,5}})\.skip\."))
        if len(changing) > MOST_SCALES:
            raise self.unsupported(f"{len(changing)} changes of side in a row")
        marks = "".join("|" if cell in changing else "." for cell in cells)
        return tuple(len(run) for run in marks.split("|"))

    def unsupported(self, feature: str) -> UserError:
        return UserError(f"{self.path}: a D2C with {feature} is not supported")
