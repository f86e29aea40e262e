"""VQ-GAN: the outputs of taming-transformers' code, its files from every source, and invalid ones."""

from dataclasses import replace

import parity_files
import pytest
import torch
import vq_files
from refusal import refused_checkpoint
from vq_files import SMALL

from benchmarks import systems
from benchmarks.systems.protocol.base import Code
from benchmarks.systems.shared import codebook, folder, library
from benchmarks.systems.vqgan import system as vqgan_system
from benchmarks.systems.vqgan.network import VQGANConfig, build, their_name
from diffae.system.errors import UserError

F16 = VQGANConfig(n_embed=16384)


@pytest.fixture(scope="module")
def small_state():
    return vq_files.drawn(SMALL)


@pytest.fixture
def small(tmp_path, small_state):
    return vq_files.vqgan(tmp_path / "last.ckpt", SMALL, small_state)


def images(side: int = 32, n: int = 2) -> torch.Tensor:
    return torch.rand(n, 3, side, side, generator=torch.Generator().manual_seed(1)) * 2 - 1


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


# ------------------------------------------------------------------------------------------------
# The authors' numbers


@pytest.fixture(scope="module")
def public(tmp_path_factory):
    """76 million weights of f16 with 16,384 codes, as if they had been read from a file of 1.2 GB."""
    path = tmp_path_factory.mktemp("vqgan") / "last.ckpt"
    path.write_bytes(b"of 76 million weights")
    (path.parent / "model.yaml").write_text(vq_files.vqgan_yaml(F16))
    with pytest.MonkeyPatch.context() as patch:
        state = vq_files.state("vqgan_f16_16384")
        patch.setattr(vqgan_system, "read_first_stage", lambda path: state)
        return systems.load("vqgan", path)


def test_numbers_are_the_authors(public):
    expected = parity_files.parity("vqgan_f16_16384")
    before = public.inner.model.encode(expected["x"]).latents
    close(before, expected["z_pre_quant"])
    found = public.indices(expected["x"])
    assert found.dtype == torch.int64 and torch.equal(found, expected["indices"])
    code = public.encode(expected["x"])
    close(code.semantic, expected["z_quant"])
    assert torch.equal(public.tokens(code)[0], expected["indices"])
    assert public.codebooks == {"codebook": 16_384}
    close(public.decode(code), expected["recon"].clamp(-1, 1))
    assert expected["recon"].abs().max() > 1
    close(public.unclamped().decode(code), expected["recon"])
    found = public.decode_indices(expected["indices"])
    close(found, expected["recon_from_indices"].clamp(-1, 1))
    # As the paper counts, at 256 px.
    assert (public.latent_dim, public.image_size, public.code_bits) == (65_536, 256, 256 * 14)


def test_every_name_is_the_one_that_it_has_in_taming_transformers():
    lines = (parity_files.DATA / "vqgan_to_diffusers_keys.txt").read_text().splitlines()
    pairs = [line.split("\t") for line in lines if not line.startswith("#")]
    assert len(pairs) == 343
    for theirs, ours, *_ in pairs:
        assert their_name(ours, 5) == theirs
    with torch.device("meta"):
        shapes = {
            name: str(tuple(v.shape))
            for name, v in build(VQGANConfig(), "a test").state_dict().items()
        }
    assert shapes == {ours: shape for _, ours, _, shape in pairs}


def test_the_first_of_equally_near_codes_is_chosen():
    codes = torch.tensor([[3.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [1.0, 0.0]])
    maps = torch.tensor([[0.9, 0.0], [0.0, 5.0], [2.5, -1.0]]).T.reshape(1, 2, 1, 3)
    assert codebook.nearest(maps, codes).tolist() == [[[1, 1, 0]]]
    assert torch.equal(codebook.look_up(torch.tensor([[[0, 2]]]), codes)[0, 0, 0], codes[[0, 2], 0])


# ------------------------------------------------------------------------------------------------
# Where its files come from


def test_a_training_s_folders_and_what_only_a_training_needs(tmp_path, small, small_state):
    """checkpoints/last.ckpt with configs/DATE-project.yaml, entries of the loss left out."""
    home = tmp_path / "2020-11-20T12-54-32_vqgan"
    state = small_state | {"loss.logvar": torch.zeros(()), "loss.discriminator.x": torch.ones(3)}
    path = vq_files.lightning(state, home / "checkpoints" / "last.ckpt")
    (home / "configs").mkdir()
    text = vq_files.vqgan_yaml(SMALL)
    (home / "configs" / "2020-11-20T12-54-32-project.yaml").write_text(text)
    (home / "configs" / "2020-11-20T12-54-32-lightning.yaml").write_text("lightning: {}\n")
    (path.parent / "notes.yaml").write_text("of: something else\n")
    found, other = systems.load("vqgan", path), systems.load("vqgan", small)
    assert torch.equal(found.indices(images()), other.indices(images()))


def test_the_first_stage_of_a_transformer_s_file(tmp_path, small, small_state):
    state = {f"first_stage_model.{name}": value for name, value in small_state.items()}
    state |= {f"cond_stage_model.{name}": value + 1 for name, value in small_state.items()}
    state["transformer.head"] = torch.full((2,), torch.nan)
    path = vq_files.lightning(state, tmp_path / "transformer" / "last.ckpt")
    lines = vq_files.vqgan_yaml(SMALL).splitlines()[1:]
    inner = "\n".join(f"    {line}" for line in lines if "base_learning_rate" not in line)
    (path.parent / "x-project.yaml").write_text(
        "model:\n  target: taming.models.cond_transformer.Net2NetTransformer\n  params:\n"
        f"    first_stage_config:\n{inner}\n"
    )
    found = systems.load("vqgan", path)
    assert torch.equal(found.indices(images()), systems.load("vqgan", small).indices(images()))


def test_a_folder_of_ours(tmp_path):
    config = replace(SMALL, ch=8, norm_groups=4, attn_resolutions=())
    torch.manual_seed(0)
    network = build(config, "a test").eval()
    folder.write(network, "vqgan", config, tmp_path, torch.float32)
    found = systems.load("vqgan", tmp_path)
    assert (found.image_size, found.latent_dim, found.code_bits) == (32, 8 * 8 * 4, 64 * 6)
    with torch.no_grad():
        expected = network(images()).sample.clamp(-1, 1)  # diffusers' own way through
    assert torch.allclose(found.decode(found.encode(images())), expected, atol=1e-5)


def test_sides_that_are_multiples_of_the_stride(small):
    system = systems.load("vqgan", small)
    assert system.encode(images(24)).semantic.shape == (2, 4, 6, 6)
    assert system.decode(system.encode(images(24))).shape == (2, 3, 24, 24)
    with pytest.raises(UserError, match=r"'vqgan', encode: .* multiple of 4\), .* 30 x 30"):
        system.encode(images(30))


def test_a_code_that_was_moved_is_decoded_as_it_is(small):
    """An edit smaller than the distance to the next code changes the image all the same."""
    system = systems.load("vqgan", small)
    code = system.encode(images())
    moved = system.move(code.semantic, torch.full((2, 4 * 8 * 8), 0.01))
    assert torch.allclose(moved - code.semantic, torch.tensor(0.01), atol=1e-6)
    assert not torch.equal(system.decode(Code(moved)), system.decode(code))


# ------------------------------------------------------------------------------------------------
# What cannot be one


def refused(path, capsys) -> str:
    return refused_checkpoint("vqgan", path, capsys)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("vqgan.VQModel", "vqgan.GumbelVQ", "taming.models.vqgan.GumbelVQ is not supported"),
        ("double_z: false", "double_z: true", "double_z: True is not supported"),
        ("in_channels: 3", "in_channels: 1", "in_channels: 1 is not supported"),
        ("ch: 32", "ch: 48", "ch must be a multiple of 32"),
        (
            "ch_mult: [1, 2, 2]",
            "ch_mult: [2, 2, 2]",
            "ch_mult must be 1 to 8 numbers, the first of which is 1",
        ),
        ("resolution: 32", "resolution: 4096", "resolution: must be at most 1024, not 4096"),
        ("n_embed: 64", "n_embed: 65", "quantize.embedding.weight"),
        ("z_channels: 6", "z_channels: 7", "of a different shape"),
        ("ddconfig", "config", "it has no 'ddconfig'"),
        ("model:", "model: [", "not YAML"),
        ("model:", "other: !!python/object/apply:os.system ['touch ran']\nmodel:", "not YAML"),
    ],
)
def test_configurations_that_cannot_be(old, new, words, small, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (tmp_path / "model.yaml").read_text()
    assert old in text
    (tmp_path / "model.yaml").write_text(text.replace(old, new, 1))
    assert words in refused(small, capsys)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("name", "tensor", "words"),
    [
        ("decoder.up.0.attn.0.q.bias", torch.zeros(2), "not part of the model: decoder.up.0.attn"),
        ("encoder.mid.attn_1.q.weight", None, "missing: encoder.mid.attn_1.q"),
        ("decoder.conv_out.bias", torch.full((3,), torch.inf), "not finite: decoder.conv_out.bias"),
        ("quantize.proj.weight", torch.zeros(2), "Gumbel quantiser"),
    ],
)
def test_tensors_that_do_not_fit_are_named_as_they_are_there(
    name, tensor, words, tmp_path, small_state, capsys
):
    changed = {k: v for k, v in (small_state | {name: tensor}).items() if v is not None}
    assert words in refused(vq_files.vqgan(tmp_path / "last.ckpt", SMALL, changed), capsys)


def test_a_file_of_another_system_is_named(tmp_path, capsys):
    state = {"quantize_t.embed": torch.zeros(2, 2)}
    path = vq_files.vqgan(tmp_path / "last.ckpt", SMALL, state)
    assert "looks like a VQ-VAE-2" in refused(path, capsys)


def test_without_diffusers_one_line_says_what_to_install(small, monkeypatch):
    monkeypatch.setattr(library, "PACKAGE", "diffusers_that_is_not_there")
    with pytest.raises(UserError, match=rf"{small}: needs the package .* pip install 'diffusers>="):
        systems.load("vqgan", small)


@pytest.mark.parametrize(
    ("beside", "configs", "chosen"),
    [
        (("last.yaml", "model.yaml"), (), "last.yaml"),
        (("last.yml", "other.yaml"), (), "last.yml"),
        (("model.yaml",), ("last.yaml",), "last.yaml"),
        (("model.yaml", "x-project.yaml", "a.yaml"), (), "model.yaml"),
        (("a.yaml",), ("x-project.yaml",), "x-project.yaml"),
        (("b.yaml", "a-lightning.yaml"), (), "b.yaml"),
        (("a-lightning.yaml",), ("b.yaml",), "b.yaml"),
        (("a.yaml",), ("b.yaml",), "a.yaml"),
        (("a-lightning.yaml",), (), None),
        (("a.json",), (), None),
    ],
)
def test_the_yaml_of_a_checkpoint_is_that_of_its_name_or_else_of_its_model(
    beside, configs, chosen, tmp_path
):
    """Beside it before ../configs; never that of Lightning, which is about the training."""
    for place, names in (("checkpoints", beside), ("configs", configs)):
        (tmp_path / place).mkdir()
        for name in names:
            (tmp_path / place / name).write_text(f"{place}/{name}")
    checkpoint = tmp_path / "checkpoints" / "last.ckpt"
    if chosen is None:
        with pytest.raises(UserError, match="the yaml with its configuration is missing"):
            vqgan_system._yaml_of(checkpoint)
    else:
        assert vqgan_system._yaml_of(checkpoint).name == chosen
        (tmp_path / "configs" / "last.d").mkdir()  # a folder is none
        assert vqgan_system._yaml_of(checkpoint).name == chosen


@pytest.mark.parametrize("equal", [True, False])
def test_several_yaml_files_must_be_equal(equal, tmp_path):
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text("x" if equal else name)
    if equal:
        assert vqgan_system._yaml_of(tmp_path / "last.ckpt") == tmp_path / "a.yaml"
    else:
        with pytest.raises(UserError, match=r"several yaml .*: a\.yaml, b\.yaml in "):
            vqgan_system._yaml_of(tmp_path / "last.ckpt")


def test_results_of_one_file_at_two_sizes_are_not_taken_for_each_other(small):
    """Its tensors are the same: only the yaml says at which size it was trained."""
    found = []
    for by in (1, 2):
        levels = tuple(by * level for level in SMALL.attn_resolutions)
        config = replace(SMALL, resolution=by * SMALL.resolution, attn_resolutions=levels)
        (small.parent / "last.yaml").write_text(vq_files.vqgan_yaml(config))
        found.append(systems.load("vqgan", small))
    assert [one.image_size for one in found] == [SMALL.resolution, 2 * SMALL.resolution]
    assert found[0].fingerprint != found[1].fingerprint
