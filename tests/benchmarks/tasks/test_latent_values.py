"""The numbers of `latent` in closed form, by `evaluate` and systems whose codes are known.

Images have one colour. A code is a linear or another map of it, has more numbers than there are
images or fewer, and of some systems a number that is constant or twice there.
"""

from dataclasses import replace

import numpy as np
import pytest
import reference_metrics
import torch
from colours import SIZE
from PIL import Image
from sklearn.metrics.pairwise import polynomial_kernel
from systems import Coloured

from benchmarks import evaluate
from benchmarks.tasks.latent.space import SPACE
from diffae.data import open_dataset

TRAIN, TEST = 12, 60
ALIKE = np.array([150.0, 120.0, 100.0])  # of all training images in the second data set


ROTATION = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(3)))[0]
WIDE = torch.randn(3, 200, generator=torch.Generator().manual_seed(4))
SYSTEMS = [
    Coloured("linear", lambda c: 5 * c @ ROTATION + 2, lambda z: (z - 2) @ ROTATION.T / 5),
    Coloured("curved", lambda c: torch.atanh(0.9 * c), lambda z: torch.tanh(z) / 0.9),
    Coloured(  # the first colour twice, and a constant
        "deficient",
        lambda c: torch.cat([c, c[:, :1], torch.full_like(c[:, :1], 7)], 1),
        lambda z: torch.stack([(z[:, 0] + z[:, 3]) / 2, z[:, 1], z[:, 2] + z[:, 4] - 7], 1),
    ),
    Coloured("wide", lambda c: c @ WIDE, lambda z: z @ torch.linalg.pinv(WIDE)),  # 200 numbers
]


def coloured(folder, train, test):
    """A data set of images of these colours, uint8 n x 3 and m x 3."""
    folder.mkdir()
    for i, colour in enumerate(np.concatenate([train, test])):
        Image.new("RGB", (SIZE, SIZE), tuple(map(int, colour))).save(folder / f"{i:03d}.png")
    partition = np.repeat(np.array([0, 2], np.int8), [len(train), len(test)])
    return replace(open_dataset(folder, SIZE), partition=partition)


@pytest.fixture(scope="module")
def ground(tmp_path_factory, no_effnet):
    folder = tmp_path_factory.mktemp("colours")
    rng = np.random.default_rng(0)
    test = 2 * rng.normal((65, 55, 70), (6, 10, 8), (TEST, 3)).round()  # whose middles are whole
    train = rng.normal((130, 110, 140), (16, 10, 12), (TRAIN, 3)).round()
    kinds = {"spread": train, "alike": np.repeat(ALIKE[None], TRAIN, 0)}
    sets = {name: coloured(folder / name, colours, test) for name, colours in kinds.items()}
    known = {}

    def measured(system, kind="spread", seed=0, **sizes):
        """Rows by setting and metric, and the scores of images by setting."""
        given = {"images": TEST, "training": TRAIN, "moved": TEST, "noise": (0.2,), "bits": (2, 3)}
        key = (system.name, kind, seed, repr(sizes))
        if key not in known:
            settings = {f"latent.{name}": value for name, value in {**given, **sizes}.items()}
            known[key] = evaluate(
                system, "latent", sets[kind], "smoke", settings=settings, seed=seed, progress=False
            )
        return {(row.setting, row.metric): row for row in known[key].rows}, known[key].samples()

    return measured, {
        name: (colours / 127.5 - 1, test / 127.5 - 1) for name, colours in kinds.items()
    }


def codes(system, colours):
    return system.to(torch.from_numpy(colours).float()).double()


def shown(system, semantic):
    """The features of what is decoded: colours in [0, 1] of 8 bits."""
    decoded = system.back(semantic.float()).clamp(-1, 1).double().numpy()
    return np.round((decoded + 1) * 127.5) / 255


def kernel_in_pairs(x, y):
    """The mean of k(x_i, x_j) + k(y_i, y_j) - 2 k(x_i, y_j) over i != j."""
    xx, yy, xy = (polynomial_kernel(*pair, degree=3) for pair in ((x, x), (y, y), (x, y)))
    apart = ~np.eye(len(x), dtype=bool)
    return float((xx + yy - xy - xy.T)[apart].mean())


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system.name)
def test_halfway_to_training_images_that_are_all_alike(system, ground):
    """Whichever is drawn, the code is halfway to theirs: on a line, and on the great circle."""
    measured, colours = ground
    rows, _ = measured(system, "alike")
    train, test = (codes(system, part) for part in colours["alike"])
    lengths = test.norm(dim=1, keepdim=True), train[:1].norm()
    cosine = (test @ train[0])[:, None] / lengths[0] / lengths[1]
    theta = torch.acos(cosine.clamp(-1, 1))
    circle = torch.sin(theta / 2) / torch.sin(theta) * (test + train[:1])
    moved = {"as encoded": test, "linear": (test + train[:1]) / 2, "slerp": circle}
    originals = (colours["alike"][1] + 1) / 2
    for setting, semantic in moved.items():
        made = shown(system, semantic)
        ifd, ikd = rows[setting, "ifd_effnet"], rows[setting, "ikd_effnet"]
        expected = reference_metrics.frechet(made, originals)
        assert ifd.value == pytest.approx(expected, rel=1e-3, abs=2e-6)
        assert ikd.value == pytest.approx(kernel_in_pairs(made, originals), rel=1e-3, abs=2e-6)
        assert (ifd.n, ifd.direction, ikd.direction, ifd.unit) == (TEST, "lower", "lower", "")
        assert ifd.measured_by["training"] == TRAIN and ifd.measured_by["place"] == 0.5
    assert rows["linear", "ifd_effnet"].value > 0.001


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system.name)
def test_few_bits_move_an_image_by_the_rounding_of_its_code(system, ground):
    """Image by image: 2^b values, evenly over the mean +- 3 deviations of training images."""
    measured, colours = ground
    rows, samples = measured(system)
    train, test = (codes(system, part) for part in colours["spread"])
    mean, deviation = train.mean(0), train.std(0)
    for bits in (2, 3):
        levels = mean + deviation * torch.linspace(-3, 3, 2**bits, dtype=torch.float64)[:, None]
        nearest = (test[:, None] - levels).abs().argmin(1)
        rounded = levels.gather(0, nearest)
        before, after = (system.back(z.float()).clamp(-1, 1).double() for z in (test, rounded))
        expected = (after - before).square().sum(1).numpy() * SIZE**2
        row = rows[f"{bits} bits", "pd_effnet"]
        assert row.value == pytest.approx(expected.mean(), rel=2e-2)
        assert row.stderr == pytest.approx(expected.std(ddof=1) / TEST**0.5, rel=3e-2)
        scores = samples[samples.setting == f"{bits} bits"].set_index("image")["pd_effnet"]
        found = scores.loc[TRAIN + np.arange(TEST)].to_numpy()
        # a number in the middle between two values may be rounded to either
        assert np.mean(np.isclose(found, expected, rtol=1e-2, atol=1e-6)) > 0.95
    assert rows["3 bits", "pd_effnet"].value < rows["2 bits", "pd_effnet"].value


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system.name)
def test_noise_moves_an_image_by_its_share_of_the_deviation(system, ground):
    """The expected distance, of a map that is linear over so little noise."""
    measured, colours = ground
    level, n = 0.02, TEST
    seeds = [measured(system, seed=seed, noise=(level,))[0] for seed in (0, 1)]
    found = [rows[f"noise {level:g}", "pd_effnet"] for rows in seeds]
    train, test = (codes(system, part) for part in colours["spread"])
    deviation = train.std(0).float()
    expected, variance = [], []
    for code in test.float():
        slope = torch.autograd.functional.jacobian(lambda z: system.back(z[None])[0], code)
        of_noise = (slope * deviation * level * SIZE).double()
        covariance = of_noise @ of_noise.T
        expected.append(float(covariance.trace()))
        variance.append(
            2 * float(covariance.square().sum())
        )  # of a quadratic form of normal numbers
    mean, error = np.mean(expected), np.sqrt(np.mean(variance) / n)
    for row in found:
        assert abs(row.value - mean) < 4 * error
        spread = np.sqrt((np.mean(variance) + np.var(expected)) / n)
        assert row.stderr == pytest.approx(spread, rel=0.5)
    assert found[0].value != found[1].value


@pytest.mark.parametrize("images, moved", [(20, 30), (30, 20)])
def test_either_count_may_be_the_larger(images, moved, ground):
    """Each row is of the first images of the run's order, as many as its setting says."""
    measured, _ = ground
    _, samples = measured(SYSTEMS[0])
    rows, fewer = measured(SYSTEMS[0], images=images, moved=moved)
    for setting, metric in rows:
        alone = rows[setting, metric].table == SPACE
        if rows[setting, metric].value is not None and not alone:
            expected = moved if metric in ("pd_effnet", "equivariance") else images
            assert rows[setting, metric].n == expected, setting
    kept = fewer[fewer.setting == "2 bits"]
    known = samples[samples.setting == "2 bits"].set_index("image")["pd_effnet"]
    assert len(kept) == moved
    assert kept["pd_effnet"].to_numpy() == pytest.approx(known.loc[kept.image].to_numpy(), rel=1e-6)
