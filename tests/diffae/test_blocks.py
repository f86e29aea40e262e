"""The building blocks against their formulas, and the model's methods with known networks."""

from dataclasses import replace

import plain_blocks
import pytest
import torch
from known_networks import Knows
from plain_blocks import awake, norm
from tiny_preset import TINY
from torch.nn import functional as F

from diffae.diffusion.gaussian import constant_alphas, linear_alphas
from diffae.model import DDIM, DiffusionAutoencoder
from diffae.networks.config import DDIM_BASELINE, EPSILON, VELOCITY, LatentConfig
from diffae.networks.latent_net import LatentNet
from diffae.networks.nn import AttentionBlock, GroupNorm, ResBlock, resample
from diffae.networks.unet import SemanticEncoder


@pytest.mark.parametrize("direction", [None, "down", "up"])
@pytest.mark.parametrize("listens", [True, False])
def test_a_residual_block_is_equation_7(direction, listens):
    block = awake(ResBlock(8, 12, 4, 0.5, 6, 5 if listens else None, direction)).eval()
    x, emb = torch.randn(2, 8, 4, 4), torch.randn(2, 6)
    z = torch.randn(2, 5) if listens else None
    with torch.no_grad():
        found, expected = block(x, emb, z), plain_blocks.residual(block, x, emb, z)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_resampling_is_the_mean_of_four_and_four_of_one():
    x = torch.arange(4.0).reshape(1, 1, 2, 2)
    assert resample(x, "down").flatten().tolist() == [1.5]
    assert resample(x, "up")[0, 0].tolist() == [[0, 0, 1, 1]] * 2 + [[2, 2, 3, 3]] * 2


def test_attention_has_one_head_over_all_pixels():
    block = awake(AttentionBlock(8, 4)).eval()
    x = torch.randn(2, 8, 3, 3)
    with torch.no_grad():
        torch.testing.assert_close(block(x), plain_blocks.attention(block, x), atol=1e-4, rtol=1e-4)


def test_norms_of_half_precision_are_computed_in_single():
    norm, x = GroupNorm(8, 4), (100 + torch.randn(1, 8, 50, 50)).bfloat16()
    exact = F.group_norm(x.double(), 4)
    torch.testing.assert_close(norm(x).double(), exact, rtol=2**-8, atol=1e-3)  # one rounding


def test_the_encoder_is_the_mean_over_pixels_of_what_its_blocks_say():
    encoder = awake(SemanticEncoder(replace(TINY.model, encoder_channel_mult=(1, 2)))).eval()
    x = torch.randn(2, 3, 8, 8)
    h = x
    for stage in (*encoder.input_blocks, encoder.middle_block):
        h = stage(h)
    pooled = F.silu(norm(h, encoder.out[0])).mean((2, 3))
    expected = pooled @ encoder.out[3].weight[:, :, 0, 0].T + encoder.out[3].bias
    with torch.no_grad():
        torch.testing.assert_close(encoder(x), expected, atol=1e-4, rtol=1e-4)
    assert len(encoder.input_blocks) == 4  # a convolution, a block, a block that halves, a block


def test_the_latent_net_is_layers_with_skips_from_the_input():
    net = awake(LatentNet(LatentConfig(num_layers=3, hidden_channels=8, time_channels=4), 5)).eval()
    z, t = torch.randn(2, 5), torch.tensor([3, 700])
    angles = t[:, None] * torch.tensor([1.0, 0.01])
    emb = torch.cat([angles.cos(), angles.sin()], 1)
    emb = net.time_embed[2](F.silu(net.time_embed[0](emb)))
    h = torch.empty(2, 0)
    for layer in net.layers[:2]:
        h = layer.linear(torch.cat([h, z], 1))
        h = F.silu(
            F.layer_norm(h * (1 + layer.linear_emb(F.silu(emb))), (8,), *layer.norm.parameters())
        )
    expected = net.layers[2].linear(torch.cat([h, z], 1))
    with torch.no_grad():
        torch.testing.assert_close(net(z, t), expected, atol=1e-4, rtol=1e-4)


# ----------------------------------------------------------------------------------------------
# Verbs


def models(prediction, x_0):
    config = replace(TINY.model, prediction=prediction)
    model = DiffusionAutoencoder(config).eval()
    ddim = DDIM(replace(config, kind=DDIM_BASELINE, encoder_channel_mult=(), latent=None)).eval()
    for network in (model, ddim):
        network.unet = Knows(x_0, linear_alphas(), prediction, out=network.unet.out)
    return model, ddim


@pytest.mark.parametrize("prediction", [EPSILON, VELOCITY])
def test_decoding_ends_at_what_the_network_knows(prediction):
    x_0 = torch.rand(2, 3, 8, 8) * 1.6 - 0.8
    model, ddim = models(prediction, x_0)
    x_T = torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(model.decode(torch.zeros(2, 4), x_T, 5), x_0, atol=1e-3, rtol=0)
    torch.testing.assert_close(ddim.decode(x_T, 5), x_0, atol=1e-3, rtol=0)
    assert ddim.unet.seen[::2] == [800, 600, 400, 200, 0]
    ddim.unet.x_0 = 2 * torch.ones(2, 3, 8, 8)  # images are clipped
    assert torch.equal(ddim.decode(x_T, 5), torch.ones(2, 3, 8, 8))


@pytest.mark.parametrize("prediction", [EPSILON, VELOCITY])
def test_encoding_goes_to_the_noise_that_decodes_to_the_image(prediction):
    x_0 = torch.rand(2, 3, 8, 8) * 1.6 - 0.8
    model, ddim = models(prediction, 0.5 * x_0)
    x_T = ddim.encode_stochastic(x_0, 5)
    assert ddim.unet.seen[::2] == [0, 200, 400, 600, 800]
    # At t = 0 the image counts as x_t; what is not 0.5 x_0 of it is noise, kept to the end.
    a = float(linear_alphas()[0])
    first = (x_0 - a**0.5 * 0.5 * x_0) / (1 - a) ** 0.5
    torch.testing.assert_close(x_T, first, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(model.encode_stochastic(x_0, torch.zeros(2, 4), 5), x_T)


@pytest.mark.parametrize("prediction", [EPSILON, VELOCITY])
def test_sampled_latents_are_denormalised_and_not_clipped(prediction):
    model = DiffusionAutoencoder(TINY.model).eval()
    known = torch.tensor([[3.0, -4.0, 0.5, 0.0]])
    model.latent_net = Knows(known, constant_alphas(0.008), prediction)
    model.z_mean.fill_(10.0)
    model.z_std.copy_(torch.tensor([[1.0, 2.0, 3.0, 4.0]]))
    z = model.sample_latents(torch.randn(6, 4), steps=5)
    torch.testing.assert_close(
        z, torch.tensor([[13.0, 2.0, 11.5, 10.0]]).expand(6, 4), atol=1e-3, rtol=0
    )
    torch.testing.assert_close(model.normalise(z), known.expand(6, 4), atol=1e-3, rtol=0)
