"""What a few images show of a foreign system: another range of images, results that depend on the batch."""

import diffusers_models
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from benchmarks import systems
from benchmarks.runtime.calling import Batches
from benchmarks.systems import Code, Part, System, SystemFailed
from benchmarks.systems.protocol import trial
from diffae.system.errors import UserError

SIZE = 32
CPU = torch.device("cpu")


class Half:
    """Keeps a pixel in four, and computes in [low, high]: it refuses images of another range."""

    low, high = -1.0, 1.0

    def encode(self, images):
        assert self.low <= images.min() and images.max() <= self.high
        return images[:, :, ::2, ::2]

    def decode(self, code):
        return F.interpolate(code, scale_factor=2, mode="bilinear")


class Unit(Half):
    low, high = 0.0, 1.0


class Bytes(Half):
    low, high = 0.0, 255.0


class Decodes01(Half):
    """The commonest mistake: it is given [-1, 1] and returns [0, 1]."""

    def decode(self, code):
        return (super().decode(code) + 1) / 2


class BelowZero(Decodes01):
    """The same of a decoder whose last layer is linear, so that black is sometimes below 0."""

    def decode(self, code):
        return super().decode(code) - 0.02 * (code[:, :, :1, :1] + 3)


class Clipped(Half):
    """Its encoder wants [0, 1] and what is below is lost."""

    def encode(self, images):
        return images.clamp(0, 1)[:, :, ::2, ::2]


class ToBytes(Half):
    def decode(self, code):
        return (super().decode(code) + 1) * 127.5


pytestmark = pytest.mark.usefixtures("no_effnet")


def as_object(kind, own):
    return systems.wrap(kind(), image_size=SIZE, title="Mine", range=own)


def as_plug_in(kind, own):
    class Mine(System):
        title, image_size, fingerprint = "Mine", SIZE, "1"
        capabilities = frozenset({"encode", "decode", "semantic"})
        semantic_parts = (Part((3, SIZE // 2, SIZE // 2)),)
        latent_dim = 3 * (SIZE // 2) ** 2
        range = own

        def encode_semantic(self, images):
            return kind().encode(images)

        def decode(self, code, steps=100):
            return kind().decode(code.semantic)

    return Mine()


GIVEN = [as_object, as_plug_in]


def said(system) -> str:
    """What the rows of a system are noted with; SystemFailed if it is not measured."""
    return systems.as_system(system, CPU).try_on(lambda count: photographs()[:count])


@pytest.mark.parametrize("given", GIVEN)
@pytest.mark.parametrize("kind", [Decodes01, BelowZero, Clipped])
def test_images_that_seem_to_be_in_another_range_are_an_error(kind, given):
    with pytest.raises(SystemFailed) as error:
        said(given(kind, None))
    assert str(error.value).startswith("system 'mine', decode: returned values from ")
    assert "seem to be in [0, 1], not in [-1, 1]; say range=(0, 1), to wrap" in str(error.value)


@pytest.mark.parametrize("given", GIVEN)
@pytest.mark.parametrize(("kind", "own"), [(Unit, (0, 1)), (Bytes, [0, 255]), (Half, (-1, 1))])
def test_a_range_that_is_said_is_converted_both_ways(kind, own, given):
    system, x = systems.as_system(given(kind, own), CPU), photographs()
    assert said(system) == ""
    code = system.encode_semantic(x)
    low, high = own
    torch.testing.assert_close(code, (low + (x + 1) / 2 * (high - low))[:, :, ::2, ::2])
    torch.testing.assert_close(system.encode(images=x).semantic, code)
    expected = F.interpolate(x[:, :, ::2, ::2], scale_factor=2, mode="bilinear")
    torch.testing.assert_close(system.decode(Code(code)), expected, rtol=0, atol=2e-6)


def test_images_of_0_to_255_are_told_what_to_say():
    words = (
        r"values beyond 5 mean a different range. If they are bytes, say range=\(0, 255\), to wr"
    )
    system = systems.as_system(as_plug_in(ToBytes, None), CPU)
    with pytest.raises(SystemFailed, match=words):
        system.decode(system.encode(photographs()))
    with pytest.raises(SystemFailed, match=words):
        as_object(ToBytes, None)  # when it is made, as a grey image is 127


def test_a_folder_of_diffusers_is_tried_too(patches, tmp_path):
    """Anybody may have trained it, and in any range."""
    diffusers_models.save(tmp_path / "vae", "AutoencoderKL")
    system = systems.load("diffusers", tmp_path / "vae")
    x = patches.batch(np.arange(4))
    assert system.try_on(lambda count: x) == ""
    system.inner.decode = lambda code, steps: (x[: len(code.semantic)] + 1) / 2
    with pytest.raises(SystemFailed, match=r"system 'diffusers', decode: .* range=\(0, 1\)"):
        system.refreshed().try_on(lambda count: x)


@pytest.mark.parametrize("own", [(1, 0), (0,), "01", (0, float("nan")), 1])
def test_a_range_is_two_numbers(own):
    with pytest.raises(
        UserError, match="wrap: range must be two numbers, the lowest and the highest"
    ):
        as_object(Half, own)
    with pytest.raises(SystemFailed, match="fields: range must be two numbers"):
        systems.as_system(as_plug_in(Half, own))


def test_results_are_stored_under_the_range():
    prints = [systems.as_system(as_plug_in(Half, own)).fingerprint for own in ((0, 1), (0, 255))]
    plain = {systems.as_system(as_plug_in(Half, own)).fingerprint for own in (None, (-1, 1))}
    assert len(plain) == 1 and len({*prints, *plain}) == 3


def test_a_fit_is_given_images_in_the_range(patches):
    class Learns(as_plug_in(Half, (0, 1)).__class__):
        def fit(self, batches):
            self.seen = torch.cat(list(batches))

    system = systems.as_system(Learns())
    x = patches.batch(np.arange(3))
    system.fit([x])
    assert torch.equal(system.inner.seen, (x + 1) / 2)


# ----------------------------------------------------------------------------------------------
# No honest system is suspected


def photographs() -> torch.Tensor:
    from skimage import data

    crops = [
        torch.from_numpy(image[top : top + 256, :256].copy()).permute(2, 0, 1).float() / 127.5 - 1
        for image in (data.astronaut(), data.coffee(), data.chelsea())
        for top in (0, 40)
    ]
    return F.avg_pool2d(torch.stack(crops), 8)


def drawings() -> torch.Tensor:
    """Dark strokes on white: what blurs them has little below 0."""
    from sklearn.datasets import load_digits

    digits = torch.from_numpy(load_digits().images[:8]).float()[:, None].expand(-1, 3, -1, -1)
    return F.interpolate(1 - digits / 8, size=SIZE, mode="bilinear")


IMAGES = {
    "photographs": photographs,
    "drawings": drawings,
    "negatives": lambda: -drawings(),
    "dark": lambda: photographs() / 3 - 0.6,
    "noise": lambda: torch.rand(8, 3, SIZE, SIZE) * 2 - 1,
}


def untrained(seed: int, last: nn.Module) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 16, 4, 4), nn.SiLU(), nn.ConvTranspose2d(16, 16, 4, 4), nn.SiLU(),
        nn.Conv2d(16, 3, 3, 1, 1), last,
    )  # fmt: skip


@pytest.mark.parametrize("name", IMAGES)
def test_no_honest_system_is_suspected(name):
    torch.manual_seed(0)
    x = IMAGES[name]()
    decoded = {
        "perfect": x,
        "grey": torch.zeros_like(x),
        "white": torch.ones_like(x),
        "mean image": x.mean(0).expand_as(x),
        "mean colour": x.mean((2, 3), keepdim=True).expand_as(x),
        "negated": -x,
        "another image": x.roll(1, 0),
        "two levels": x.sign(),
        "a little above 0": 0.1 + 0.02 * torch.rand_like(x),
        "a little of it above 0": 0.3 + 0.02 * x,
    }
    for side in (2, 4, 8, 16):
        decoded[f"blurred {side}"] = F.interpolate(F.avg_pool2d(x, side), scale_factor=side)
    for contrast in (0.25, 0.5, 0.75):
        decoded[f"contrast {contrast}"] = contrast * x
    for spread in (0.1, 0.5):
        decoded[f"noisy {spread}"] = (x + spread * torch.randn_like(x)).clamp(-1, 1)
    with torch.no_grad():
        for seed in range(20):
            for last in (nn.Identity(), nn.Tanh(), nn.Hardtanh()):
                decoded[f"untrained {seed} {last}"] = untrained(seed, last)(x)
    suspected = {which for which, y in decoded.items() if trial.mistaken_range(x, y)}
    assert not suspected


@pytest.mark.parametrize("name", IMAGES)
def test_halved_images_are_suspected_however_blurred(name):
    x = IMAGES[name]()
    assert trial.mistaken_range(x, (x + 1) / 2)
    if name != "noise":  # of which nothing is left
        y = F.interpolate(F.avg_pool2d(x, 2), scale_factor=2, mode="bilinear")
        assert trial.mistaken_range(x, (y + 1) / 2)
    if name != "dark":
        assert trial.mistaken_range(x, x.clamp(0, 1))


PACKAGED = ("diffae", "ddim", "vqgan", "vqvae2", "nvae", "d2c")
DUMMIES = ("perfect", "constant", "map", "levels", "layers", "tokens", "stochastic")


@pytest.mark.parametrize("name", [*PACKAGED, *(f"dummy-{kind}" for kind in DUMMIES)])
def test_our_own_systems_stand_the_trial_of_foreign_ones(name):
    system = systems.load(name)
    x = F.interpolate(photographs()[:4], size=system.image_size, mode="bilinear")
    assert trial.tried(system, x) == ""


# ----------------------------------------------------------------------------------------------
# Results that depend on the batch


class OfBatch(nn.Module):
    """Normalises by the statistics of the batch, as BatchNorm does in training."""

    image_size = SIZE

    def encode(self, images):
        return F.avg_pool2d(images, 4)

    def decode(self, code):
        return torch.tanh(F.interpolate(F.batch_norm(code, None, None, training=True), SIZE))


class Flipped(OfBatch):
    def decode(self, code):
        return F.interpolate(code, SIZE).flip(0)


class OfPlace(OfBatch):
    """The first image is what it is alone."""

    def decode(self, code):
        return F.interpolate(code, SIZE) - 0.1 * torch.arange(len(code)).view(-1, 1, 1, 1)


class NotAlone(OfBatch):
    """Fails with one image, as BatchNorm1d does in training."""

    def decode(self, code):
        assert len(code) > 1
        return F.interpolate(code, SIZE)


class Squeezes(OfBatch):
    """Of a single image `squeeze` drops the first axis, and axis 1 is no longer that of channels."""

    def decode(self, code):
        squeezed = code.squeeze()
        grey = squeezed.mean(1, keepdim=True)
        return F.interpolate((0.5 * squeezed + 0.5 * grey).reshape(code.shape), SIZE)


class Alone(OfBatch):
    """Honest: what it computes of an image depends on that alone."""

    def decode(self, code):
        return F.interpolate(code, SIZE)


class Rounds(Alone):
    """Kernels round otherwise for another number of images."""

    def decode(self, code):
        return super().decode(code) + 1e-6 * len(code)


class TiesFlip(Alone):
    """A token at a tie between two codes is another one in another batch, and its patch is far off."""

    codebook_size = 4

    def encode(self, images):
        tokens = (F.avg_pool2d(images, 4)[:, 0] * 2 + 2).long().clamp(0, 3)
        tokens[:, 0, 0] = len(images) % 2
        return tokens

    def decode(self, code):
        return F.interpolate(code[:, None].expand(-1, 3, -1, -1) / 2 - 0.75, SIZE)


class InHalf(Alone):
    """In bfloat16, whose last place differs by the size of the batch."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones((), dtype=torch.bfloat16))

    def decode(self, code):
        weight = self.weight * (1 + 2**-7 * (len(code) % 2))
        return F.interpolate(code.bfloat16() * weight, SIZE)


@pytest.mark.parametrize(
    ("kind", "note"),
    [
        *((kind, trial.BATCH) for kind in (OfBatch, Flipped, OfPlace, NotAlone, Squeezes)),
        *((kind, "") for kind in (Alone, Rounds, TiesFlip, InHalf)),
    ],
)
def test_rows_say_that_an_image_depends_on_its_batch(kind, note):
    made = systems.wrap(TiesFlip() if kind is TiesFlip else Alone(), image_size=SIZE, title="Mine")
    made.module = made.live = kind()  # of which `wrap` refuses the one that fails with one image
    assert said(made) == note


def test_a_trial_is_of_nine_images_once_in_a_run(patches):
    counts = []

    class Counted(Half):
        def encode(self, images):
            counts.append(len(images))
            return super().encode(images)

    def tried(batches: Batches, there: int) -> list[int]:
        """The numbers of images that the system is given in two benchmarks of a run."""
        system = systems.as_system(systems.wrap(Counted(), image_size=SIZE, title="Mine"))
        system.batches = batches
        counts.clear()
        for _ in range(2):
            assert system.try_on(lambda count: patches.batch(np.arange(min(count, there)))) == ""
        return list(counts)

    assert tried(Batches(), 45) == [4, 1, 4]
    assert tried(Batches(2), 45) == [2, 2, 1, 2, 2]  # --batch-size holds here too
    assert tried(Batches(images=1), 45) == [4, 1, 4]  # that of a CPU does not
    assert tried(Batches(), 1) == [1, 1, 1]
