"""NVAE: the parity file's outputs, the published networks' tensors, and invalid files."""

import itertools
from functools import partial
from pathlib import Path

import numpy as np
import nvae_files
import parity_files
import pytest
import torch
from official_files import Payload
from refusal import refused_file

from benchmarks import systems
from benchmarks.systems.nvae.network import NVAE, Gaussian, NVAEConfig, groups_per_scale
from benchmarks.systems.nvae.system import read_arguments
from benchmarks.systems.protocol.base import Code
from benchmarks.systems.shared.cells import Flow, to_bits
from benchmarks.systems.shared.logistic_mixture import LogisticMixture
from diffae.system.errors import UserError

# The README's commands of the published models, as their files keep them, and numbers of a code as the paper counts.
FFHQ = {
    "dataset": "ffhq", "num_channels_enc": 30, "num_channels_dec": 30, "num_preprocess_blocks": 1,
    "num_preprocess_cells": 2, "num_postprocess_blocks": 1, "num_postprocess_cells": 2,
    "num_latent_scales": 5, "num_groups_per_scale": 16, "ada_groups": True, "min_groups_per_scale": 4,
    "num_latent_per_group": 20, "num_cell_per_cond_enc": 2, "num_cell_per_cond_dec": 2, "num_nf": 2,
    "num_x_bits": 5, "num_mixture_dec": 10, "use_se": True, "res_dist": True, "arch_instance": "res_mbconv",
}  # fmt: skip
CELEBA = FFHQ | {
    "dataset": "celeba_64", "num_channels_enc": 64, "num_channels_dec": 64, "num_latent_scales": 3,
    "num_groups_per_scale": 20, "min_groups_per_scale": 1, "num_nf": 1, "num_x_bits": 8,
}  # fmt: skip
PUBLISHED = {
    "nvae_ffhq256": (FFHQ, 256, 6_005_760, 330_798_664),
    "nvae_celeba64": (CELEBA, 64, 467_200, 153_281_364),
}


@pytest.fixture(scope="module")
def state():
    return nvae_files.state("nvae_tiny64")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory, state):
    path = tmp_path_factory.mktemp("nvae") / "checkpoint.pt"
    return nvae_files.write(path, state, nvae_files.tiny_arguments())


@pytest.fixture(scope="module")
def loaded(tiny):
    """The system of the file, which no test may change."""
    return systems.load("nvae", tiny)


@pytest.fixture(scope="module")
def parity():
    return parity_files.parity("nvae_tiny64")


@pytest.fixture(scope="module")
def images(parity):
    """The parity file's input of five bits, which is what its grey levels are cut to again."""
    return 2 * parity["x_in"] - 1


@torch.no_grad()
def posteriors(model, x, code=None):
    """Of every group, given z of those before it: of `code`, or their means."""
    found = []
    model.encode(x, lambda i, q, prior: found.append(q) or (q.mean if code is None else code[i]))
    return found


def close(found, wanted, tolerance=1e-4):
    torch.testing.assert_close(found, wanted, atol=tolerance, rtol=0)


# ----------------------------------------------------------------------------------------------
# Outputs


def test_codes_logits_and_images_are_those_of_the_authors_code(loaded, parity, images):
    assert (loaded.latent_dim, loaded.image_size) == (18_944, 64)
    code = loaded.encode(images)
    for i, z in enumerate(code.semantic):
        close(z, parity[f"z0{i}"])
    close(loaded.logits(code)[:1, :, ::2, ::2], parity["logits_every2"])
    close(loaded.decode(code), 2 * parity["mean_image"] - 1, 2e-4)


def test_posteriors_are_those_of_the_authors_code(loaded, parity):
    found = posteriors(loaded.inner.model, parity["x_in"])
    for i, posterior in enumerate(found):
        close(posterior.mean[0].flatten()[:8], parity["mu_first8"][i])
        close(posterior.sigma[0].flatten()[:8], parity["sigma_first8"][i])


def test_likelihood_is_that_of_the_authors_code(loaded, parity, images):
    mixture = LogisticMixture(loaded.logits(loaded.encode(images)))
    found = mixture.log_likelihood(images, bits=5).mean(dim=(1, 2))
    close(found, parity["log_prob_map_mean"])


def test_probes_see_a_share_of_every_group(loaded, images):
    """Of eight groups 2,048 numbers each at most: those of 8 x 8 and 16 x 16 whole, those of 32 x
    32 by 16 x 16 cells.
    """
    z = loaded.encode(images[:1]).semantic
    found = loaded.read(z)
    assert found.shape == (1, 2 * 256 + 2 * 1024 + 4 * 1024)
    close(found[:, :256], z[0].flatten(1))
    close(found[:, -1024:].reshape(1, 4, 16, 16)[:, :, 3, 5], z[-1][:, :, 6:8, 10:12].mean((2, 3)))
    delta = torch.randn_like(found)
    close(loaded.read(loaded.move(z, delta)) - found, delta)


def test_an_image_that_was_rounded_to_grey_levels_keeps_its_five_bits():
    levels = torch.arange(256, dtype=torch.float32)
    images = (levels / 255 * 2 - 1).reshape(1, 1, 16, 16)
    assert torch.equal(to_bits(images, 5).flatten(), (levels.int() >> 3) / 31)
    close(to_bits(images, 8).flatten(), levels / 255, 1e-6)


def test_codes_in_float64_decode_in_float64(tiny, images):
    system = systems.load("nvae", tiny)
    code = system.encode(images[:1])
    narrow = system.decode(code)
    system.inner.model.double()
    wide = system.decode(Code(tuple(z.double() for z in code.semantic)))
    assert wide.dtype == torch.float64
    close(wide, narrow.double(), 1e-5)


# ----------------------------------------------------------------------------------------------
# Drawn posteriors and priors


def test_the_noise_of_a_drawn_posterior_belongs_to_the_image(tiny, images):
    system = systems.load("nvae", f"{tiny}#posterior=sample")
    assert system.describe()["posterior"] == "sample"
    system.inner.model.double()  # with such weights what is drawn makes a rounding in float32 large
    together, alone = system.encode(images.double()), system.encode(images[1:].double())
    for drawn, again in zip(together.semantic, alone.semantic, strict=True):
        close(drawn[1:], again)
    mean = systems.load("nvae", tiny)
    assert mean.fingerprint != system.fingerprint
    spread = (together.semantic[0] - mean.encode(images).semantic[0]).abs().mean()
    assert spread > 0.1


def test_a_drawn_posterior_has_its_mean_and_deviation(state, tmp_path, images, parity):
    """Without flows z = mean + sigma eps: over the numbers of a group eps has mean 0 and variance 1."""
    arguments = nvae_files.tiny_arguments() | {"num_nf": 0}
    kept = {name: tensor for name, tensor in state.items() if not name.startswith("nf_cells.")}
    path = nvae_files.write(tmp_path / "a.pt", kept, arguments)
    drawn = systems.load("nvae", f"{path}#posterior=sample").encode(images).semantic
    found = posteriors(systems.load("nvae", path).inner.model, parity["x_in"], drawn)
    whole = [(z - q.mean) / q.sigma for z, q in zip(drawn, found, strict=True)]
    # each group has noise of its own
    for eps, after in itertools.pairwise(e[0].flatten() for e in whole):
        n = min(len(eps), len(after))
        assert abs((eps[:n] * after[:n]).mean()) < 5 / n**0.5
    for eps in whole:
        assert abs(eps.mean()) < 5 / eps.numel() ** 0.5
        assert abs(eps.var() - 1) < 10 / eps.numel() ** 0.5
        assert abs((eps[0] * eps[1]).mean()) < 5 / eps[0].numel() ** 0.5


def test_the_first_group_is_drawn_from_its_prior_at_a_temperature(tiny, loaded):
    """Its prior has mean 0 and, by the network's rule, sigma exp(0) + 0.01."""
    drawn = loaded.sample_latents([4, 7], 0, 1)
    cold = systems.load("nvae", f"{tiny}#temperature=0.5").sample_latents([7], 0, 1)
    close(cold[0][0], drawn[0][1] / 2, 1e-6)
    assert not torch.equal(drawn[0][0], drawn[0][1])
    many = loaded.sample_latents(range(6), 1, 1)[0]
    assert abs(many.std() - 1.01) < 0.06 and abs(many.mean()) < 0.06


# ----------------------------------------------------------------------------------------------
# Parts of the network


@pytest.mark.parametrize("half", ["cell1", "cell2"])
def test_a_flow_keeps_volumes_and_looks_one_way(half):
    """z - mu(z): with ones on the diagonal of its Jacobian and zeros on one side of it, in the
    order of rows, columns and channels; the mirrored half in that of space turned round.
    """
    torch.manual_seed(0)
    c, side = 2, 3
    flow = getattr(Flow(c), half).double()
    for parameter in flow.parameters():
        torch.nn.init.normal_(parameter)
    z = torch.randn(1, c, side, side, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(flow, z)[0, :, :, :, 0]
    rows, columns = range(side), range(side)
    space = list(itertools.product(rows, columns))
    order = [(ch, y, x) for y, x in (space if half == "cell1" else space[::-1]) for ch in range(c)]
    place = tuple(torch.tensor(axis) for axis in zip(*order, strict=True))
    ordered = jacobian[place][(slice(None), *place)]
    torch.testing.assert_close(ordered.diagonal(), torch.ones(len(order), dtype=torch.float64))
    assert not ordered.triu(1).any()
    assert (ordered.tril(-1) != 0).float().sum() > len(order)


def test_probabilities_of_all_values_of_a_pixel_sum_to_one():
    torch.manual_seed(0)
    logits = torch.randn(1, 40, 1, 1, dtype=torch.float64)
    steps = torch.linspace(-1, 1, 8, dtype=torch.float64)
    values = torch.cartesian_prod(steps, steps, steps)[:, :, None, None]
    mixture = LogisticMixture(logits.expand(len(values), -1, -1, -1))
    total = mixture.log_likelihood(values, bits=3).exp().sum()
    torch.testing.assert_close(total, torch.ones((), dtype=torch.float64), atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("given", "groups"),
    [
        ((5, 16, True, 4), (16, 8, 4, 4, 4)),
        ((3, 20, True, 1), (20, 10, 5)),
        ((2, 3, False, 1), (3, 3)),
    ],
)
def test_groups_of_each_scale(given, groups):
    assert groups_per_scale(*given) == groups


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_networks_have_these_tensors(name):
    arguments, side, numbers, parameters = PUBLISHED[name]
    wanted = {k: s for k, s in parity_files.shapes(name).items() if not k.endswith("_normalized")}
    tensors = {n: torch.empty(shape, device="meta") for n, shape in wanted.items()}
    config = read_arguments(arguments, tensors, Path("x"))
    assert config.image_size == side
    assert sum(np.prod(shape) for shape in config.latent_shapes()) == numbers
    with torch.device("meta"):
        network = NVAE(config)
    assert {k: tuple(v.shape) for k, v in network.state_dict().items()} == wanted
    assert sum(p.numel() for p in network.parameters()) == parameters


# ----------------------------------------------------------------------------------------------
# Files


def test_the_file_of_an_older_torch_and_arguments_are_read(state, tmp_path, images, loaded):
    """From before `num_mixture_dec` was there, which was 10 then, in the old form of torch.save;
    saved from within the module of several processes, besides.
    """
    arguments = nvae_files.tiny_arguments()
    del arguments["num_mixture_dec"]
    content = nvae_files.checkpoint({f"module.{n}": t for n, t in state.items()}, arguments)
    torch.save(content, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    old = systems.load("nvae", tmp_path / "old.pt")
    close(
        old.encode(images[:1]).semantic[-1],
        loaded.encode(images[:1]).semantic[-1],
    )


def test_a_network_without_squeeze_and_with_absolute_posteriors_is_another():
    config = NVAEConfig(16, 4, 8, 1, 1, 1, (2, 1), 2, 1, 1, 0, 8, 1, False, False)
    torch.manual_seed(0)
    network = NVAE(config).eval()
    assert not any(".se." in name for name in network.state_dict())
    x = torch.rand(2, 3, 16, 16)
    with torch.no_grad():
        code = network.encode(x, lambda i, posterior, prior: posterior.mean)
        assert [tuple(z.shape) for z in code] == [(2, 2, 4, 4), (2, 2, 8, 8), (2, 2, 8, 8)]
        assert network.decode(code).shape == (2, 3, 16, 16)


FIRST_MAP = {"prior_ftr0": torch.empty(960, 8, 8, device="meta")}


refuse = partial(refused_file, partial(systems.load, "nvae"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"arch_instance": "res_bnelu"}, "an NVAE with arch_instance 'res_bnelu' (res_mbconv is) is not supported"),
        ({"dataset": "mnist"}, "pixels that are on or off (dataset mnist: a Bernoulli output) is not supported"),
        ({"num_mixture_dec": 1}, "a normal distribution is not supported"),
        ({"num_latent_scales": 1, "num_groups_per_scale": 1}, "a single group of latents"),
        ({"num_postprocess_blocks": 2}, "other numbers of blocks before and after"),
        ({"num_nf": "two"}, "its args: num_nf must be a whole number from 0 to 1024, not 'two'"),
        ({"num_channels_enc": 10**9}, "its args: num_channels_enc must be a whole number from 2 to 1024, not 1000000000"),
        ({"use_se": None}, "its args: use_se must be yes or no, not None"),
    ],
)  # fmt: skip
def test_what_is_not_supported_is_named(change, words):
    with pytest.raises(UserError) as error:
        read_arguments(FFHQ | change, FIRST_MAP, Path("a.pt"))
    assert str(error.value).startswith("a.pt: ") and words in str(error.value)


@pytest.mark.parametrize("name", [name for name in FFHQ if name != "dataset"])
def test_odd_arguments_are_one_line(name):
    for value in (None, -1, 10**30, 1e300, float("nan"), "x", b"", [], {}, (), object()):
        with pytest.raises(UserError) as error:
            read_arguments(FFHQ | {name: value}, FIRST_MAP, Path("a.pt"))
        assert str(error.value).startswith("a.pt: ") and len(str(error.value)) < 200


def test_a_missing_argument_is_named():
    arguments = {name: value for name, value in FFHQ.items() if name != "num_nf"}
    with pytest.raises(UserError, match="a.pt: its args: num_nf must be .*, not None"):
        read_arguments(arguments, FIRST_MAP, Path("a.pt"))


def test_arguments_that_do_not_fit_the_tensors_name_them(state, tmp_path):
    arguments = nvae_files.tiny_arguments() | {"use_se": False}
    line = refuse(nvae_files.write(tmp_path / "a.pt", state, arguments))
    assert "tensors not part of the model: dec_tower.1.se.se.0.bias" in line


def test_arguments_ask_for_no_more_cells_than_the_file_can_have(state, tmp_path):
    """Otherwise a file of a few bytes makes a network of millions of modules."""
    arguments = nvae_files.tiny_arguments() | {
        "num_cell_per_cond_enc": 64,
        "num_groups_per_scale": 128,
    }
    few = {"prior_ftr0": state["prior_ftr0"]}
    line = refuse(nvae_files.write(tmp_path / "a.pt", few, arguments))
    assert "its args ask for 15,236 cells, and it has 1 tensors" in line


def test_a_file_without_arguments_says_so(state, tmp_path):
    assert "has no args" in refuse(nvae_files.write(tmp_path / "a.pt", state, None))


def test_a_file_of_another_system_is_named(tmp_path):
    torch.save({"quantize_t.embed": torch.zeros(2)}, tmp_path / "a.pt")
    line = refuse(tmp_path / "a.pt")
    assert "not an NVAE of NVlabs': it looks like a VQ-VAE-2 of rosinality's" in line


def test_a_payload_beside_the_weights_runs_nothing(state, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content = nvae_files.checkpoint(state, nvae_files.tiny_arguments())
    torch.save(content | {"scheduler": Payload(Path("was-run"))}, "a.pt")
    systems.load("nvae", "a.pt")
    torch.save(content | {"args": Payload(Path("was-run"))}, "b.pt")
    assert "has no args" in refuse("b.pt")
    assert not Path("was-run").exists()


def test_the_noise_of_sampled_groups_is_each_group_s_own(loaded, monkeypatch):
    """Of a prior with mean 0 and sigma 1, whose draws are the noise itself."""
    unit = Gaussian(torch.zeros(2, 4, 8, 8), torch.ones(2, 4, 8, 8))
    monkeypatch.setattr(
        loaded.inner.model, "sample", lambda count, choose: [choose(i, unit) for i in range(3)]
    )
    first, second, third = loaded.inner.sample_latents([0, 1], 0, 10)
    assert not torch.equal(first, second) and not torch.equal(second, third)
    assert not torch.equal(first, loaded.inner.sample_latents([0, 1], 1, 10)[0])
    assert abs(float(torch.corrcoef(torch.stack([first.ravel(), second.ravel()]))[0, 1])) < 0.2


def test_a_pixel_of_two_components_by_hand():
    """Its mean, its likeliest component, and draws: by Gumbel's trick and by the inverse of a logistic."""
    weights = np.array([0.2, 0.9])
    means = np.array([[0.1, -0.2], [0.05, 0.3], [-0.1, 0.15]])  # by colour and component
    log_scales = np.array([[-2.0, -3.0], [-2.5, -1.5], [-9.0, -4.0]])
    raw = np.array([[0.3, -0.6], [0.2, 0.5], [-0.4, 0.7]])
    colours = np.stack([means, log_scales, raw], 1).reshape(-1)
    logits = torch.from_numpy(np.concatenate([weights, colours])).view(1, 20, 1, 1)
    mixture, c = LogisticMixture(logits), np.tanh(raw)

    def pixel(x, c):
        g = x[1] + c[0] * x[0]
        return [x[0], g, x[2] + c[1] * x[0] + c[2] * g]

    share = np.exp(weights) / np.exp(weights).sum()
    assert mixture.mean().flatten().tolist() == pytest.approx(pixel(means @ share, c @ share))
    likeliest = pixel(means[:, 1], c[:, 1])
    assert mixture.location().flatten().tolist() == pytest.approx(likeliest)
    u = np.array([0.3, 0.5, 0.6])
    for choice in ((0.5, 0.5), (0.9, 0.1), (0.1, 0.9), (0.7, 0.5)):
        k = int(np.argmax(weights - np.log(-np.log(choice))))
        scales = np.exp(np.maximum(log_scales[:, k], -7))
        drawn = means[:, k] + scales * np.log(u / (1 - u))
        found = mixture.sample(
            torch.tensor(choice, dtype=torch.float64).view(1, 2, 1, 1),
            torch.from_numpy(u).view(1, 3, 1, 1),
        )
        assert found.flatten().tolist() == pytest.approx(pixel(drawn, c[:, k]))
