"""Inception-v3 of Heusel et al., 2017, in pytorch-fid's port, with pytorch-fid's preprocessing: `fid`."""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks import weights
from benchmarks.metrics.networks.features import FeatureNetwork, from_zero_to_one, frozen
from benchmarks.metrics.networks.folding import without_batch_norms
from diffae.system.errors import UserError
from reports.records.metrics import seen_through

INCEPTION_SIZE, INCEPTION_DIM = 299, 2048


def inception(path: Path, device: torch.device) -> FeatureNetwork:
    """The FID network with the weights of the file `path`: features of the last pooling layer.

    Images are resized to 299 px, bilinear without antialiasing, as in pytorch-fid.
    """
    network = _fid_inception_v3()
    try:
        network.load_state_dict(weights.read_state(path))
    except (RuntimeError, TypeError) as error:
        first_line = str(error).strip().splitlines()[0]
        raise UserError(f"{path}: not the weights of FID's Inception-v3: {first_line}") from None
    network.fc = nn.Identity()
    return FeatureNetwork(
        name="inception-v3 (pytorch-fid)",
        metric_name=seen_through("fid", "inception"),
        network="inception",
        dim=INCEPTION_DIM,
        input_size=INCEPTION_SIZE,
        resize="bilinear, no antialiasing",
        sha256=weights.sha256(path),
        published=weights.is_published(path),
        device=device,
        module=frozen(without_batch_norms(network), device),
        prepare=_prepare,
    )


def _prepare(images: Tensor) -> Tensor:
    size = (INCEPTION_SIZE, INCEPTION_SIZE)
    images = F.interpolate(from_zero_to_one(images), size, mode="bilinear", align_corners=False)
    return 2 * images - 1


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
