"""Networks with folded batch norms give the same outputs as before."""

import copy

import pytest
import torch
from torch import nn

from benchmarks import weights
from benchmarks.metrics.networks.features import effnet_lite0, without_batch_norms
from benchmarks.metrics.networks.inception import _fid_inception_v3


def inception() -> nn.Module:
    """FID's network with statistics as a trained one has them: no mean at 0, no variance at 1."""
    network = _fid_inception_v3()
    for norm in (m for m in network.modules() if isinstance(m, nn.BatchNorm2d)):
        for values, low, high in (
            (norm.running_mean, -0.5, 0.5),
            (norm.running_var, 0.5, 1.5),
            (norm.weight.detach(), 0.5, 1.5),
            (norm.bias.detach(), -0.5, 0.5),
        ):
            values.uniform_(low, high)
    return network


def effnet() -> nn.Module:
    return effnet_lite0(weights.load_path("efficientnet-lite0", None, allow_unknown=False))


@pytest.mark.parametrize("make, size", [(inception, 139), (effnet, 128)])
def test_features_are_those_with_the_norms_apart_and_no_norm_is_left(make, size):
    torch.manual_seed(0)
    network = make().eval()
    images = torch.rand(2, 3, size, size) * 2 - 1
    with torch.no_grad():
        expected = network.double()(images.double()).float()
        folded = without_batch_norms(copy.deepcopy(network))
        found = folded(images)
    assert float((found - expected).norm() / expected.norm()) < 1e-5
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    assert {p.dtype for p in folded.parameters()} == {torch.float32}
