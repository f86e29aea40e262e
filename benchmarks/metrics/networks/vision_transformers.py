"""Vision transformers that Frechet distances are computed with, built by timm.

- `dinov2_vitl14`: the network of FD-DINOv2 (Stein et al., 2023), as in dgm-eval; `dinov2_vitb14` is
  the same with the smaller network. The feature is the CLS token after the last norm, 1024 or 768
  numbers. Images become 224 x 224 whatever their shape.
- `clip_vitl14_336`: OpenAI's CLIP, the network of CMMD (Jayasumana et al., 2024), as in cmmd-pytorch.
  The feature is the embedding of the image, 768 numbers, after the projection and not normalised:
  CMMD divides it by its length. Images are cropped to the square in their centre and become 336 px
  wide. dgm-eval's CLIP distance is another one: another CLIP (DataComp's ViT-L/14 at 224 px), before
  the projection.

Both resize by Pillow's bicubic filter, antialiased, on 8-bit images. Pillow does it here too: no
filter of PyTorch gives the same pixels.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from benchmarks import weights
from benchmarks.metrics.networks import transformer_names
from benchmarks.metrics.networks.features import FeatureNetwork, frozen
from reports.records.metrics import seen_through

PATCH = 14  # px
DINOV2_GRID = 37  # DINOv2 has position embeddings for 37 x 37 patches: 518 px
OFFSET = 0.1  # DINOv2's `interpolate_offset`


@dataclass(frozen=True)
class Architecture:
    """A vision transformer of timm.

    `size` is that of its input in px, `dim` the numbers of a feature; `width`, `depth` and `heads`
    are those of its blocks. `has_head` says that a projection follows the last norm. `square` crops
    images to the square in their centre; else they lose their shape. `mean` and `std` normalise
    images in [0, 1].
    """

    network: str
    title: str
    timm_name: str
    size: int
    width: int
    depth: int
    heads: int
    dim: int
    has_head: bool
    square: bool
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    @property
    def resize(self) -> str:
        """The protocol's words for what is done with images."""
        crop = "centre square, then " if self.square else ""
        return f"{crop}Pillow's bicubic of 8-bit images, antialiased"

    def build(self) -> nn.Module:
        """The network, whose weights mean nothing yet."""
        import timm

        return timm.create_model(
            self.timm_name,
            pretrained=False,
            img_size=self.size,
            embed_dim=self.width,
            depth=self.depth,
            num_heads=self.heads,
            num_classes=self.dim if self.has_head else 0,
            weight_init="skip",
        )


def _dinov2(size: str, width: int, depth: int, heads: int) -> Architecture:
    return Architecture(
        network=f"dinov2_vit{size[0]}14",
        title=f"DINOv2 ViT-{size[0].upper()}/14 (CLS token after the last norm)",
        timm_name=f"vit_{size}_patch14_dinov2",
        size=224,
        width=width,
        depth=depth,
        heads=heads,
        dim=width,
        has_head=False,
        square=False,
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
    )


DINOV2_VITL14 = _dinov2("large", width=1024, depth=24, heads=16)
DINOV2_VITB14 = _dinov2("base", width=768, depth=12, heads=12)
# QuickGELU, as OpenAI trained it: timm's name without "quickgelu" is a network with another activation.
CLIP_VITL14_336 = Architecture(
    network="clip_vitl14_336",
    title="CLIP ViT-L/14 at 336 px (OpenAI; image embedding, not normalised)",
    timm_name="vit_large_patch14_clip_quickgelu_336",
    size=336,
    width=1024,
    depth=24,
    heads=16,
    dim=768,
    has_head=True,
    square=True,
    mean=(0.48145466, 0.4578275, 0.40821073),
    std=(0.26862954, 0.26130258, 0.27577711),
)


def dinov2(architecture: Architecture, path: Path, device: torch.device) -> FeatureNetwork:
    """DINOv2 with the weights of the file `path`, by the names of Meta, timm or transformers.

    Raises UserError, naming the file, if they are not those of this architecture.
    """
    network = architecture.build()
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    expected["pos_embed"] = (1, 1 + DINOV2_GRID**2, architecture.width)
    read = transformer_names.dinov2(weights.read_state(path))
    state = transformer_names.checked(read, expected, path, architecture.title)
    patches = architecture.size // PATCH
    resampled = resampled_positions(state["pos_embed"], patches)
    network.load_state_dict(state | {"pos_embed": resampled})
    scale = f"({patches} + {OFFSET}) / {DINOV2_GRID}"
    words = f"bicubic without antialiasing by {scale}, as in DINOv2's own code"
    return _features(architecture, network, state, path, device, words)


def clip(architecture: Architecture, path: Path, device: torch.device) -> FeatureNetwork:
    """CLIP's image encoder with the weights of the file `path`, by the names of timm or transformers.

    The file may hold the text encoder too. Raises UserError, naming the file, if the weights are not
    those of this architecture.
    """
    network = architecture.build()
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    read = transformer_names.clip(weights.read_state(path))
    state = transformer_names.checked(read, expected, path, architecture.title)
    network.load_state_dict(state)
    return _features(architecture, network, state, path, device)


dinov2_vitl14 = partial(dinov2, DINOV2_VITL14)
dinov2_vitb14 = partial(dinov2, DINOV2_VITB14)
clip_vitl14_336 = partial(clip, CLIP_VITL14_336)


def _features(
    architecture: Architecture,
    network: nn.Module,
    state: dict[str, Tensor],
    path: Path,
    device: torch.device,
    position_embedding: str = "",
) -> FeatureNetwork:
    return FeatureNetwork(
        name=architecture.title,
        metric_name=seen_through("fid", architecture.network),
        network=architecture.network,
        dim=architecture.dim,
        input_size=architecture.size,
        resize=architecture.resize,
        sha256=weights.tensors_sha256(state),
        published=weights.is_published(path),
        device=device,
        module=frozen(network, device),
        prepare=partial(prepare, architecture),
        position_embedding=position_embedding,
    )


def prepare(architecture: Architecture, images: Tensor) -> Tensor:
    """uint8 N x 3 x H x W -> float32 N x 3 x size x size, normalised, on the CPU.

    Equal to torchvision's `Resize((size, size), BICUBIC)` of Pillow images, `ToTensor` and
    `Normalize`.
    """
    resized = [_resized(image, architecture) for image in images.permute(0, 2, 3, 1).cpu().numpy()]
    pixels = torch.from_numpy(np.stack(resized)).permute(0, 3, 1, 2).contiguous()
    mean, std = (torch.tensor(x)[:, None, None] for x in (architecture.mean, architecture.std))
    return pixels.float().div(255).sub(mean).div(std)


def _resized(image: np.ndarray, architecture: Architecture) -> np.ndarray:
    """An image, uint8 H x W x 3, cropped and resized as the architecture says."""
    picture = Image.fromarray(image)
    if architecture.square:
        side = min(picture.size)
        left, top = ((length - side) // 2 for length in picture.size)
        picture = picture.crop((left, top, left + side, top + side))
    size = (architecture.size, architecture.size)
    return np.array(picture.resize(size, Image.Resampling.BICUBIC))


def resampled_positions(embedding: Tensor, patches: int) -> Tensor:
    """DINOv2's position embedding, 1 x (1 + g^2) x d, for `patches` x `patches` patches.

    As `interpolate_pos_encoding` of facebookresearch/dinov2 for its models without registers:
    bicubic, no antialiasing, and scaled by (patches + 0.1) / g, so that the grid is a little off
    patches / g. Other software differs: transformers scales by patches / g, timm antialiases too.
    """
    token, grid = embedding[:, :1], embedding[:, 1:].unflatten(1, (DINOV2_GRID, DINOV2_GRID))
    scale = (patches + OFFSET) / DINOV2_GRID
    resampled = F.interpolate(
        grid.permute(0, 3, 1, 2).float(), scale_factor=(scale, scale), mode="bicubic"
    )
    return torch.cat([token, resampled.flatten(2).transpose(1, 2)], dim=1)
