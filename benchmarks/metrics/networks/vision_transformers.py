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

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from benchmarks import weights
from benchmarks.metrics.networks.features import FeatureNetwork, frozen
from diffae.checkpoints.checkpoint import check_state
from reports.records.metrics import seen_through

# ----------------------------------------------------------------------------------------------
# Names of tensors: those that others use -> timm's. A network's weights have one hash, whichever file holds them: that of its
# tensors by timm's names

# Parts of the names in files of transformers, and what timm calls them, replaced in this order.
NAMES_OF_DINOV2 = {
    "embeddings.cls_token": "cls_token",
    "embeddings.mask_token": "mask_token",
    "embeddings.position_embeddings": "pos_embed",
    "embeddings.patch_embeddings.projection": "patch_embed.proj",
    "encoder.layer.": "blocks.",
    ".attention.attention.": ".attn.",
    ".attention.output.dense": ".attn.proj",
    ".layer_scale1.lambda1": ".ls1.gamma",
    ".layer_scale2.lambda1": ".ls2.gamma",
    "layernorm.": "norm.",
}
NAMES_OF_CLIP = {
    "vision_model.embeddings.class_embedding": "cls_token",
    "vision_model.embeddings.position_embedding.weight": "pos_embed",
    "vision_model.embeddings.patch_embedding": "patch_embed.proj",
    "vision_model.encoder.layers.": "blocks.",
    "vision_model.pre_layrnorm": "norm_pre",  # their spelling
    "vision_model.post_layernorm": "norm",
    "visual_projection": "head",
    ".self_attn.q_proj": ".attn.query",
    ".self_attn.k_proj": ".attn.key",
    ".self_attn.v_proj": ".attn.value",
    ".self_attn.out_proj": ".attn.proj",
    ".layer_norm1": ".norm1",
    ".layer_norm2": ".norm2",
}
# What is no part of CLIP's image encoder.
OF_TEXT = ("text_model.", "text_projection.", "logit_scale")
INDICES = "vision_model.embeddings.position_ids"

QUERY, KEY, VALUE, JOINED = ".attn.query.", ".attn.key.", ".attn.value.", ".attn.qkv."


def _named_dinov2(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """DINOv2's tensors by timm's names, without the mask token, which only its training uses."""
    named = _renamed(state, NAMES_OF_DINOV2) if "embeddings.cls_token" in state else dict(state)
    named.pop("mask_token", None)
    return named


def _named_clip(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of CLIP's image encoder by timm's names; the projection has a bias of 0 there."""
    images = {n: t for n, t in state.items() if not n.startswith(OF_TEXT) and n != INDICES}
    if not any(name.startswith("vision_model.") for name in images):
        return images
    named = _renamed(images, NAMES_OF_CLIP)
    for name in ("cls_token", "pos_embed"):
        if name in named:
            named[name] = torch.atleast_2d(named[name])[None]
    if "head.weight" in named:
        named["head.bias"] = torch.zeros(named["head.weight"].shape[:1])
    return named


def _renamed(state: Mapping[str, Tensor], table: Mapping[str, str]) -> dict[str, Tensor]:
    """The tensors under new names, with query, key and value of each block joined into one."""
    named = {}
    for name, tensor in state.items():
        for theirs, ours in table.items():
            name = name.replace(theirs, ours)
        named[name] = tensor
    for query in [name for name in named if QUERY in name]:
        parts = [query.replace(QUERY, part) for part in (QUERY, KEY, VALUE)]
        shape = named[query].shape
        if shape and all(part in named and named[part].shape == shape for part in parts):
            named[query.replace(QUERY, JOINED)] = torch.cat([named.pop(part) for part in parts])
    return named


PATCH = 14  # px
OFFSET = 0.1  # DINOv2's `interpolate_offset`


@dataclass(frozen=True)
class Architecture:
    """A vision transformer: the arguments by which timm makes it, and what files hold of it.

    `named` gives the tensors of a file under timm's names, with position embeddings of `grid` x
    `grid` patches. `square` crops images to the square in their centre; else they lose their shape.
    `mean` and `std` normalise images in [0, 1].
    """

    network: str
    title: str
    arguments: Mapping[str, Any]
    named: Callable[[Mapping[str, Tensor]], dict[str, Tensor]]
    grid: int
    square: bool
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    @property
    def size(self) -> int:
        """The side of its input in px."""
        return self.arguments["img_size"]


def _dinov2(size: str) -> Architecture:
    return Architecture(
        network=f"dinov2_vit{size[0]}14",
        title=f"DINOv2 ViT-{size[0].upper()}/14 (CLS token after the last norm)",
        arguments={"model_name": f"vit_{size}_patch14_dinov2", "img_size": 224, "num_classes": 0},
        named=_named_dinov2,
        grid=37,
        square=False,
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
    )


DINOV2_VITL14, DINOV2_VITB14 = _dinov2("large"), _dinov2("base")
CLIP_VITL14_336 = Architecture(
    network="clip_vitl14_336",
    title="CLIP ViT-L/14 at 336 px (OpenAI; image embedding, not normalised)",
    arguments={
        # QuickGELU, as OpenAI trained it: the name without it is a network with another activation
        "model_name": "vit_large_patch14_clip_quickgelu_336",
        "img_size": 336,
        "num_classes": 768,
    },
    named=_named_clip,
    grid=24,
    square=True,
    mean=(0.48145466, 0.4578275, 0.40821073),
    std=(0.26862954, 0.26130258, 0.27577711),
)


def load(architecture: Architecture, path: Path, device: torch.device) -> FeatureNetwork:
    """The network with the weights of the file `path`, by the names of timm or transformers, of
    DINOv2 also by Meta's.

    A file of CLIP may hold the text encoder too. Raises UserError, naming the file, if the weights
    are not those of this architecture.
    """
    import timm

    network: Any = timm.create_model(**architecture.arguments, pretrained=False, weight_init="skip")
    dim = network.num_classes or network.embed_dim
    patches, grid = architecture.size // PATCH, architecture.grid
    positions = torch.empty(1, 1 + grid**2, network.embed_dim)
    state = architecture.named(weights.read_state(path))
    expected = network.state_dict() | {"pos_embed": positions}
    check_state(state, expected, f"{path}: not the weights of {architecture.title}")
    state = {name: tensor.float() for name, tensor in state.items()}
    crop, embedding, resampled = "centre square, then " if architecture.square else "", "", {}
    if patches != grid:
        embedding = f"bicubic without antialiasing by ({patches} + {OFFSET}) / {grid}, as in DINOv2's own code"
        resampled = {"pos_embed": resampled_positions(state["pos_embed"], patches)}
    network.load_state_dict(state | resampled)
    return FeatureNetwork(
        name=architecture.title,
        metric_name=seen_through("fid", architecture.network),
        network=architecture.network,
        dim=dim,
        input_size=architecture.size,
        resize=f"{crop}Pillow's bicubic of 8-bit images, antialiased",
        sha256=weights.tensors_sha256(state),
        published=weights.is_published(path),
        device=device,
        module=frozen(network, device),
        prepare=partial(prepare, architecture),
        position_embedding=embedding,
    )


dinov2_vitl14 = partial(load, DINOV2_VITL14)
dinov2_vitb14 = partial(load, DINOV2_VITB14)
clip_vitl14_336 = partial(load, CLIP_VITL14_336)


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
    side = math.isqrt(embedding.shape[1] - 1)
    token, grid = embedding[:, :1], embedding[:, 1:].unflatten(1, (side, side))
    scale = (patches + OFFSET) / side
    resampled = F.interpolate(
        grid.permute(0, 3, 1, 2).float(), scale_factor=(scale, scale), mode="bicubic"
    )
    return torch.cat([token, resampled.flatten(2).transpose(1, 2)], dim=1)
