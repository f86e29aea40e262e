"""Names of the tensors of vision transformers: those that others use -> timm's.

A network's weights have one hash, whichever file holds them: that of its tensors by timm's names.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

# Parts of the names in files of transformers, and what timm calls them, replaced in this order.
DINOV2 = {
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
CLIP = {
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


def dinov2(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """DINOv2's tensors by timm's names, without the mask token, which only its training uses."""
    named = _renamed(state, DINOV2) if "embeddings.cls_token" in state else dict(state)
    named.pop("mask_token", None)
    return named


def clip(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of CLIP's image encoder by timm's names; the projection has a bias of 0 there."""
    images = {n: t for n, t in state.items() if not n.startswith(OF_TEXT) and n != INDICES}
    if not any(name.startswith("vision_model.") for name in images):
        return images
    named = _renamed(images, CLIP)
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
