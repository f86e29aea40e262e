"""Optimisations of a network call do not change its result: kernels, memory formats, reused memory."""

import copy
from dataclasses import replace
from functools import partial

import plain_blocks
import pytest
import torch
from plain_blocks import awake
from tiny_preset import TINY
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from diffae.diffusion.solve import decode_steps, last
from diffae.model import DiffusionAutoencoder
from diffae.networks.nn import AttentionBlock, GroupNorm, ResBlock


def gradients(output: Tensor, sources: list[Tensor]) -> tuple[Tensor, ...]:
    shares = torch.linspace(-1, 1, output[0].numel(), dtype=output.dtype)
    return torch.autograd.grad((output.flatten(1) @ shares).sum(), sources)


@pytest.mark.parametrize("direction", [None, "down", "up"])
def test_a_residual_block_has_the_gradients_of_its_formula(direction):
    block = awake(ResBlock(8, 12, 4, 0.0, 6, 5, direction)).double()
    given = [torch.randn(2, *shape, dtype=torch.float64) for shape in ((8, 4, 4), (6,), (5,))]
    sources = [x.requires_grad_() for x in given] + list(block.parameters())
    found = gradients(block(*given), sources)
    torch.testing.assert_close(found, gradients(plain_blocks.residual(block, *given), sources))


def test_attention_has_the_gradients_of_its_formula():
    block = awake(AttentionBlock(8, 4)).double()
    x = torch.randn(2, 8, 3, 3, dtype=torch.float64).requires_grad_()
    sources = [x, *block.parameters()]
    found = gradients(block(x), sources)
    torch.testing.assert_close(found, gradients(plain_blocks.attention(block, x), sources))


def test_one_weight_that_learns_is_enough_to_keep_what_its_gradient_needs():
    """A network all frozen but for one weight of a scale: what is kept for it must not be written over."""
    block = awake(ResBlock(8, 8, 4, 0.0, 6, 5)).double().requires_grad_(False)
    given = [torch.randn(2, *shape, dtype=torch.float64) for shape in ((8, 4, 4), (6,), (5,))]
    weight = block.cond_emb_layers[1].weight.requires_grad_()
    found = gradients(block(*given), [weight])
    torch.testing.assert_close(found, gradients(plain_blocks.residual(block, *given), [weight]))


def test_a_call_leaves_what_it_is_given_as_it_was(model):
    x, z, t = torch.randn(2, 3, 32, 32), torch.randn(2, 256), torch.tensor([0, 999])
    before = [value.clone() for value in (x, t, z)]
    first = model.predict_noise(x, t, z)
    assert all(map(torch.equal, before, (x, t, z)))
    assert torch.equal(first, model.predict_noise(x, t, z))
    block, emb = ResBlock(8, 8, 4, 0.0, 6, 5).eval(), torch.randn(2, 6)
    x, z = torch.randn(2, 8, 4, 4), torch.randn(2, 5)
    before = [value.clone() for value in (x, emb, z)]
    with torch.no_grad():
        block(x, emb, z)
    assert all(map(torch.equal, before, (x, emb, z)))


def test_attention_takes_the_fused_kernel():
    block, x = AttentionBlock(32, 8), torch.randn(2, 32, 8, 8)
    with torch.no_grad(), sdpa_kernel(SDPBackend.FLASH_ATTENTION):  # raises where it cannot be had
        block(x.contiguous(memory_format=torch.channels_last))
        block(x)


@pytest.mark.parametrize("size", [8, 32])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_norms_of_bfloat16_are_norms_of_float32_rounded(size, layout):
    layer, x = GroupNorm(16, 8), 1 + 3 * torch.randn(2, 16, size, size).bfloat16()
    with torch.no_grad():
        layer.weight.normal_()
        found = layer(x.contiguous(memory_format=layout))
        expected = layer(x.float())
    assert found.dtype == torch.bfloat16
    assert found.is_contiguous(memory_format=layout)
    torch.testing.assert_close(found.float(), expected, rtol=2**-8, atol=1e-4)


def test_images_stay_channels_last_from_block_to_block(model):
    formats = []
    network = copy.deepcopy(model.unet)
    for block in network.modules():
        if isinstance(block, ResBlock | AttentionBlock):
            block.register_forward_hook(
                lambda block, given, out: formats.append(
                    out.is_contiguous(memory_format=torch.channels_last)
                )
            )
    with torch.no_grad():
        network(torch.randn(1, 3, 32, 32), torch.tensor([5]), torch.randn(1, 256))
    assert len(formats) > 10 and all(formats)


def test_no_step_waits_for_what_a_device_has_computed(model):
    """On the device "meta" nothing is computed: whoever asks for a value there is refused."""
    there = copy.deepcopy(model).to("meta")
    x_T, z = torch.empty(2, 3, 32, 32, device="meta"), torch.empty(2, 256, device="meta")
    with torch.no_grad():
        images = last(decode_steps(partial(there._noise, z=z), x_T, there.alphas, 2))
        latents = there._latent_noise(z, torch.empty(2, dtype=torch.int64, device="meta"))
    assert (images.shape, latents.shape) == (x_T.shape, z.shape)


def test_a_model_is_channels_last_on_every_device():
    there = DiffusionAutoencoder.from_pretrained("portraits", device="meta")
    assert there.unet.out[2].weight.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.slow  # the compiler takes seconds to start
def test_a_network_is_one_graph_to_the_compiler():
    network = (
        awake(DiffusionAutoencoder(replace(TINY.model, channel_mult=(1, 2))).unet).double().eval()
    )
    given = torch.randn(2, 3, 8, 8).double(), torch.tensor([3, 700]), torch.randn(2, 4).double()
    with torch.no_grad():
        expected = network(*given)
        found = torch.compile(network, backend="eager", fullgraph=True)(*given)
    torch.testing.assert_close(found, expected)
