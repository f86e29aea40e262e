"""NVAE as a system: a checkpoint of NVlabs' code, or a folder of this project.

Its code is the z of every group of the hierarchy, the coarsest first, after the group's flows.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from benchmarks.systems.nvae.network import NVAE, Gaussian, NVAEConfig, groups_per_scale
from benchmarks.systems.protocol.base import Code, Description, several
from benchmarks.systems.protocol.parts import Part, Semantic
from benchmarks.systems.shared import containers, own_noise
from benchmarks.systems.shared.cells import to_bits
from benchmarks.systems.shared.folder import Opened
from benchmarks.systems.shared.quantised import Maps
from diffae.checkpoints.torch_file import StandIn, in_memory
from diffae.diffusion import noise
from diffae.system.errors import UserError, shown, whole

# How z is taken from its posterior, and the factor of the priors' sigma when new images are drawn.
OPTIONS = {
    "posterior": ("mean", "sample"),
    "temperature": ("1.0", "0.9", "0.8", "0.7", "0.6", "0.5", "0.4"),
}
MOST_READ = 16384  # numbers of all groups that a probe sees

# Defaults for files from before an argument existed.
ABSENT = {"ada_groups": False, "min_groups_per_scale": 1, "num_mixture_dec": 10}
# of any number, and of halvings of the side; the published networks have a tenth and a half
MOST, MOST_SCALES = 1024, 12
OF_TWO_VALUES = ("mnist", "omniglot")  # data whose pixels are on or off, by another distribution


class NVAESystem(Opened[NVAEConfig, NVAE], Maps):
    """NVAE: a hierarchy of groups of latent maps (NVlabs' checkpoints)"""

    name, title = "nvae", "NVAE"
    capabilities = frozenset({"encode", "decode", "semantic", "sample", "sample_latents"})
    computes_in_float64 = True
    choices, example, config_class, network = OPTIONS, "checkpoint.pt", NVAEConfig, NVAE

    def _read(self, path: Path) -> tuple[NVAEConfig, dict[str, Tensor]]:
        content = containers.read(path)
        named = containers.entries(content)
        # A convolution without weight norm is stored twice, under a second name.
        state = {
            name.removeprefix("module."): tensor
            for name, tensor in containers.entries(named.get("state_dict")).items()
            if not name.endswith(".weight_normalized")
        }
        if "prior_ftr0" not in state:
            containers.refuse_other_kind(content, path, "nvae", "a state_dict with prior_ftr0")
        args = named.get("args")
        arguments = args.values if isinstance(args, StandIn) else {}
        if not arguments:
            reason = "without which its network is unknown"
            raise UserError(f"{path}: has no args, the arguments of its training, {reason}")
        tensors = in_memory(state, path)
        return read_arguments(arguments, tensors, path), tensors

    def _set_sizes(self, config: NVAEConfig) -> None:
        """Count the numbers of the z of all groups; probes read a part that they can be fitted to."""
        self.image_size = config.image_size
        self.semantic_parts = tuple(Part(shape) for shape in config.latent_shapes())
        self.latent_dim = sum(part.places or 0 for part in self.semantic_parts)
        self.most_read = MOST_READ // len(self.semantic_parts)

    def describe(self) -> Description:
        return {
            **super().describe(),
            "posterior": self.options["posterior"],
            "output": "mean",
            "input_bits": self.model.configuration.bits,
            "temperature": float(self.options["temperature"]),
        }

    def encode_semantic(self, images: Tensor) -> Semantic:
        """z of every group: the mean of its posterior, or drawn with noise seeded by the image."""

        def infer(i: int, posterior: Gaussian, prior: Gaussian) -> Tensor:
            if self.options["posterior"] == "mean":
                return posterior.mean
            shape = tuple(posterior.mean.shape[1:])
            eps = own_noise.normals(images, "nvae posterior", shape, i)
            return posterior.mean + posterior.sigma * eps.to(posterior.mean)

        images = images.to(self.device)
        return self.model.encode(to_bits(images, self.model.configuration.bits), infer)

    def logits(self, code: Code) -> Tensor:
        """Logits of the distribution of the images' values (logistic_mixture.py): N x 100 x S x S."""
        return self.model.logits(self._groups(code))

    def decode(self, code: Code, steps: int = 100) -> Tensor:
        """The mean of that distribution."""
        return self.model.decode(self._groups(code))

    def _groups(self, code: Code) -> tuple[Tensor, ...]:
        return tuple(z.to(self.device) for z in several(code.semantic, "z of all groups"))

    def sample_latents(self, indices: Sequence[int], seed: int, steps: int) -> Semantic:
        """z of every group from its prior, with the stored statistics of the batch norms."""
        temperature = float(self.options["temperature"])

        def choose(i: int, prior: Gaussian) -> Tensor:
            eps = noise.normal(seed, f"nvae z {i}", indices, prior.mean.shape[1:])
            return prior.mean + temperature * prior.sigma * eps.to(prior.mean)

        return self.model.sample(len(indices), choose)


# ----------------------------------------------------------------------------------------------
# The arguments of NVlabs' training, as its checkpoints keep them


def read_arguments(
    values: Mapping[str, int | str | None], tensors: Mapping[str, Tensor], path: Path
) -> NVAEConfig:
    """Read the configuration; the image's side follows from the decoder's first map, C x side x side.

    Raises UserError, naming the path, for an argument that is missing or malformed, for an
    unsupported variant, and for a network of more cells than there are `tensors`.
    """
    given = ABSENT | dict(values)

    def number(name: str, fewest: int = 1, most: int = MOST) -> int:
        return whole(given.get(name), f"{path}: its args: {name}", fewest, most)

    def switch(name: str) -> bool:
        if (value := given.get(name)) not in (True, False):
            raise UserError(f"{path}: its args: {name} must be yes or no, not {shown(value)}")
        return bool(value)

    def unsupported(feature: str) -> UserError:
        return UserError(f"{path}: an NVAE with {feature} is not supported")

    if (arch := given.get("arch_instance")) != "res_mbconv":
        raise unsupported(f"arch_instance {shown(arch)} (res_mbconv is)")
    if (dataset := given.get("dataset")) in OF_TWO_VALUES:
        raise unsupported(f"pixels that are on or off (dataset {dataset}: a Bernoulli output)")
    scales, blocks = number("num_latent_scales"), number("num_preprocess_blocks")
    finest = number("num_groups_per_scale")
    if blocks != number("num_postprocess_blocks"):
        raise unsupported("other numbers of blocks before and after the hierarchy")
    if scales == finest == 1:
        raise unsupported("a single group of latents (the plain VAE of that code)")
    if number("num_mixture_dec") == 1:
        raise unsupported("num_mixture_dec 1, a normal distribution")
    if blocks + scales > MOST_SCALES:
        raise unsupported(f"{blocks} blocks and {scales} scales")
    shape = containers.shape_of(tensors, "prior_ftr0", 3, path, "an NVAE of NVlabs'")
    config = NVAEConfig(
        image_size=shape[-1] * 2 ** (blocks + scales - 1),
        channels_enc=number("num_channels_enc", 2),
        channels_dec=number("num_channels_dec", 2),
        blocks=blocks,
        cells_pre=number("num_preprocess_cells"),
        cells_post=number("num_postprocess_cells"),
        groups=groups_per_scale(
            scales, finest, switch("ada_groups"), number("min_groups_per_scale")
        ),
        latent_channels=number("num_latent_per_group"),
        cells_enc=number("num_cell_per_cond_enc"),
        cells_dec=number("num_cell_per_cond_dec"),
        flows=number("num_nf", 0),
        bits=number("num_x_bits", most=8),
        mixtures=number("num_mixture_dec"),
        squeeze=switch("use_se"),
        residual_posterior=switch("res_dist"),
    )
    if config.cells > len(tensors):
        why = f"its args ask for {config.cells:,} cells, and it has {len(tensors):,} tensors"
        raise UserError(f"{path}: {why}")
    return config
