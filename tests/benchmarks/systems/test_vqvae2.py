"""VQ-VAE-2: the outputs of rosinality's code, in both forms of its block, and invalid files."""

from dataclasses import replace

import parity_files
import pytest
import torch
import vq_files
from refusal import refused_checkpoint

from benchmarks import systems
from benchmarks.systems.protocol.base import Code
from benchmarks.systems.shared import folder
from benchmarks.systems.vqvae2.network import VQVAE2, Residual, VQVAE2Config
from diffae.system.errors import UserError

SMALL = VQVAE2Config(channel=8, res_blocks=1, res_channel=4, embed_dim=3, n_embed=16, image_size=32)
REFERENCE = parity_files.parity("vqvae2_64_inplace_as_trained")


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return vq_files.vqvae2(tmp_path_factory.mktemp("vqvae2") / "vqvae_560.pt")


@pytest.fixture(scope="module")
def system(file):
    return systems.load("vqvae2", str(file))


LEVELS = ("top", "bottom")
TOKENS, MAPS = (
    tuple(REFERENCE[f"{n}_{level}"] for level in LEVELS) for n in ("indices", "z_quant")
)


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


def test_indices_and_vectors_are_the_authors(system):
    for level, found, expected in zip(LEVELS, system.indices(REFERENCE["x"]), TOKENS, strict=True):
        clear = REFERENCE[f"margin_{level}"] > 1e-4
        assert found.dtype == torch.int64 and found.shape == expected.shape
        assert (found == expected)[clear].all()
    close(system.encode(REFERENCE["x"]).semantic, MAPS)
    tokens = system.tokens(Code(MAPS))
    assert all(torch.equal(*pair) for pair in zip(tokens, TOKENS, strict=True))
    assert system.codebooks == {"top": 512, "bottom": 512}


def test_reconstructions_are_the_authors(system):
    expected = REFERENCE["recon"].clamp(-1, 1)
    close(system.decode(Code(MAPS)), expected)
    close(system.decode(system.encode(REFERENCE["x"])), expected)
    close(system.decode_indices(TOKENS), REFERENCE["recon_from_indices"].clamp(-1, 1))


def test_a_code_is_counted_as_the_paper_counts(system):
    assert system.latent_dim == 327_680 and system.image_size == 256
    assert system.code_bits == 5_120 * 9


def test_the_other_block_gives_other_images_and_says_so(file, system):
    """With these weights, by up to 0.29 and in a third of the top map's codes (the authors' facts)."""
    other = systems.load("vqvae2", f"{file}#block=input-skip")
    assert (system.describe()["block"], other.describe()["block"]) == ("relu-skip", "input-skip")
    assert other.fingerprint != system.fingerprint
    moved = other.indices(REFERENCE["x"])[0] != TOKENS[0]
    assert 0.3 < moved.float().mean() < 0.4


def test_the_skip_is_what_its_name_says():
    x = torch.tensor([-1.0, 2.0]).view(1, 2, 1, 1)
    for relu_skip, kept in ((True, [0.0, 2.0]), (False, [-1.0, 2.0])):
        block = Residual(2, 1, relu_skip)
        torch.nn.init.zeros_(block.conv[3].weight)
        torch.nn.init.zeros_(block.conv[3].bias)
        assert block(x).flatten().tolist() == kept


def test_a_training_wrapped_for_several_gpus_is_read(file, system, tmp_path):
    wrapped = {f"module.{k}": v for k, v in vq_files.state("vqvae2").items()}
    torch.save(wrapped, tmp_path / "wrapped.pt")
    found = systems.load("vqvae2", tmp_path / "wrapped.pt")
    assert torch.equal(found.indices(REFERENCE["x"])[0], system.indices(REFERENCE["x"])[0])


def test_widths_are_read_off_the_tensors(tmp_path):
    torch.manual_seed(0)
    small = replace(SMALL, image_size=256)
    torch.save(VQVAE2(small).state_dict(), tmp_path / "small.pt")
    found = systems.load("vqvae2", tmp_path / "small.pt")
    assert found.inner.model.config == small


def test_a_folder_of_ours_is_the_network_that_was_written(tmp_path):
    torch.manual_seed(0)
    network = VQVAE2(SMALL).eval()
    folder.write(network, "vqvae2", SMALL, tmp_path, torch.float32)
    found = systems.load("vqvae2", tmp_path)
    images = torch.rand(2, 3, 32, 32) * 2 - 1
    assert found.image_size == 32 and found.latent_dim == 3 * (4 * 4 + 8 * 8)
    expected = network.decode(*network.vectors(*network.encode(images))).clamp(-1, 1)
    assert torch.allclose(found.decode(found.encode(images)), expected, atol=1e-6)


def test_a_side_that_it_cannot_take_is_refused(system):
    with pytest.raises(UserError, match=r"'vqvae2', encode: .* multiple of 8\), .* 60 x 60"):
        system.encode(torch.zeros(1, 3, 60, 60))


def test_interpolation_is_in_the_space_of_vectors(system):
    """Half way between two codes is decoded as it is: it is no code of the codebook."""
    a, b = (system.encode(REFERENCE["x"][i : i + 1]).semantic for i in (0, 1))
    middle = tuple((one + other) / 2 for one, other in zip(a, b, strict=True))
    expected = system.inner.model.decode(*middle).clamp(-1, 1)
    assert torch.allclose(system.decode(Code(middle)), expected)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"extra.weight": torch.zeros(2)}, "not part of the model: extra.weight"),
        ({"dec.blocks.6.bias": torch.zeros(4)}, "of a different shape: dec.blocks.6.bias"),
        ({"enc_t.blocks.0.bias": torch.full((64,), torch.nan)}, "not finite: enc_t.blocks.0.bias"),
        ({"quantize_t.embed": torch.zeros(2)}, "quantize_t.embed is of shape"),
        ({"enc_b.blocks.4.weight": None}, "vqvae.pt: enc_b.blocks.4.weight is missing"),
        ({"epoch": 560}, "holds epoch, which is not a tensor"),
    ],
)
def test_tensors_that_do_not_fit_are_named(changed, words, tmp_path, capsys):
    path = vq_files.vqvae2(tmp_path / "vqvae.pt", **changed)
    assert words in refused_checkpoint("vqvae2", path, capsys)


def test_another_systems_file_is_named_as_what_it_is(tmp_path):
    torch.save({"quantize.embedding.weight": torch.zeros(2, 2)}, tmp_path / "last.ckpt")
    with pytest.raises(UserError, match="looks like a taming-transformers VQ-GAN"):
        systems.load("vqvae2", tmp_path / "last.ckpt")
