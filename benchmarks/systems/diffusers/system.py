"""Any image autoencoder of diffusers as a system, from its folder alone.

The classes differ in the output of `encode`; that of VQModel is the map before quantisation. RAE
computes in [0, 1] and has one size; the consistency decoder draws noise. `model(x)` is never called,
as it is not `decode(encode(x))` for every class: AutoencoderTiny rounds its code to 8 bits there.
Scaling factors and shifts belong to the diffusion model on top; none is applied here.
"""

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.runtime.errors import NotAvailable
from benchmarks.systems.diffusers import folder as diffusers_folder
from benchmarks.systems.diffusers.folder import KINDS, ModelFolder
from benchmarks.systems.protocol.base import Code, Description, needed
from benchmarks.systems.protocol.parts import Part
from benchmarks.systems.shared import library, own_noise
from benchmarks.systems.shared.quantised import AS_GIVEN, Maps, OneCodebook, map_of
from benchmarks.systems.shared.recognised import CONFIG, read_address, read_json
from diffae.system.errors import UserError

OPTIONS = {
    "posterior": ("mean", "sample"),  # which code of the posterior distribution
    "dtype": ("float32", "float16", "bfloat16"),
    "tiling": ("off", "on"),  # the class's own tiling of larger images than it is configured for
    "size": ("default", "32", "64", "128", "192", "224", "256", "384", "512", "768", "1024"),
}
USUAL_SIZE = 256  # the size at which the paper runs others' models
HALF = 1 << 16  # the numbers of a mark are below it
RAE, CONSISTENCY, VQ = "AutoencoderRAE", "ConsistencyDecoderVAE", "VQModel"


def open_model(path: str | Path | None, device: torch.device) -> "DiffusersSystem":
    """Any autoencoder of images of diffusers, of its folder or of a pipeline's vae

    Raises UserError, naming the path.
    """
    source, options = find(path)
    classes = {VQ: QuantisedModel, RAE: RepresentationModel, CONSISTENCY: ConsistencyModel}
    return classes.get(source.class_name, DiffusersSystem)(source, options, device)


def find(path: str | Path | None) -> tuple[ModelFolder, dict[str, str]]:
    """Find the folder of an address and the options for reading it. Raises UserError, naming the path."""
    place, options = read_address(path, OPTIONS)
    if place is None:
        remedy = "give one: --ckpt diffusers=FOLDER"
        raise NotAvailable(f"no model of diffusers ships with this package; {remedy}")
    return diffusers_folder.find(place), options


class DiffusersSystem(Maps):
    """An autoencoder of images of diffusers, of its folder"""

    name = "diffusers"

    def __init__(self, source: ModelFolder, options: dict[str, str], device: torch.device):
        self.source, self.title, self.kind = source.folder, source.title, KINDS[source.class_name]
        self.class_name, self.options, self.device = source.class_name, options, device
        self.model: Any = diffusers_folder.load(source)
        self.dtype = self._dtype()
        self.model.to(device, self.dtype)
        if options["tiling"] == "on":
            if not (hasattr(self.model, "use_tiling") and hasattr(self.model, "enable_tiling")):
                remedy = "leave out tiling=on"
                raise UserError(f"{self.source}: {self.class_name} has no tiling; {remedy}")
            self.model.enable_tiling()
        version = library.diffusers("").__version__
        chosen = ",".join(f"{name}={value}" for name, value in options.items())
        self.fingerprint = f"{source.fingerprint()}-{chosen}-{version}"
        self._set_sizes()

    def _dtype(self) -> torch.dtype:
        name = self.options["dtype"]
        stated = read_json(self.source / CONFIG)  # what it leaves out is true in diffusers
        if name == "float16" and stated.get("force_upcast"):
            raise UserError(
                f"{self.source}: its {CONFIG} asks for float32 in place of float16 (force_upcast: true, which diffusers "
                "also writes by default); use dtype=float32 or dtype=bfloat16, or set it to false where float16 is enough"
            )
        return getattr(torch, name)

    def _set_sizes(self) -> None:
        config = self.model.config
        self.stride = self.kind.stride(config)
        self.image_size = self._size(config.get("sample_size"))
        width = int(self.kind.channels(config))
        self.latent_dim = width * self._places()
        self.semantic_parts = (map_of(width),)

    def _places(self) -> int:
        """Number of vectors in the code of an image of the measured size."""
        return ((self.image_size or 0) // self.stride) ** 2

    def _size(self, configured: int | list[int] | None) -> int:
        """The side at which the system is measured, a multiple of the stride.

        The requested one, or the smaller of 256 and the model's own.
        """
        if self.options["size"] != "default":
            size = int(self.options["size"])
            if size % self.stride:
                raise UserError(f"{self.source}: size={size}: must be a multiple of {self.stride}")
            return size
        own = configured if type(configured) is int and configured > 0 else USUAL_SIZE
        return max(min(own, USUAL_SIZE) // self.stride, 1) * self.stride

    def describe(self) -> Description:
        has_posterior = self.kind.output == "latent_dist"
        names = (*(["posterior"] if has_posterior else []), "dtype", "tiling")
        chosen = {name: self.options[name] for name in names}
        return {**super().describe(), "class": self.class_name, **chosen}

    # ------------------------------------------------------------------------------------------

    def encode_semantic(self, images: Tensor) -> Tensor:
        """The result of the class's `encode`, as float32, without any scaling factor."""
        output = getattr(self.model.encode(self._in(images)), self.kind.output)
        if self.kind.output != "latent_dist":
            return output.float()
        mean = output.mean.float()
        if self.options["posterior"] == "mean":
            return mean
        eps = own_noise.normals(images, "posterior", tuple(mean.shape[1:]))
        return mean + output.std.float() * eps.to(mean)

    def decode(self, code: Code, steps: int = 100) -> Tensor:
        return self.cut(self._decoded(needed(code.semantic, "latents")))

    def networks(self) -> dict[str, nn.Module]:
        return {self.class_name: self.model}

    def _decoded(self, latents: Tensor) -> Tensor:
        return self.model.decode(self._in(latents)).sample.float()

    def _in(self, tensor: Tensor) -> Tensor:
        return tensor.to(self.device, self.dtype)


class QuantisedModel(OneCodebook, DiffusersSystem):
    """VQModel: its `encode` gives the map before quantisation, and its `decode` would quantise"""

    def _set_sizes(self) -> None:
        super()._set_sizes()
        self.code_bits = self._places() * math.log2(self.model.config["num_vq_embeddings"])

    def describe(self) -> Description:
        return {**super().describe(), "decoded": AS_GIVEN["decoded"]}

    def _decoded(self, latents: Tensor) -> Tensor:
        """`VQModel.decode` without its quantiser, which it skips in some configurations only."""
        vectors = self._in(latents)
        spatial = self.model.config.get("norm_type") == "spatial"
        return self.model.decoder(
            self.model.post_quant_conv(vectors), vectors if spatial else None
        ).float()


class RepresentationModel(DiffusersSystem):
    """AutoencoderRAE: images in [0, 1], of one size"""

    def _set_sizes(self) -> None:
        config, model = self.model.config, self.model
        self.stride, self.image_size = None, model.decoder_image_size  # type: ignore[assignment]
        if self.options["size"] not in ("default", str(self.image_size)):
            remedy = "leave out size="
            raise UserError(f"{self.source}: {RAE} has one size, {self.image_size}; {remedy}")
        width, places = int(self.kind.channels(config)), model.num_patches
        self.latent_dim = width * places
        side = math.isqrt(places)
        self.semantic_parts = (Part((width, side, side)),)

    def encode_semantic(self, images: Tensor) -> Tensor:
        return super().encode_semantic(images / 2 + 0.5)

    def _decoded(self, latents: Tensor) -> Tensor:
        return super()._decoded(latents) * 2 - 1


class ConsistencyModel(DiffusersSystem):
    """ConsistencyDecoderVAE: two steps from noise seeded by the image, which `x_T` identifies"""

    def describe(self) -> Description:
        return {
            **super().describe(),
            "noise": "of the image's grey levels; one for all codes without x_T",
        }

    def encode(self, images: Tensor, steps: int = 100) -> Code:
        return Code(self.encode_semantic(images), marks_of(images))

    def decode(self, code: Code, steps: int = 100) -> Tensor:
        latents = needed(code.semantic, "latents")
        marks = torch.zeros(len(latents), 2) if code.x_T is None else code.x_T
        output = self.model.decode(self._in(latents), generator=generators(marks))
        return self.cut(output.sample.float())


def marks_of(images: Tensor) -> Tensor:
    """Marks that a code can carry, by which `generators` identifies its image.

    N x 2 integers of 16 bits, as float32.
    """
    marks = [(d[0] * 256 + d[1], d[2] * 256 + d[3]) for d in own_noise.digests(images)]
    return torch.tensor(marks, dtype=torch.float32, device=images.device).reshape(-1, 2)


def generators(marks: Tensor) -> list[torch.Generator]:
    """A generator on the CPU for each image."""
    seeds = [high * HALF + low for high, low in marks.cpu().long().tolist()]
    return [torch.Generator().manual_seed(seed) for seed in seeds]
