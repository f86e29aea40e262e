"""Table 3 with images of known colours: the accepted samples, and what they are compared with."""

from dataclasses import replace
from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from colours import Painter, colours_of, context_of, dataset, frechet, kernel

import probes
from benchmarks.core.runner.evaluation import rows
from benchmarks.core.store import Store
from benchmarks.metrics.sets.jackknife import blocks_of
from benchmarks.metrics.sets.means import acceptance_rate
from benchmarks.runtime.choices import TaskOptions
from benchmarks.tasks.fewshot import sampling
from benchmarks.tasks.fewshot.classes import (
    RULES,
    SCENARIOS,
    Setup,
    Sizes,
    Target,
    classifier,
    targets,
)
from benchmarks.tasks.fewshot.fewshot import BENCHMARK
from probes import LinearProbe
from probes.linear import initial_weights

COUNT, REFERENCE, POOL, WANTED = 120, 100, 80, 30
ONE_FIT = {"fewshot.seeds": 1, "fewshot.acceptance": ("threshold",)}


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return dataset(tmp_path_factory.mktemp("colours"), np.arange(COUNT) % 2 == 0)


def usual(images, folder):
    changes = {
        "probes.train": 1_000,
        "fewshot.reference": REFERENCE,
        "fewshot.pool": POOL,
        "fewshot.samples": WANTED,
        "fewshot.seeds": 3,
        "fewshot.pu_unlabeled": 30,
        "fewshot.acceptance": ("probability", "threshold", "reject"),
        "fewshot.frechet_error": True,
    }
    return context_of(images, folder, changes)


@pytest.fixture
def context(images, tmp_path):
    return usual(images, tmp_path)


def sure(sizes, setup, codes, labels, seed):
    """A classifier that knows red from not red, whatever it was shown: p is 0 or 1."""
    sign = 1.0 if setup.target.positive else -1.0
    weight = torch.tensor([[1000.0 * sign, 0, 0]])
    return LinearProbe(weight, torch.tensor([0.0]), torch.zeros(3), torch.ones(3))


def surely(change):
    """A classifier whose logits are what `change` makes of those of `sure`, given the seed."""

    def made(sizes, setup, codes, labels, seed):
        probe = sure(sizes, setup, codes, labels, seed)
        return SimpleNamespace(logits=lambda x: change(probe.logits(x), seed))

    return made


def from_position(start):
    """`surely`, but of the latents before `start(seed)` none is accepted."""

    def change(logits, seed):
        return torch.where(torch.arange(len(logits))[:, None] >= start(seed), logits, -1e3)

    return surely(change)


def measured(context, monkeypatch=None, classifier=sure):
    if monkeypatch is not None:
        monkeypatch.setattr(sampling, "classifier", classifier)
    return {(r.system, r.setting, r.metric): r for r in rows(BENCHMARK, context, [Painter()])}


@pytest.fixture(scope="module")
def found(images, tmp_path_factory):
    """The rows of the usual context by a classifier that is sure."""
    with pytest.MonkeyPatch.context() as patch:
        return measured(usual(images, tmp_path_factory.mktemp("usual")), patch)


def real(context, red=None):
    """The colours of the reference images in the run's order, of one class or all."""
    order = context.select("all", REFERENCE).order
    kept = order if red is None else order[context.dataset.attributes[order, 0] == red]
    return colours_of(context.dataset, kept)


def others_of(context, red, n):
    """The colours of a class without the images that are among the first n of all."""
    order = context.select("all", REFERENCE).order[n:]
    return colours_of(context.dataset, order[context.dataset.attributes[order, 0] == red])


def painted(red, count):
    return np.array([Painter.colour(i, 0) for i in range(POOL) if (i % 2 == 0) == red][:count])


@pytest.mark.parametrize(("name", "red"), [("Male", True), ("Female", False)])
def test_the_first_accepted_are_held_against_the_images_of_the_class(context, found, name, red):
    expected = frechet(painted(red, WANTED), real(context, red))
    against_all = frechet(painted(red, WANTED), real(context))
    assert against_all > 5 * expected
    for scenario in ("binary", "pu"):
        for title in ("painter", "painter, threshold rule", "painter, reject rule"):
            row = found[title, f"{scenario}/{name}", "fd_effnet"]
            assert row.value == pytest.approx(expected, rel=1e-5)
            assert (row.n, row.note) == (WANTED, "")
            assert found[title, row.setting, "acceptance_rate"].value == 0.5
            assert found[title, row.setting, "fd_effnet_seed_std"].value == pytest.approx(0)
            row = found[title, f"{scenario}/{name}", "kd_effnet"]
            expected_kernel = kernel(painted(red, WANTED), real(context, red))
            assert row.value == pytest.approx(expected_kernel, rel=1e-5)
            assert (row.n, row.note) == (WANTED, "")


@pytest.mark.parametrize(("name", "red"), [("Male", True), ("Female", False)])
def test_the_two_scales_of_a_class(context, found, name, red):
    """Each of as many images as the samples, against the class's other images; of all, the first in
    the run's seeded order.
    """
    members = real(context, red)
    naive, others = found["naive", f"binary/{name}", "fd_effnet"], others_of(context, red, WANTED)
    assert naive.value == pytest.approx(frechet(real(context)[:WANTED], others), rel=1e-5)
    assert naive.n == WANTED and naive.note == f"against {len(others)} images"
    row = found["real images of the class", f"pu/{name}", "fd_effnet"]
    assert row.value == pytest.approx(frechet(members[:WANTED], members[WANTED:]), rel=1e-5)
    assert row.n == WANTED and row.note == f"against {len(members) - WANTED} images"
    for title, ours in (("naive", real(context)), ("real images of the class", members)):
        row = found[title, f"binary/{name}", "kd_effnet"]
        theirs = others if title == "naive" else members[WANTED:]
        assert row.value == pytest.approx(kernel(ours[:WANTED], theirs), rel=1e-4)
        assert row.n == WANTED and row.note == f"against {len(theirs)} images"


def test_every_cell_has_real_images_of_its_n_beside_it(context, monkeypatch):
    """The rules accept 40, 40 and some 35 of 60 wanted: two n in a class, and both scales at each."""
    unsure = surely(lambda logits, seed: torch.where(logits > 0, 2.0, -1e3))
    context.profile = context.profile.changed_by({"fewshot.samples": 60})
    found = measured(context, monkeypatch, unsure)
    rows_of = [row for (_, _, metric), row in found.items() if metric == "fd_effnet"]
    cells = {(row.setting, row.n) for row in rows_of if not row.reference}
    assert len(cells) > 4 and max(n for _, n in cells) == 40
    for title in ("naive", "real images of the class"):
        scale = [row for row in rows_of if row.reference and row.system.startswith(title)]
        assert {(row.setting, row.n) for row in scale} == cells and len(scale) == len(cells)
    for (setting, n), red in product(cells, (True, False)):
        if setting == f"pu/{'Male' if red else 'Female'}":
            title = "naive" if n == 40 else f"naive, n = {n}"
            value = found[title, setting, "fd_effnet"].value
            others = others_of(context, red, n)
            assert value == pytest.approx(frechet(real(context)[:n], others), rel=1e-5)


def test_a_scale_of_more_images_than_there_are_is_a_row_with_the_reason(context, monkeypatch):
    context.profile = context.profile.changed_by({"fewshot.reference": 20, **ONE_FIT})
    found = measured(context, monkeypatch)
    assert found["painter", "binary/Male", "kd_effnet"].n == WANTED
    row = found["naive", "binary/Male", "kd_effnet"]
    assert row.value is None and row.note == "20 and 0 images are too few"


def test_all_seeds_have_as_many_samples_as_the_one_with_the_fewest(context, monkeypatch):
    """Seed s turns 4 s of the 40 red ones down: each distance is of 32."""
    choosy = from_position(lambda seed: 8 * seed)
    changes = {"fewshot.samples": 60, "fewshot.acceptance": ("threshold",)}
    context.profile = context.profile.changed_by(changes)
    row = measured(context, monkeypatch, choosy)["painter", "pu/Male", "fd_effnet"]
    reds = painted(True, POOL)
    values = [frechet(reds[k : k + 32], real(context, True)) for k in (0, 4, 8)]
    assert row.n == 32 and row.value == pytest.approx(np.mean(values), rel=1e-5)


def test_naive_of_all_images_stands_alone_where_they_are_all(context, monkeypatch):
    """The paper's row, under a name of its own; not where the reference is a part of the data set."""
    assert ("naive (all images)", "pu/Male", "fd_effnet") not in measured(context, monkeypatch)
    context.profile = context.profile.changed_by({"fewshot.reference": COUNT})
    found = measured(context, monkeypatch)
    assert (
        "naive (all images)",
        "pu/Male",
        "kd_effnet",
    ) not in found  # images paired with themselves
    row = found["naive (all images)", "pu/Male", "fd_effnet"]
    colours, red = colours_of(context.dataset, np.arange(COUNT)), np.arange(COUNT) % 2 == 0
    assert row.value == pytest.approx(frechet(colours, colours[red]), rel=1e-5)
    assert row.n == COUNT and row.reference


def test_how_many_images_are_of_the_class_is_part_of_the_error(context, monkeypatch):
    """The plain jackknife over blocks of all reference images, by hand; of `naive`, whose n is
    given, both sides lose one.
    """
    context.profile = context.profile.changed_by({"fewshot.acceptance": ("threshold",)})
    found = measured(context, monkeypatch)
    order = context.select("all", REFERENCE).order
    block = np.argsort(np.argsort(order)) % 20  # images are persons of their own, numbered by index
    of_class = context.dataset.attributes[order, 0]
    colours, reds = colours_of(context.dataset, order), painted(True, WANTED)

    def influences(without):
        return (np.mean(without) - without) * np.sqrt(19 / 20)

    for metric, between in (("fd_effnet", frechet), ("kd_effnet", kernel)):
        without = [between(reds, colours[of_class & (block != k)]) for k in range(20)]
        row = found["painter", "pu/Male", metric]
        (part,) = (p for p in row.estimate.influences if "reference" in p.units)
        np.testing.assert_allclose(part.values, influences(without), atol=1e-7)
    drawn = np.arange(len(order)) < WANTED
    others = of_class & ~drawn
    whole = frechet(colours[drawn], colours[others])
    share = np.bincount(block[drawn], minlength=20) / WANTED
    of_all = np.array([frechet(colours[drawn & (block != k)], colours[others]) for k in range(20)])
    own = whole - (1 - share) * of_all  # blocks of unequal size: Busing, Meijer and van der Leeden
    of_drawn = (own - share * own.sum()) / np.sqrt(1 - np.square(share).sum())
    of_reds = [frechet(colours[drawn], colours[others & (block != k)]) for k in range(20)]
    (part,) = found["naive", "pu/Male", "fd_effnet"].estimate.influences
    np.testing.assert_allclose(part.values, of_drawn + influences(of_reds), atol=1e-7)


def test_a_latent_is_accepted_with_its_probability(context, monkeypatch):
    """p = 0.8 for red and 0.3 for others: 55 % of the pool, to within its binomial error; by p >
    0.5, the red.
    """
    low, high = np.log(0.3 / 0.7), np.log(0.8 / 0.2)
    unsure = surely(lambda logits, seed: torch.where(logits > 0, high, low))
    context.profile = context.profile.changed_by({"fewshot.samples": 20, "fewshot.seeds": 6})
    found = measured(context, monkeypatch, unsure)
    for setting in ("binary/Male", "pu/Female"):
        row = found["painter", setting, "acceptance_rate"]
        error = np.sqrt((0.8 * 0.2 + 0.3 * 0.7) / 2 / POOL / 6)
        assert abs(row.value - 0.55) < 4 * error
        assert found["painter, threshold rule", setting, "acceptance_rate"].value == 0.5
        both = found["painter, reject rule", setting, "acceptance_rate"].value
        assert abs(both - 0.4) < 4 * np.sqrt(0.8 * 0.2 / 2 / POOL / 6)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_each_seed_draws_labelled_images_weights_and_batches_of_its_own(scenario, monkeypatch):
    """All three alike are of the seed, and so is the classifier."""
    drawn = np.random.default_rng(0)
    features = torch.from_numpy(drawn.normal(size=(60, 5)).astype(np.float32))
    labels = drawn.random((60, 1)) < 0.5
    given, kept = [], {name: getattr(probes, name) for name in ("fit_binary", "fit_pu")}

    def noted(name):
        def fit(features, *split, seed, **how):
            given.append((*map(tuple, split), seed))
            return kept[name](features, *split, seed=seed, **how)

        return fit

    for name in kept:
        monkeypatch.setattr(probes, name, noted(name))
    sizes = Sizes(binary_k=8, pu_positives=8, pu_unlabeled=20)
    setup = Setup(scenario, replace(RULES["threshold"], steps=(3, 3)), Target("Male", 0, True))
    found = [classifier(sizes, setup, features, labels, seed).weight for seed in (0, 1, 1)]
    first, other, again = given
    assert other == again and torch.equal(found[1], found[2])
    assert not any(a == b for a, b in zip(first, other, strict=True))
    assert not torch.equal(found[0], found[1])


def test_the_spread_over_seeds_is_that_of_their_distances(context, monkeypatch):
    """Each seed's classifier turns other latents down: the distances are counted by hand."""
    skipped = {0: 0, 1: 6, 2: 12, 3: 8, 4: 18}
    choosy = from_position(lambda seed: 2 * skipped[seed])
    context.profile = context.profile.changed_by(
        {"fewshot.samples": 20, "fewshot.seeds": 5, "fewshot.acceptance": ("threshold",)}
    )
    found = measured(context, monkeypatch, choosy)
    reds = painted(True, POOL)
    values = [frechet(reds[k : k + 20], real(context, True)) for k in skipped.values()]
    row = found["painter", "pu/Male", "fd_effnet_seed_std"]
    assert row.value == pytest.approx(np.std(values, ddof=1), rel=1e-4)
    assert row.stderr == pytest.approx(row.value / 8**0.5) and row.n == 5
    mean = found["painter", "pu/Male", "fd_effnet"]
    assert mean.value == pytest.approx(np.mean(values), rel=1e-5)
    parts = [row for row in found.values() if len(row.estimate.influences) == 3]
    (seeds,) = (part for part in mean.estimate.influences if "seeds" in part.units)
    assert len(parts) == 12 and seeds.variance == pytest.approx(
        np.var(values, ddof=1) / 5, rel=1e-4
    )
    assert mean.stderr**2 == pytest.approx(sum(part.variance for part in mean.estimate.influences))


def test_each_part_of_the_error_is_of_the_mean_over_all_seeds(context, monkeypatch, tmp_path):
    """An influence on a mean is the mean of the influences on each seed's number, measured alone."""
    starts = (0, 30)
    changes = {"fewshot.samples": 20, "fewshot.acceptance": ("threshold",)}

    def parts(name, seeds, start):
        context.store = Store(tmp_path / name)  # logits of a seed are kept
        context.profile = context.profile.changed_by({**changes, "fewshot.seeds": seeds})
        found = measured(context, monkeypatch, from_position(start))
        return {
            (setting, metric): {
                part.units.partition(":")[0]: part.values for part in row.estimate.influences
            }
            for (system, setting, metric), row in found.items()
            if system == "painter"
        }

    alone = [parts(f"{start}", 1, lambda _, start=start: start) for start in starts]
    together = parts("together", len(starts), lambda seed: starts[seed])
    seen = set()
    for key, found in together.items():
        for kind in found.keys() - {"seeds"}:
            expected = np.mean([one[key][kind] for one in alone], axis=0)
            np.testing.assert_allclose(found[kind], expected, rtol=1e-4, atol=1e-9)
            seen.add((key[1], kind))
    metrics = ("fd_effnet", "kd_effnet", "acceptance_rate")
    kinds = ("blocks of a pool, dealt in turn", "blocks of reference")
    assert seen == set(product(metrics, kinds))


def test_frechet_distances_may_be_without_their_error(context, monkeypatch):
    """Not even that of the seeds, which would be a part of it; the kernel distance has its own."""
    with_error = measured(context, monkeypatch)
    context.profile = context.profile.changed_by({"fewshot.frechet_error": False})
    found = measured(context, monkeypatch)
    assert found.keys() == with_error.keys()
    for key, row in found.items():
        before = with_error[key]
        assert row.value == pytest.approx(before.value, rel=1e-9)
        if row.metric == "fd_effnet":
            assert (row.stderr, row.estimate.influences) == (None, ()) and before.stderr > 0
        else:
            assert row.stderr == before.stderr
        assert row.note == before.note


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_the_error_of_an_acceptance_rate_is_the_binomial_s(p):
    """Over 400 pools of 320 latents, of which each is accepted with probability p."""
    rng = np.random.default_rng(0)
    pools = [np.flatnonzero(rng.random(320) < p) for _ in range(400)]
    rates = [
        acceptance_rate(accepted, blocks_of(320), "pool", "reference")["acceptance_rate"]
        for accepted in pools
    ]
    stated = np.sqrt(np.mean([rate.stderr**2 for rate in rates]))
    assert stated == pytest.approx(np.sqrt(p * (1 - p) / 320), rel=0.05)
    assert np.std([rate.value for rate in rates], ddof=1) == pytest.approx(stated, rel=0.12)
    assert not any(rate.influences[1].values.any() for rate in rates)


def test_fewer_accepted_than_wanted_are_counted(context, monkeypatch):
    context.profile = context.profile.changed_by(
        {"fewshot.samples": 64, "fewshot.acceptance": ("probability",)}
    )
    row = measured(context, monkeypatch)["painter", "binary/Male", "fd_effnet"]
    assert row.n == 40 and row.note == "only 40 of 64 samples accepted"
    assert row.value == pytest.approx(frechet(painted(True, 40), real(context, True)), rel=1e-5)
    # how many would be accepted of another pool is chance as well: the plain jackknife of the pool's blocks
    reds, block = painted(True, 40), 2 * np.arange(40) % 20
    left_out = [frechet(reds[block != k], real(context, True)) for k in range(20)]
    (pool,) = (part for part in row.estimate.influences if "pool" in part.units)
    expected = (np.mean(left_out) - left_out) * np.sqrt(19 / 20)
    np.testing.assert_allclose(pool.values, expected, atol=1e-7)


def test_a_classifier_learns_the_class_that_is_asked_for(context):
    """The real one, from ten labelled images of each colour."""
    context.profile = context.profile.changed_by(ONE_FIT)
    found = measured(context)
    for name, red in (("Male", True), ("Female", False)):
        right, wrong = (
            frechet(painted(is_red, WANTED), real(context, red)) for is_red in (red, not red)
        )
        assert wrong > 40 * right
        assert found["painter", f"binary/{name}", "fd_effnet"].value < 3 * right


def test_classifiers_are_fitted_once(context, monkeypatch):
    """Two rules take the same ones, and a second run takes what the first one filed."""
    fitted = []

    def counted(sizes, setup, codes, labels, seed):
        fitted.append((setup.scenario, setup.target.name, setup.rule.steps, seed))
        return sure(sizes, setup, codes, labels, seed)

    once = measured(context, monkeypatch, counted)
    assert (
        len(fitted) == len(set(fitted)) == 2 * 2 * 3 * 2
    )  # scenarios, classes, seeds, kinds of fit
    again = measured(context, monkeypatch, counted)
    assert len(fitted) == 24
    assert {key: row.value for key, row in again.items()} == {
        key: row.value for key, row in once.items()
    }


@pytest.mark.parametrize("scenario", ["binary", "pu"])
def test_the_reject_rule_takes_the_moving_average_of_the_weights(context, scenario):
    """Of 50 steps it keeps 0.9999^50 of the initial weights: it is some 400 times nearer to them
    than the weights.
    """
    generator = torch.Generator().manual_seed(0)
    codes, labels = torch.randn(COUNT, 3, generator=generator), context.dataset.attributes
    target = targets(context)[0]
    start = initial_weights(3, 1, np.random.default_rng(4))[0]

    def moved(name):
        chosen = replace(RULES[name], steps=(50, 50))
        setup = Setup(scenario, chosen, target)
        found = classifier(context.sizes(Sizes), setup, codes, labels, seed=4)
        return (torch.cat([found.weight[0], found.bias]) - start).abs().max()

    assert moved("threshold") > 0.01
    assert 0 < moved("reject") < moved("threshold") / 200
    assert RULES["reject"].steps == (18_750, 18_750)


@pytest.mark.parametrize(
    ("red", "reason"),
    [
        ([True] * 3, "class Male: 10 positive images needed, but there are 2"),
        ([True, False], "class Male: 10 positive images needed, but there are 1"),
        ([True] * 80, "class Male: 10 negative images needed, but there are 0"),
    ],
)
def test_too_few_images_are_rows_with_the_reason(context, tmp_path, red, reason):
    context.profile = context.profile.changed_by(ONE_FIT)
    folder = tmp_path / "few"
    folder.mkdir()
    context.dataset = dataset(folder, np.array(red))
    found = measured(context)
    assert found["painter", "binary/Male", "fd_effnet"].note == reason
    row = found["painter", "binary/Female", "fd_effnet"]
    assert row.value is None and row.note.startswith("class Female")
    assert ("naive", "binary/Female", "fd_effnet") not in found  # beside what?
    assert all(row.value is not None or row.note for row in found.values())


def test_classes_are_the_chosen_attributes_else_the_papers_else_the_prevalent(context, images):
    rare = np.arange(COUNT) % 7 == 0
    names, labels = ("rare", "red", "ever"), [rare, images.attributes[:, 0], rare | True]
    others = replace(images, attribute_names=names, attributes=np.stack(labels, 1))
    other = replace(context, dataset=others)
    assert [t.name for t in targets(other)] == ["red", "not red", "rare", "not rare"]
    chosen = replace(other, options=TaskOptions(attributes=("rare",)))
    assert [t.name for t in targets(chosen)] == ["rare", "not rare"]
    assert [t.name for t in targets(context)] == ["Male", "Female"]
