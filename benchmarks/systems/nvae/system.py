"""NVAE as a system: a checkpoint of NVlabs' code, or a folder of this project.

Its code is the z of every group of the hierarchy, the coarsest first, after the group's flows.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from benchmarks.systems.nvae.arguments import read_arguments
from benchmarks.systems.nvae.cells import to_bits
from benchmarks.systems.nvae.network import NVAE, Gaussian, Inference, NVAEConfig
from benchmarks.systems.protocol.base import Code, several
from benchmarks.systems.protocol.parts import Part, Semantic
from benchmarks.systems.protocol.returned import in_words
from benchmarks.systems.shared import containers, own_noise
from benchmarks.systems.shared.opened import Opened
from benchmarks.systems.shared.quantised import Maps
from diffae.checkpoints.torch_file import Arguments
from diffae.diffusion import noise
from diffae.system.errors import UserError

# How z is taken from its posterior, and the factor of the priors' sigma when new images are drawn.
OPTIONS = {
    "posterior": ("mean", "sample"),
    "temperature": ("1.0", "0.9", "0.8", "0.7", "0.6", "0.5", "0.4"),
}
MOST_READ = 16384  # numbers of all groups that a probe sees


class NVAESystem(Opened, Maps):
    """NVAE: a hierarchy of groups of latent maps (NVlabs' checkpoints)"""

    name, title = "nvae", "NVAE"
    capabilities = frozenset({"encode", "decode", "semantic", "sample", "sample_latents"})
    computes_in_float64 = True
    choices, example, config_class = OPTIONS, "checkpoint.pt", NVAEConfig

    def _read(self, path: Path) -> tuple[NVAEConfig, dict[str, Tensor]]:
        with containers.opened(path) as file:
            content = containers.entries(file.content)
            named = containers.entries(content.get("state_dict"))
            state = {name.removeprefix("module."): tensor for name, tensor in named.items()}
            if "prior_ftr0" not in state:
                lacks = "a state_dict with prior_ftr0"
                containers.refuse_other_kind(file.content, path, "nvae", lacks)
            arguments = content.get("args")
            if not isinstance(arguments, Arguments):
                raise UserError(
                    f"{path}: has no args, the arguments of its training, without which its network is unknown"
                )
            # A convolution without weight norm is stored twice, under a second name.
            tensors = containers.take(
                file, state, path, leave=lambda name: name.endswith(".weight_normalized")
            )
        return read_arguments(arguments.values, tensors, path), tensors

    def _build(self, config: NVAEConfig) -> NVAE:
        return NVAE(config)

    def _count(self, config: NVAEConfig) -> None:
        """Count the numbers of the z of all groups; probes read a part that they can be fitted to."""
        self.image_size = config.image_size
        self.semantic_parts = tuple(Part(shape) for shape in config.latent_shapes())
        self.latent_dim = sum(part.places or 0 for part in self.semantic_parts)
        self.most_read = MOST_READ // len(self.semantic_parts)

    def describe(self) -> Mapping[str, Any]:
        bits = self.model.configuration.bits
        temperature = float(self.options["temperature"])
        return {
            **super().describe(),
            "posterior": self.options["posterior"],
            "output": "mean",
            "input_bits": bits,
            "temperature": temperature,
        }

    def encode_semantic(self, images: Tensor) -> Semantic:
        images = images.to(self.device)
        infer = _mean if self.options["posterior"] == "mean" else _drawn(images)
        return self.model.encode(to_bits(images, self.model.configuration.bits), infer)

    def logits(self, code: Code) -> Tensor:
        """Logits of the distribution of the images' values (logistic_mixture.py): N x 100 x S x S."""
        return self.model.logits(self._groups(code))

    def decode(self, code: Code, steps: int = 100) -> Tensor:
        """The mean of that distribution."""
        return self.model.decode(self._groups(code))

    def _groups(self, code: Code) -> tuple[Tensor, ...]:
        groups = several(code.semantic, "z of all groups")
        wanted = self.model.configuration.latent_shapes()
        if len(groups) != len(wanted):
            raise UserError(f"{self.source}: a code has {len(wanted)} groups, not {len(groups)}")
        for i, (z, shape) in enumerate(zip(groups, wanted, strict=True)):
            if tuple(z.shape) != (len(groups[0]), *shape):
                raise UserError(
                    f"{self.source}: z of group {i} is N x {in_words(shape)}, not {in_words(z.shape)}"
                )
        return tuple(z.to(self.device) for z in groups)

    def sample_latents(self, indices: Sequence[int], seed: int, steps: int) -> Semantic:
        """z of every group from its prior, with the stored statistics of the batch norms."""
        temperature = float(self.options["temperature"])

        def choose(i: int, prior: Gaussian) -> Tensor:
            eps = noise.normal(seed, f"nvae z {i}", indices, prior.mean.shape[1:])
            return prior.mean + temperature * prior.sigma * eps.to(prior.mean)

        return self.model.sample(len(indices), choose)

    def networks(self) -> dict[str, nn.Module]:
        return {"NVAE": self.model}


def _mean(i: int, posterior: Gaussian, prior: Gaussian) -> Tensor:
    return posterior.mean


def _drawn(images: Tensor) -> Inference:
    """z drawn from its posterior, with noise seeded by the image."""

    def draw(i: int, posterior: Gaussian, prior: Gaussian) -> Tensor:
        shape = tuple(posterior.mean.shape[1:])
        eps = own_noise.normals(images, "nvae posterior", shape, i)
        return posterior.mean + posterior.sigma * eps.to(posterior.mean)

    return draw
