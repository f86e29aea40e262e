"""Gradient checkpointing: the same gradients as without it, with less memory."""

from dataclasses import replace

import pytest
import torch

from diffae.networks.unet import SemanticEncoder, UNet, recompute
from diffae.train.presets import PRESETS

CONFIG = replace(PRESETS["portraits"].model, dropout=0.3)


@pytest.fixture
def step():
    """A loss of encoder and UNet on four images, with dropout, the same whenever it is called."""
    torch.manual_seed(0)
    networks = torch.nn.ModuleDict({"unet": UNet(CONFIG), "encoder": SemanticEncoder(CONFIG)})
    with torch.no_grad():
        for p in networks.parameters():
            p.add_(0.02 * torch.randn_like(p))  # nothing starts at zero
    x, t = torch.randn(4, 3, 32, 32), torch.tensor([1, 400, 700, 999])

    def loss():
        torch.manual_seed(1)
        return networks["unet"](x, t, networks["encoder"](x)).square().mean()

    return networks, loss


def activation_bytes(network, loss):
    """Bytes of the tensors that the graph of `loss()` keeps, without the weights of `network`."""
    weights = {p.untyped_storage()._cdata for p in network.parameters()}
    kept = {}

    def keep(saved):
        storage = saved.untyped_storage()
        if storage._cdata not in weights:
            kept[storage._cdata] = storage.nbytes()
        return saved

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda saved: saved):
        loss()
    return sum(kept.values())


def gradients(networks, loss):
    networks.zero_grad()
    value = loss()
    value.backward()
    return [value.detach(), *(p.grad.clone() for p in networks.parameters())]


def test_gradients_are_the_same_dropout_included(step):
    networks, loss = step
    plain = gradients(networks, loss)
    recompute(networks)
    for a, b in zip(plain, gradients(networks, loss), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)
    recompute(networks, on=False)
    assert all(torch.equal(a, b) for a, b in zip(plain, gradients(networks, loss), strict=True))


def test_less_is_kept(step):
    networks, loss = step
    plain = activation_bytes(networks, loss)
    recompute(networks)
    assert activation_bytes(networks, loss) < 0.25 * plain


def test_what_is_kept_is_what_is_known():
    """A product of x by weights keeps x; its square keeps the product."""
    layer = torch.nn.Linear(8, 4, bias=False)
    x = torch.randn(16, 8, requires_grad=True)  # so that the weights are kept too
    assert activation_bytes(layer, lambda: layer(x).square().sum()) == 4 * (16 * 8 + 16 * 4)
