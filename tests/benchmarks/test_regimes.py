"""The same numbers in unlike regimes: either set the larger, more numbers than images and fewer, T that
does not divide 1,000, chunks and batches that do not divide the images, one attribute and several.

Expected numbers are computed here, from the images that `painted` systems decode, or come from
another regime that must agree.
"""

from collections.abc import Iterator

import numpy as np
import pytest
import reference_metrics
import torch
from painted import (
    Painted,
    Plain,
    code_of,
    drawn,
    image_of,
    in_range,
    numbers_of,
    paint,
    parts_of,
    person_of,
    stochastic,
    write_images,
)

from benchmarks import evaluate
from benchmarks.metrics.sets import manifold
from benchmarks.metrics.sets.frechet import Moments, frechet_distance
from benchmarks.metrics.sets.jackknife import Side, blocks_of
from benchmarks.metrics.sets.kernel import between
from benchmarks.plugin import System
from diffae.diffusion.scheme import METHODS
from diffae.model import DDIM, DiffusionAutoencoder
from diffae.train.presets import PRESETS

pytestmark = pytest.mark.usefixtures("no_effnet", "short_fits")
SEED = 3


# ----------------------------------------------------------------------------------------------
# Metrics of sets


def overlaps(reference: np.ndarray, samples: np.ndarray) -> dict[str, float]:
    """The four numbers as their papers define them, of features [n, d] and [m, d]."""

    def distances(a, b):
        return np.linalg.norm(a[:, None].astype(np.float64) - b, axis=2).astype(np.float32)

    def radii(of, k):
        return np.sort(distances(of, of), 1)[:, k]

    across = distances(reference, samples)
    balls = across < radii(reference, 5)[:, None]
    return {
        "precision": (across <= radii(reference, 3)[:, None]).any(0).mean(),
        "recall": (across <= radii(samples, 3)).any(1).mean(),
        "density": balls.sum() / 5 / len(samples),
        "coverage": balls.any(1).mean(),
    }


@pytest.mark.parametrize("m", [12, 50])
@pytest.mark.parametrize("n", [12, 50])
def test_metrics_of_sets_with_more_numbers_than_images_and_fewer(n, m):
    """30 features; the reference is the larger, the smaller, or as large as the samples."""
    draw = np.random.default_rng(n + 2 * m)
    reference = draw.normal(size=(n, 30)).astype(np.float32)
    samples = (0.8 * draw.normal(size=(m, 30)) + 0.2).astype(np.float32)
    found = frechet_distance(*(Moments.from_features(x) for x in (reference, samples)))
    assert found == pytest.approx(reference_metrics.frechet(reference, samples), rel=1e-6)
    sides = [Side.of(x, blocks_of(len(x))) for x in (samples, reference)]
    expected = reference_metrics.kernel(samples.astype(float), reference.astype(float))
    assert between(*sides).whole().value == pytest.approx(expected, rel=1e-6)
    estimates = manifold.overlaps(*sides).whole()
    for metric, expected in overlaps(reference, samples).items():
        assert estimates[metric].value == pytest.approx(expected, rel=1e-9), metric


@pytest.mark.parametrize("n, m", [(16, 200), (200, 16), (60, 60)])
def test_a_share_has_an_error_where_five_or_more_of_its_points_are_on_either_side(n, m):
    """Of the samples for precision, of the reference for recall and coverage, whichever is larger."""
    draw = np.random.default_rng(n + 2 * m)
    reference = draw.normal(size=(n, 3))
    for spread in (0.2, 1, 6):
        samples = spread * draw.normal(size=(m, 3)) + 0.2
        sides = [Side.of(x.astype(np.float32), blocks_of(len(x))) for x in (samples, reference)]
        estimates = manifold.overlaps(*sides).whole()
        for metric, of in (("precision", m), ("recall", n), ("coverage", n)):
            share = estimates[metric]
            inside = round(share.value * of)
            few = min(inside, of - inside) < 5
            assert (share.stderr is None) == few, (metric, spread)
            assert (f"the share is {inside} of {of}," in share.why) == few, metric


# ----------------------------------------------------------------------------------------------
# Benchmarks, from the images

COUNTS = (120, 240)  # images, of which 72 and 144 are for training, 36 and 72 for tests
SAMPLED = 100  # more than the former and fewer than the latter; more than a chunk of the store


def splits(count: int) -> tuple[list[int], list[int]]:
    """The numbers of the training and of the test images."""
    every = range(count)
    return [n for n in every if person_of(n) < 36], [n for n in every if person_of(n) >= 42]


@pytest.fixture(scope="module", params=COUNTS)
def measured(request, tmp_path_factory) -> tuple[int, dict]:
    """The number of images, and the rows of a run that measures all of them."""
    data = write_images(tmp_path_factory.mktemp("regime") / "data", request.param)
    every = 1000
    settings = {
        "samples.count": SAMPLED,
        "samples.steps": [3],
        "unconditional.reference": every,
        "memorisation.train": every,
        "reconstruction.images": every,
        "reconstruction.steps": [7],
        "latent.images": every,
        "latent.moved": every,
        "latent.training": every,
        "latent.bits": [3],
        "latent.noise": [0.5],
        "latent.steps": 9,
    }
    found = evaluate(
        Painted(),
        ["unconditional", "memorisation", "reconstruction", "latent"],
        data=data,
        profile="smoke",
        settings=settings,
        seed=SEED,
        progress=False,
    )
    own = [row for row in found.rows if row.system == "painted"]
    return request.param, {(row.table, row.metric, row.setting): row for row in own}


def eight_bits(images: torch.Tensor) -> np.ndarray:
    """Images in [-1, 1] as levels, N x S x S x 3."""
    return ((images.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()


def colours(pixels: np.ndarray) -> np.ndarray:
    """The features of the stand-in: mean colours in [0, 1]."""
    return (pixels.astype(np.float64).mean((1, 2)) / 255).astype(np.float32)


def stacked(numbers: list[int]) -> torch.Tensor:
    return in_range(np.stack([image_of(number) for number in numbers]))


def painted_samples() -> torch.Tensor:
    vector, rest = Painted().sample_latents(range(SAMPLED), SEED, 3)
    return paint(numbers_of((vector, rest)), drawn(range(SAMPLED), SEED), 3 / 8)


class Likenesses(System):
    """Samples that are images of the same kind, paler: some lie among the real ones."""

    name = title = fingerprint = "likenesses"
    capabilities = frozenset({"sample"})
    image_size = latent_dim = 16

    def sample(self, indices, seed, steps):
        return 0.8 * stacked([index + 7 for index in indices]) + 0.06


def test_samples_overlap_with_a_larger_and_a_smaller_reference(tmp_path):
    """All four numbers are unlike, so that sides exchanged are seen."""
    for count in COUNTS:
        found = evaluate(
            Likenesses(),
            "unconditional",
            data=write_images(tmp_path / str(count), count),
            profile="smoke",
            settings={"samples.count": SAMPLED, "unconditional.reference": 1000},
            progress=False,
        )
        rows = {row.metric: row.value for row in found.rows if row.system == "likenesses"}
        ours = colours(eight_bits(Likenesses().sample(range(SAMPLED), 0, 1)))
        expected = overlaps(colours(eight_bits(stacked(splits(count)[0]))), ours)
        assert len({round(value, 3) for value in expected.values()}) >= 3
        assert 0 < expected["precision"] < 1 and expected["precision"] != expected["recall"]
        for metric, value in expected.items():
            assert rows[f"{metric}_effnet"] == pytest.approx(value, abs=1e-6), metric


def test_samples_against_a_larger_and_a_smaller_reference(measured):
    count, rows = measured
    train, _ = splits(count)
    ours, reference = (colours(eight_bits(x)) for x in (painted_samples(), stacked(train)))
    assert (len(ours) < len(reference)) == (count == COUNTS[1])
    table = {key[1]: row for key, row in rows.items() if key[0].startswith(("table4", "uncond"))}
    assert {row.n for row in table.values()} == {SAMPLED}
    frechet, kernel = (
        of(ours, reference) for of in (reference_metrics.frechet, reference_metrics.kernel)
    )
    assert table["fd_effnet"].value == pytest.approx(frechet, rel=1e-4)
    assert table["kd_effnet"].value == pytest.approx(kernel, rel=1e-4)
    for metric, value in overlaps(reference, ours).items():
        assert table[f"{metric}_effnet"].value == pytest.approx(value, abs=1e-6), metric


def test_nearest_training_images_of_more_samples_and_of_fewer(measured):
    count, rows = measured
    train, test = splits(count)
    corpus = colours(eight_bits(stacked(train)))

    def nearest(images):
        made = colours(eight_bits(images)).astype(np.float64)
        return np.linalg.norm(made[:, None] - corpus, axis=2).min(1)

    ours, held_out = nearest(painted_samples()), nearest(stacked(test[:SAMPLED]))
    for setting, q in (("median", 0.5), ("5th percentile", 0.05)):
        at = {key[1]: row for key, row in rows.items() if key[2] == setting and "memor" in key[0]}
        assert at["nn_effnet"].value == pytest.approx(np.quantile(ours, q), rel=1e-4)
        ratio = np.quantile(ours, q) / np.quantile(held_out, q)
        assert at["nn_ratio_effnet"].value == pytest.approx(ratio, rel=1e-4)


@pytest.mark.parametrize("random", [False, True])
def test_reconstructions_of_a_chunk_and_of_more(measured, random):
    """Scores are means over all images, and sets are compared in pairs."""
    count, rows = measured
    _, test = splits(count)
    images = stacked(test)
    x_T = drawn(test, SEED) if random else stochastic(images, 7)
    made = paint(numbers_of(parts_of(images)), x_T, 7 / 8)
    setting = "x_T random" if random else "x_T inverted"
    found = {
        k[1]: r for k, r in rows.items() if k[0] == "table1_reconstruction" and k[2] == setting
    }
    assert found["mse"].n == len(test) == (36 if count == COUNTS[0] else 72)
    unit = [(x.double() + 1) / 2 for x in (made, images)]
    errors = (unit[0] - unit[1]).square().flatten(1).mean(1)
    assert found["mse"].value == pytest.approx(float(errors.mean()), rel=1e-5)
    assert found["psnr"].value == pytest.approx(float((-10 * errors.log10()).mean()), rel=1e-5)
    ssim = float(reference_metrics.ssim(*unit).mean())
    assert found["ssim"].value == pytest.approx(ssim, rel=1e-5)
    distance = float((made.double() - images.double()).square().flatten(1).sum(1).mean())
    assert found["pd_effnet"].value == pytest.approx(distance, rel=1e-5)
    ours, originals = (colours(eight_bits(x)) for x in (made, images))
    frechet = reference_metrics.frechet(ours, originals)
    assert found["rfd_effnet"].value == pytest.approx(frechet, rel=1e-3)
    assert found["rkd_effnet"].value == pytest.approx(paired_kernel(ours, originals), rel=1e-4)
    for metric in ("precision", "recall"):
        value = overlaps(originals, ours)[metric]
        assert found[f"{metric}_effnet"].value == pytest.approx(value, abs=1e-6)
    numbers = 17 if random else 17 + 3 * 16**2
    assert found["latent_dim"].value == numbers
    assert found["compression"].value == pytest.approx(3 * 16**2 / numbers)


def paired_kernel(x: np.ndarray, y: np.ndarray) -> float:
    """Gretton et al. 2012, eq. 4: over pairs of unlike images, none with its own original."""
    xx, yy, xy = (
        ((a.astype(float) @ b.T.astype(float)) / 3 + 1) ** 3 for a, b in ((x, x), (y, y), (x, y))
    )
    h = xx + yy - xy - xy.T
    return float(h[~np.eye(len(x), dtype=bool)].mean())


def test_moved_codes_of_a_chunk_and_of_more(measured):
    """Codes of two unlike parts, as they are and of 3 bits a number, each with the x_T of its image."""
    count, rows = measured
    train, test = splits(count)
    images, codes = stacked(test), np.stack([code_of(n) for n in test])
    training = np.stack([code_of(n) for n in train])
    grid = training.mean(0) + np.linspace(-3, 3, 8)[:, None] * training.std(0, ddof=1)
    nearest = np.abs(grid[:, None] - codes).argmin(0)
    coarse = torch.from_numpy(np.take_along_axis(grid, nearest, 0)).float()
    x_T = drawn(test, SEED)
    plain, made = (paint(c, x_T, 9 / 8) for c in (numbers_of(parts_of(images)), coarse))
    row = rows["latent_interpolation", "ifd_effnet", "as encoded"]
    expected = reference_metrics.frechet(*(colours(eight_bits(x)) for x in (plain, images)))
    assert row.value == pytest.approx(expected, rel=1e-3) and row.n == len(test)
    row = rows["latent_robustness", "pd_effnet", "3 bits"]
    distance = (made.double() - plain.double()).square().flatten(1).sum(1).mean()
    # a number that falls on another level of 24 bits moves its last byte
    assert row.value == pytest.approx(float(distance), rel=0.05) and row.n == len(test)
    beside = rows["latent_robustness", "pd_effnet", "noise 0.5"]
    assert beside.value != pytest.approx(row.value, rel=1e-3)


# ----------------------------------------------------------------------------------------------
# Regimes that must agree


def numbers(rows) -> dict[tuple, tuple]:
    return {
        (r.system, r.table, r.metric, r.setting, r.steps): (r.value, r.stderr)
        for r in rows
        if r.value is not None
    }


FEW = {
    "samples.count": 23,
    "reconstruction.images": 13,
    "interpolation.pairs": 3,
    "variation.images": 5,
    "denoising.images": 11,
    "latent.images": 17,
    "latent.moved": 5,
}
PLAIN_TASKS = [
    "reconstruction",
    "interpolation",
    "variation",
    "denoising",
    "latent",
    "memorisation",
]


@pytest.mark.parametrize(
    "tasks",
    [PLAIN_TASKS, pytest.param(["unconditional", "probes", "fewshot"], marks=pytest.mark.slow)],
)
def test_no_number_depends_on_the_batch(tmp_path, tasks):
    """Batches of 1 and of 5, which divide no count of images here."""
    data = write_images(tmp_path / "data")
    few = FEW | {
        "fewshot.binary_k": 8,
        "fewshot.pu_positives": 8,
        "fewshot.pu_unlabeled": 20,
        "fewshot.seeds": 1,
        "fewshot.pool": 30,
    }
    given = {"data": data, "profile": "smoke", "settings": few, "progress": False}
    whole, *others = (
        numbers(evaluate([Painted(), Plain()], tasks, batch_size=size, **given).rows)
        for size in (None, 1, 5)
    )
    assert len(whole) > 10
    for found in others:
        assert found.keys() == whole.keys()
        for key, (value, stderr) in whole.items():
            assert found[key][0] == pytest.approx(value, rel=1e-6, abs=1e-9), key
            assert found[key][1] == (stderr and pytest.approx(stderr, rel=1e-5)), key


def test_an_attribute_has_its_numbers_in_any_column_and_alone(tmp_path):
    """Alone those of its order: one strength of regularisation is chosen for all attributes."""
    found = []
    for columns in ((0, 1), (1, 0), (1,)):
        data = write_images(tmp_path / str(columns))
        table = data / "list_attr_celeba.txt"
        count, names, *rows = map(str.split, table.read_text().splitlines())
        kept = [[row[0], *(row[1 + column] for column in columns)] for row in rows]
        lines = [count, [names[column] for column in columns], *kept]
        table.write_text("\n".join(map(" ".join, lines)) + "\n")
        # so few images that scores are below 1
        given = {"settings": {"probes.train": 8}, "profile": "smoke", "progress": False}
        found.append(numbers(evaluate(Painted(), "probes", data=data, **given).rows))
    together, exchanged, alone = found
    assert together.keys() == exchanged.keys()
    for key, (value, _) in together.items():
        assert exchanged[key][0] == pytest.approx(value, abs=1e-6), key
    scores = {key: value for key, (value, _) in alone.items() if key[3] == "Smiling"}
    assert {key[2] for key in scores} == {"auroc", "ap", "accuracy"}
    for key, value in scores.items():
        if key[2] != "accuracy":
            assert together[key][0] == pytest.approx(value, abs=0.03), key
    assert together[key][0] != together[(*key[:3], "Male", None)][0]


# ----------------------------------------------------------------------------------------------
# Timesteps

# `space_timesteps(1000, "ddimT")` of phizaz/diffae@10d70b0 diffusion/diffusion.py: multiples of the
# least stride that gives T of them.
GRIDS = {
    3: [0, 334, 668],
    7: [0, 143, 286, 429, 572, 715, 858],
    9: [0, 112, 224, 336, 448, 560, 672, 784, 896],
    10: [0, 100, 200, 300, 400, 500, 600, 700, 800, 900],
}


@pytest.fixture(scope="module")
def models() -> dict:
    """Small models of the packages' presets, which note the timesteps that their UNet is given."""
    narrow = {"model_channels": 8, "channel_mult": (1, 1), "attention_resolutions": ()}
    torch.manual_seed(0)
    found = {}
    for kind, preset in ((DiffusionAutoencoder, "smoke"), (DDIM, "portraits-ddim")):
        config = PRESETS[preset].model
        fields = {**vars(config), **narrow}
        if kind is DiffusionAutoencoder:
            fields["encoder_channel_mult"] = (1, 1, 1, 1)
        found[kind] = kind(type(config)(**fields)).eval()
    return found


def seen(model, call) -> Iterator[int]:
    """The timesteps of the calls of the UNet during `call`, one for each image."""
    times: list[list[int]] = []
    hook = model.unet.register_forward_pre_hook(lambda _, given: times.append(given[1].tolist()))
    try:
        call()
    finally:
        hook.remove()
    for of_images in times:
        (t,) = set(of_images)
        yield t


@pytest.mark.parametrize("steps", GRIDS)
def test_the_unet_is_called_at_the_authors_timesteps(models, steps):
    """Down from the noisiest in decoding, and up to it in inversion, T that divides 1,000 or not."""
    model, baseline = models[DiffusionAutoencoder], models[DDIM]
    side = model.image_size
    x = torch.linspace(-1, 1, 2 * 3 * side**2).reshape(2, 3, side, side)
    z = model.encode(x)
    assert list(seen(model, lambda: model.decode(z, x, steps))) == GRIDS[steps][::-1]
    assert list(seen(baseline, lambda: baseline.decode(x, steps))) == GRIDS[steps][::-1]
    assert list(seen(model, lambda: model.encode_stochastic(x, z, steps))) == GRIDS[steps]
    assert list(seen(baseline, lambda: baseline.encode_stochastic(x, steps))) == GRIDS[steps]


# The timesteps of 3 steps, in decoding and in inversion, by the formulas of docs/solvers.md: from t = 999 (1 / 3)^P up,
# or from t = 0 for the methods that take the image as the state there.
OF_SOLVERS = {
    "ddim:power-2": ([999, 250, 0], [0, 250, 999]),
    "ddim:power-3": ([999, 125, 0], [0, 125, 999]),
    "implicit-v": ([999, 250, 0], [0, 250, 999]),
    "implicit-v:uniform": ([668, 334, 0], [0, 334, 668]),
    "dpm++2m": ([999, 250, 0], [0, 250]),
    "dpm++2m:uniform": ([668, 334, 0], [0, 334]),
    "ab2-v": ([999, 444, 111], [0, 111, 444]),
    "ab2-v:power-3": ([999, 296, 37], [0, 37, 296]),
    "ab2-v:uniform": ([668, 334, 0], [0, 0, 334]),
    "ab2-eps": ([999, 444, 111], [0, 111, 444]),
    "heun": ([999, 444, 444, 111, 111], None),
}


def test_every_method_has_its_timesteps():
    assert {name.partition(":")[0] for name in OF_SOLVERS} == METHODS.keys()


@pytest.mark.parametrize("solver", OF_SOLVERS)
def test_the_unet_is_called_at_the_timesteps_of_the_solver(models, solver):
    model, (down, up) = models[DiffusionAutoencoder], OF_SOLVERS[solver]
    x = torch.linspace(-1, 1, 3 * model.image_size**2).reshape(1, 3, model.image_size, -1)
    z = model.encode(x)
    assert list(seen(model, lambda: model.decode(z, x, 3, solver))) == down
    if up is not None:
        assert list(seen(model, lambda: model.encode_stochastic(x, z, 3, solver))) == up
