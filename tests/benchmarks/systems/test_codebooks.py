"""Every system of ours whose codes are chosen from codebooks: its bits, and its choice in any precision."""

import importlib
import math
from dataclasses import replace

import diffusers_models
import pytest
import torch
import vq_files
from parity_files import fill

from benchmarks import systems
from benchmarks.runtime.precision import precision
from benchmarks.systems.protocol.base import System, has_own
from benchmarks.systems.protocol.checked import Checked
from benchmarks.systems.protocol.parts import tensors
from benchmarks.systems.registry import OURS
from benchmarks.systems.shared import folder
from benchmarks.systems.vqvae2.network import VQVAE2, VQVAE2Config

CODES = 48  # no power of two
VQVAE2_OF_48 = VQVAE2Config(
    channel=8, res_blocks=1, res_channel=4, embed_dim=3, n_embed=CODES, image_size=32
)


def vqgan(place):
    config = replace(vq_files.SMALL, n_embed=CODES)
    return vq_files.vqgan(place / "last.ckpt", config, vq_files.drawn(config))


def vqvae2(place):
    network = VQVAE2(VQVAE2_OF_48).eval()
    network.load_state_dict({k: fill(k, t.shape) for k, t in network.state_dict().items()})
    folder.write(network, "vqvae2", VQVAE2_OF_48, place, torch.float32)
    return place


def diffusers(place):
    diffusers_models.save(place / "vq", "VQModel", num_vq_embeddings=CODES)
    return place / "vq"


QUANTISED = {"vqgan": vqgan, "vqvae2": vqvae2, "diffusers": diffusers}


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    return {
        name: systems.load(name, write(tmp_path_factory.mktemp(name)))
        for name, write in QUANTISED.items()
    }


@pytest.fixture(params=QUANTISED)
def system(request, loaded):
    return loaded[request.param]


def images():
    return torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1


def kinds(of):
    return {kind for one in of.__subclasses__() for kind in (one, *kinds(one))}


def test_no_system_with_codebooks_is_left_out(loaded):
    for target in OURS.values():
        importlib.import_module(target.partition(":")[0])
    ours = {kind for kind in kinds(System) if kind.__module__.startswith("benchmarks.systems.")}
    with_books = {kind for kind in ours - {Checked} if kind.codebooks is not System.codebooks}
    last = {kind for kind in with_books if not kinds(kind)}
    assert last == {type(one.inner) for one in loaded.values()}


def test_bits_of_a_code_are_those_of_its_tokens(system):
    tokens, sizes = system.tokens(system.encode(images())), system.codebooks.values()
    each = [one[0].numel() * math.log2(size) for one, size in zip(tokens, sizes, strict=True)]
    assert set(sizes) == {CODES} and system.code_bits == pytest.approx(sum(each), rel=1e-12)


def test_codes_are_chosen_in_float32_whatever_the_precision_of_the_run(system):
    """Also those that are second or third to the nearest; what is decoded from them is in that precision."""
    x, made = images(), {}
    ranks = torch.arange(8 * 64).reshape(8, 8, 8) % 3
    for name in ("float32", "bfloat16"):
        with precision(name):
            code = system.encode(x)
            codes = [*tensors(code.semantic), *system.tokens(code)]
            if has_own(system, "encode_ranked"):
                codes += tensors(system.encode_ranked(x, ranks))
            made[name] = codes, system.decode(code)
    (exact, decoded), (codes, other) = made.values()
    assert all(torch.equal(one, two) for one, two in zip(exact, codes, strict=True))
    assert not torch.equal(decoded, other)
