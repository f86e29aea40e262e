"""Inception-v3 of Heusel et al., 2017, in pytorch-fid's port: `fid`.

Its input is made as pytorch-fid makes it, or as other codes do that protocols name. They differ in
how images get to 299 px, and by half a grey level in how they are scaled.
"""

from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from benchmarks import weights
from benchmarks.metrics.networks import features
from benchmarks.metrics.networks.features import FeatureNetwork
from diffae.networks.nn import without_weights
from diffae.system.errors import UserError
from reports.records.metrics import seen_through

INCEPTION_SIZE, INCEPTION_DIM = 299, 2048
SIZE = (INCEPTION_SIZE, INCEPTION_SIZE)

PYTORCH_FID = "pytorch-fid"
RESIZES = {  # by the names of protocols, the words of a description
    PYTORCH_FID: "bilinear, no antialiasing",
    "tensorflow": "TensorFlow 1's bilinear, no half-pixel centres, no antialiasing",
    "clean-fid": "Pillow's bicubic of float channels, antialiased",
    "antialiased": "bilinear, antialiased",
}


def inception(
    path: Path, device: torch.device, resize: str = PYTORCH_FID, dtype: str = "float32"
) -> FeatureNetwork:
    """The FID network with the weights of the file `path`: features of the last pooling layer.

    `resize` is one of RESIZES, `dtype` that of the computation, "float32" or "float64". Images are
    uint8, or float32 in [0, 255].
    """
    with without_weights():
        network = _fid_inception_v3()
    try:
        network.load_state_dict(weights.read_state(path), assign=True)
    except (RuntimeError, TypeError) as error:
        first_line = str(error).strip().splitlines()[0]
        raise UserError(f"{path}: not the weights of FID's Inception-v3: {first_line}") from None
    network.fc = nn.Identity()
    computed: torch.dtype = getattr(torch, dtype)
    return FeatureNetwork(
        name="inception-v3 (pytorch-fid)",
        metric_name=seen_through("fid", "inception"),
        network="inception",
        dim=INCEPTION_DIM,
        input_size=INCEPTION_SIZE,
        resize=RESIZES[resize],
        sha256=weights.sha256(path),
        published=weights.is_published(path),
        device=device,
        module=features.frozen(features.without_batch_norms(network, computed), device),
        prepare=partial(_prepare, resize, computed),
        dtype=computed,
        takes=(torch.uint8, torch.float32),
    )


def _prepare(resize: str, dtype: torch.dtype, images: Tensor) -> Tensor:
    """Images N x 3 x H x W in [0, 255] -> N x 3 x 299 x 299 in about [-1, 1]."""
    if resize == PYTORCH_FID:
        return 2 * _bilinear(features.from_zero_to_one(images, dtype)) - 1
    images = images.to(dtype)
    if resize == "tensorflow":
        images = _tensorflow(images)
    elif resize == "clean-fid":
        images = _clean_fid(images)
    else:
        images = _bilinear(images, antialias=True)
    return (images - 128).div(128).contiguous(memory_format=torch.channels_last)


def _bilinear(images: Tensor, antialias: bool = False) -> Tensor:
    return F.interpolate(images, SIZE, mode="bilinear", align_corners=False, antialias=antialias)


def _tensorflow(images: Tensor) -> Tensor:
    """`resize_bilinear` of TensorFlow 1: pixel k of the output is at k size / 299 of the input.

    As toshas/torch-fidelity@0.4.0 torch_fidelity/interpolate_compat_tensorflow.py; that ratio is
    rounded to float32.
    """
    for dim in (-1, -2):
        size = images.shape[dim]
        ratio = float(np.float32(size / INCEPTION_SIZE))
        at = torch.arange(INCEPTION_SIZE, dtype=images.dtype, device=images.device) * ratio
        low = at.long()
        weight = (at - low).reshape(-1, *[1] * (-1 - dim))
        first, next_one = (
            images.index_select(dim, place) for place in (low, (low + 1).clamp_max(size - 1))
        )
        images = first + (next_one - first) * weight
    return images


def _clean_fid(images: Tensor) -> Tensor:
    """The resize of clean-fid 0.1.35, `make_resizer("PIL", False, "bicubic", (299, 299))`."""
    channels = images.flatten(0, 1).float().cpu().numpy()
    resized = [Image.fromarray(x).resize(SIZE, Image.Resampling.BICUBIC) for x in channels]
    pixels = torch.from_numpy(np.stack([np.asarray(x) for x in resized])).clamp(0, 255)
    return pixels.unflatten(0, images.shape[:2]).to(images)


def _fid_inception_v3() -> nn.Module:
    """torchvision's Inception-v3 with pytorch-fid's blocks: `fid_inception_v3` without download."""
    from pytorch_fid.inception import (
        FIDInceptionA,
        FIDInceptionC,
        FIDInceptionE_1,
        FIDInceptionE_2,
        _inception_v3,
    )

    network = _inception_v3(num_classes=1008, aux_logits=False, weights=None)
    network.Mixed_5b = FIDInceptionA(192, pool_features=32)
    network.Mixed_5c = FIDInceptionA(256, pool_features=64)
    network.Mixed_5d = FIDInceptionA(288, pool_features=64)
    network.Mixed_6b = FIDInceptionC(768, channels_7x7=128)
    network.Mixed_6c = FIDInceptionC(768, channels_7x7=160)
    network.Mixed_6d = FIDInceptionC(768, channels_7x7=160)
    network.Mixed_6e = FIDInceptionC(768, channels_7x7=192)
    network.Mixed_7b = FIDInceptionE_1(1280)
    network.Mixed_7c = FIDInceptionE_2(2048)
    return network
