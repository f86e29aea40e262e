"""Training losses in closed form: with networks of known output and known error."""

import itertools
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from known_networks import Knows
from safetensors.torch import load_file
from scipy import stats
from tiny_preset import SCHEDULE, TINY, pictures
from tiny_training import same, trained, weights
from torch import nn

from diffae.diffusion import noise
from diffae.model import DDIM, DiffusionAutoencoder
from diffae.networks.config import DDIM_BASELINE, EPSILON, VELOCITY
from diffae.train import stages, step
from diffae.train.images import Images
from diffae.train.stages import (
    encode_all,
    image_loss,
    latent_loss,
    noised,
    pixel_loss,
    train,
)
from diffae.train.step import Training
from diffae.train.trainer import TrainingRun
from diffae.train.types import Adam, Outcome

# The schedules by their definition (paper, Appendix A), not by the code under test.
IMAGE = torch.from_numpy(np.cumprod(1 - np.linspace(1e-4, 0.02, 1000)))
LATENT = torch.from_numpy(0.992 ** np.arange(1, 1001))
MISS = 2.0


class Pixels(nn.Module):
    """Gives back the images that `nn.Flatten` made a code of, too bright by a half."""

    def forward(self, z):
        return z.view(-1, 3, 8, 8) + 0.5


def known(prediction, flip=True):
    """An autoencoder whose z_sem is the image itself, and its images."""
    model = DiffusionAutoencoder(replace(TINY.model, prediction=prediction))
    model.encoder, model.unet = nn.Flatten(), Knows(None, IMAGE, prediction, MISS)
    return model, Images(pictures(40), flip, "cpu")


def value(loss, count=40, seed=0):
    return float(loss(torch.arange(count), noise.generator(seed, "test", 0)))


@pytest.mark.parametrize("prediction", [EPSILON, VELOCITY])
def test_the_autoencoder_s_loss_is_the_squared_error_given_the_code_of_the_image(prediction):
    model, data = known(prediction)
    assert value(image_loss(model, data)) == pytest.approx(MISS**2, rel=1e-3)
    assert len(model.unet.seen) == 40 and max(model.unet.seen) > 500
    with_pixels = image_loss(model, data, Pixels(), 3.0)
    assert value(with_pixels) == pytest.approx(MISS**2 + 3 * 0.25, rel=1e-3)
    assert value(pixel_loss(model, data, Pixels())) == pytest.approx(0.25, rel=1e-4)


@pytest.mark.parametrize("prediction", [EPSILON, VELOCITY])
def test_the_baseline_s_loss_is_the_squared_error(prediction):
    config = replace(TINY.model, kind=DDIM_BASELINE, encoder_channel_mult=(), latent=None)
    model = DDIM(replace(config, prediction=prediction))
    image = pictures(1)
    data = Images(image, False, "cpu")
    model.unet = Knows(data.batch(torch.tensor([0])), IMAGE, prediction, MISS)
    loss = image_loss(model, data)
    losses = [value(loss, 1, seed) for seed in range(5)]
    assert losses == pytest.approx([MISS**2] * 5, rel=1e-3)


@pytest.mark.parametrize("prediction", [EPSILON, VELOCITY])
def test_the_latent_loss_is_the_absolute_error(prediction):
    model = DiffusionAutoencoder(TINY.model)
    z = torch.tensor([[0.5, -1.0, 2.0, 0.0]]).repeat(40, 1)
    model.latent_net = Knows(z[:1], LATENT, prediction, MISS)
    assert value(latent_loss(model, z)) == pytest.approx(MISS, rel=1e-3)


def test_timesteps_are_uniform_and_the_noise_is_normal():
    source = noise.generator(0, "test", 0)
    _, t, target = noised(torch.zeros(40_000, 1), IMAGE, EPSILON, source)
    assert (int(t.min()), int(t.max())) == (0, 999)
    assert stats.chisquare(np.bincount(t, minlength=1000)).pvalue > 0.01
    assert stats.kstest(target.flatten().numpy(), "norm").pvalue > 0.01
    assert abs(np.corrcoef(t, target[:, 0])[0, 1]) < 0.02


def test_every_timestep_has_its_own_share_of_noise():
    x_0 = torch.full((1000, 1), 3.0)
    x_t, t, target = noised(x_0, IMAGE, EPSILON, noise.generator(0, "test", 0))
    a = IMAGE[t, None]
    torch.testing.assert_close(
        x_t.double(), a.sqrt() * 3 + (1 - a).sqrt() * target, atol=1e-5, rtol=0
    )


# ----------------------------------------------------------------------------------------------
# Images


def halves(count: int, flip: bool) -> Images:
    """Images whose left half is black and whose top right pixel is grey."""
    images = np.zeros((count, 8, 8, 3), np.uint8)
    images[:, :, 4:] = 255
    images[:, 0, 7] = 51
    return Images(images, flip, "cpu")


def test_images_are_scaled_and_half_of_them_mirrored():
    upright = halves(1, False).batch(torch.arange(1))[0]
    assert upright[:, 1, 0].tolist() == [-1] * 3 and upright[:, 1, 7].tolist() == [1] * 3
    assert upright[0, 0, 7] == pytest.approx(51 / 127.5 - 1)
    batch = halves(1000, True).batch(torch.arange(1000), noise.generator(0, "test", 0))
    mirrored = (batch == upright.flip(-1)).flatten(1).all(1)
    assert ((batch == upright).flatten(1).all(1) | mirrored).all()
    assert 440 < mirrored.sum() < 560
    for unchanged in (
        halves(1000, False).batch(torch.arange(1000), noise.generator(0, "test", 0)),
        halves(1000, True).batch(torch.arange(1000)),
    ):
        assert (unchanged == upright).all()


def test_codes_are_those_of_the_images_upright_and_without_dropout():
    """The paper's encoder has no dropout; this one has nothing else."""
    model = DiffusionAutoencoder(TINY.model)
    model.encoder = nn.Sequential(nn.Dropout(0.5), nn.Flatten())
    data = halves(300, True)  # more than a batch
    z = encode_all(model.train(), data)
    assert torch.equal(z, data.batch(torch.arange(300)).flatten(1))
    assert z.dtype == torch.float32


# ----------------------------------------------------------------------------------------------
# A step


def one_step(gradient: float, schedule=SCHEDULE, weight: float = 1.0) -> Training:
    network = nn.Linear(4, 1, bias=False)
    nn.init.constant_(network.weight, weight)
    training = Training(network, schedule, seed=0)
    training.advance(lambda *_: gradient * network.weight.sum(), torch.arange(4))
    return training


@pytest.mark.parametrize(("gradient", "norm"), [(50.0, 1.0), (0.25, 0.5)])
def test_the_gradient_s_norm_is_clipped_to_1(gradient, norm):
    """Four equal parts: 50 each is a norm of 100, a quarter each is a norm of a half. Adam keeps a
    tenth of it.
    """
    training = one_step(gradient)
    first = training.optimiser.state[training.parameters[0]]["exp_avg"]
    assert float(first.norm()) == pytest.approx(0.1 * norm, rel=1e-4)


def test_weight_decay_and_learning_rate_are_the_schedule_s():
    training = one_step(0.0, replace(SCHEDULE, learning_rate=0.1, weight_decay=0.5))
    assert training.parameters[0].flatten().tolist() == pytest.approx([0.95] * 4)
    moved = one_step(0.25, replace(SCHEDULE, learning_rate=0.1, warmup_samples=16))
    assert moved.parameters[0].flatten().tolist() == pytest.approx([1 - 0.1 / 4] * 4, rel=1e-4)


def test_every_step_and_every_seed_has_noise_of_its_own():
    """Steps 0 to 2 of seeds 0 and 1: six draws, none of them twice, and those of a seed again and
    again.
    """

    def draws(seed):
        network, found = nn.Linear(1, 1), []

        def loss(indices, source):
            found.append(source.random())
            return network.weight.sum()

        training = Training(network, SCHEDULE, seed=seed)
        for _ in range(3):
            training.advance(loss, torch.arange(4))
        return found

    assert len({*draws(0), *draws(1)}) == 6 and draws(0) == draws(0)


@pytest.mark.parametrize(("decay", "kept"), [(0.9999, [2 / 11, 3 / 12]), (0.2, [2 / 11, 0.2])])
def test_the_moving_average_warms_up(decay, kept):
    """Its decay after k steps is (1 + k) / (10 + k), until the schedule's own is smaller."""
    network = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(network.weight)
    training = Training(network, replace(SCHEDULE, ema_decay=decay, ema_warmup=True), seed=0)
    average = 0.0
    for share in kept:
        training.advance(lambda *_: network.weight.sum(), torch.arange(4))
        average = share * average + (1 - share) * float(network.weight.detach())
        assert float(training.ema[0]) == pytest.approx(average, rel=1e-5)


# ----------------------------------------------------------------------------------------------
# The stages


def test_each_seed_has_initial_weights_of_its_own(monkeypatch, tmp_path):
    """Those of a seed again and again, whatever was drawn before."""
    monkeypatch.setattr(stages, "fit", lambda *_: Outcome("float32", 0))

    def begun(seed, name):
        (tmp_path / name).mkdir()
        train(
            replace(TINY, latent=None), pictures(2), tmp_path / name, TrainingRun(seed, "me"), "cpu"
        )
        return weights(tmp_path / name)

    one, again, other = (begun(seed, name) for seed, name in ((1, "a"), (1, "b"), (2, "c")))
    assert same(one, again)
    for name in ("unet.input_blocks.0.0.weight", "encoder.input_blocks.0.0.weight"):
        assert not torch.equal(one[name], other[name])


@pytest.fixture
def staged(monkeypatch, tmp_path):
    """The stages of a training that takes no step: what each was given, and the model that came out."""
    seen = {"stages": []}

    def fit(stage, count, path, run, reading):
        assert stage.by_example
        names = {name.partition(".")[0] for name, _ in stage.network.named_parameters()}
        seen["stages"].append((path.name, names, stage.schedule, count, run))
        assert stage.network.training or "latent" in path.name
        return Outcome("float32", 0, 28, 2.0)

    def latent(model, z):
        seen.update(model=model, z=z)
        return latent_loss(model, z)

    def images(pixels, flip, device, workers):
        seen["flip"] = flip
        return Images(pixels, flip, device, workers)

    monkeypatch.setattr(stages, "fit", fit)
    monkeypatch.setattr(stages, "latent_loss", latent)
    monkeypatch.setattr(stages, "Images", images)

    def run(**changes):
        seen["outcomes"] = train(replace(TINY, **changes), pictures(30), tmp_path, RUN, "cpu")
        return seen

    return run


RUN = TrainingRun(5, "me", "bfloat16")


def test_the_latent_ddim_sees_normalised_codes(staged):
    seen = staged()
    model, z = seen["model"], seen["z"]
    torch.testing.assert_close(z.mean(0), torch.zeros(4), atol=1e-4, rtol=0)
    torch.testing.assert_close(z.std(0), torch.ones(4), atol=1e-4, rtol=0)
    data = Images(pictures(30), False, "cpu")
    with torch.no_grad():
        codes = model.eval().encoder(data.batch(torch.arange(30)))
    torch.testing.assert_close(model.denormalise(z), codes, atol=1e-4, rtol=1e-4)


def test_each_stage_trains_its_own_networks_by_its_own_schedule(staged):
    schedules = {
        name: replace(SCHEDULE, samples=4 * i)
        for i, name in enumerate(("encoder", "image", "latent"), 1)
    }
    seen = staged(**schedules, pixel_weight=1.0, flip=True)
    encoder, image, latent = seen["stages"]
    assert encoder == (
        "training-encoder.safetensors", {"encoder", "pixels"}, schedules["encoder"], 30, RUN
    )  # fmt: skip
    assert image[:3] == (
        "training-image.safetensors", {"unet", "encoder", "pixels"}, schedules["image"]
    )  # fmt: skip
    assert latent[0] == "training-latent.safetensors" and latent[1] == {"time_embed", "layers"}
    assert latent[2:] == (schedules["latent"], 30, RUN)
    assert seen["flip"] is True and staged()["flip"] is False
    assert seen["outcomes"]["image"] == Outcome("float32", 0, 7 * SCHEDULE.batch_size, 2.0)


def test_what_a_network_learns_in_buffers_is_part_of_its_state(tmp_path, monkeypatch):
    """Statistics of batch norms after a stop are those without one, and a step's seconds are added up, by
    a clock that moves by a second between two looks.
    """
    monkeypatch.setattr(step, "time", SimpleNamespace(monotonic=itertools.count().__next__))

    def training(steps: int, found: Training | None = None) -> Training:
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
        made = Training(network, SCHEDULE, seed=3)
        if found is not None:
            found.save(tmp_path / "state", "me")
            made.load(tmp_path / "state", "me")
            assert made.seconds == found.seconds == 3
        for _ in range(steps):
            x = torch.randn(8, 4, generator=torch.Generator().manual_seed(made.step)) + made.step
            made.advance(lambda *_, x=x: network(x).square().sum(), torch.arange(8))
        return made

    whole, resumed = training(5), training(2, training(3))
    assert whole.step == resumed.step == whole.seconds == resumed.seconds == 5
    for name, tensor in whole.network.state_dict().items():
        assert torch.equal(tensor, resumed.network.state_dict()[name]), name
    assert int(whole.network[1].num_batches_tracked) == 5


def test_the_optimiser_is_the_papers_unless_said_otherwise():
    network = nn.Linear(2, 1)
    ours = Training(network, SCHEDULE, 0).optimiser.param_groups[0]
    assert ours["betas"] == (0.9, 0.999)
    other = Training(network, SCHEDULE, 0, adam=Adam((0.0, 0.99), 5.0))
    assert other.optimiser.param_groups[0]["betas"] == (0.0, 0.99)
    network.weight.data.zero_()
    other.advance(lambda *_: 100 * network.weight.sum(), torch.arange(2))
    assert network.weight.grad.norm().item() == pytest.approx(5.0, rel=1e-4)


def test_seeds_of_any_size_begin_with_weights_of_their_own(staged, monkeypatch):
    first = {}
    for seed in (0, 2**32, 10**30):
        monkeypatch.setitem(globals(), "RUN", TrainingRun(seed, "me"))
        first[seed] = staged()["model"].unet.input_blocks[0][0].weight[0, 0].detach().clone()
    assert len({tuple(weight.flatten().tolist()) for weight in first.values()}) == 3


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_what_is_exported_is_the_moving_average_that_was_saved(dtype, tmp_path):
    exported = weights(trained(tmp_path, preset=replace(TINY, dtype=dtype, flip=True)))
    image = load_file(tmp_path / "training-image.safetensors")
    latent = load_file(tmp_path / "training-latent.safetensors")
    averages = {name[4:]: t for name, t in image.items() if name.startswith("ema.")}
    averages |= {f"latent_net.{n[4:]}": t for n, t in latent.items() if n.startswith("ema.")}
    moments = [exported.pop("z_mean"), exported.pop("z_std")]
    assert same(exported, {n: t.to(getattr(torch, dtype)) for n, t in averages.items()})
    assert not torch.equal(image["model.unet.out.2.weight"], averages["unet.out.2.weight"])
    assert all(torch.isfinite(found).all() for found in moments)


def test_a_baseline_is_exported_so_too(tmp_path):
    config = replace(TINY.model, kind=DDIM_BASELINE, encoder_channel_mult=(), latent=None)
    exported = weights(trained(tmp_path, preset=replace(TINY, model=config, latent=None)))
    saved = load_file(tmp_path / "training-image.safetensors")
    assert all(torch.equal(tensor, saved[f"ema.{n[5:]}"]) for n, tensor in exported.items())
