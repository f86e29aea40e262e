"""The benchmark `representation`: its numbers, by other programs on the same splits, and its controls."""

import sys
from dataclasses import replace
from itertools import product

import factor_files
import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from sklearn.neighbors import KNeighborsClassifier
from systems import Cells

from benchmarks.core.runner.evaluation import rows
from benchmarks.metrics.codes.data import Codes, LabelColumns
from benchmarks.metrics.codes.schema import named
from benchmarks.metrics.codes.table import measure
from benchmarks.tasks import probes, representation
from benchmarks.tasks.shared import probe_fits, stored_estimates
from diffae.data import open_combinations, open_dataset, open_portraits
from diffae.data.portraits.attributes import GRID

NAMES = ("a", "b")


class Colours(Cells):
    """And a constant."""

    def __init__(self, name="colours"):
        super().__init__(name=name)
        self.latent_dim += 1

    def encode_semantic(self, images):
        return torch.nn.functional.pad(super().encode_semantic(images), (0, 1))


SYSTEM = Colours()


@pytest.fixture
def labelled(context):
    """Two attributes that the colours tell with noise."""
    z = SYSTEM.encode_semantic(context.dataset.batch(range(150))).numpy()[:, :12]
    z = (z - z.mean(0)) / z.std(0)
    rng = np.random.default_rng(3)
    noisy = z @ rng.normal(size=(12, 2)) + 2 * rng.normal(size=(150, 2))
    context.dataset = replace(
        context.dataset, attribute_names=NAMES, attributes=noisy > np.quantile(noisy, 0.4, axis=0)
    )
    settings = {"representation.labels": (16, 64), "representation.draws": 3}
    settings["representation.coded"] = 1000  # all
    context.profile = context.profile.changed_by(settings)
    return context


def measured(context, *systems):
    found = rows(representation.BENCHMARK, context, list(systems or [SYSTEM]))
    return {(row.system, row.metric, row.setting): row for row in found}


def part(context, name):
    """Codes and labels of a split, in the order of the run."""
    chosen = context.select(name, 10_000)
    x = SYSTEM.encode_semantic(chosen.batch(np.arange(len(chosen))))
    return x.double().numpy()[:, :12], chosen.labels


@pytest.mark.filterwarnings("error:Mean of empty slice")
@pytest.mark.parametrize("positives", [None, ([1], [20]), ([0], [20]), ([0], [0])])
def test_the_mean_of_probes_is_that_of_the_benchmark_probes(labelled, positives):
    """Also with one positive in the test split, of which no error is known, or none, and no AUROC."""
    if positives is not None:
        rank = np.argsort(labelled.select("test", 150).order).argsort()
        attributes = labelled.dataset.attributes.copy()
        attributes[labelled.select("test", 150).order] = rank[:, None] < np.ravel(positives)
        labelled.dataset = replace(labelled.dataset, attributes=attributes)
    ours = measured(labelled)["colours", "auroc", "mean"]
    (theirs,) = (
        row
        for row in rows(probes.BENCHMARK, labelled, [SYSTEM])
        if (row.metric, row.setting) == ("auroc", "mean") and row.system == "colours"
    )
    assert (ours.value, ours.n) == (theirs.value, theirs.n)
    assert ours.stderr == (theirs.stderr and pytest.approx(theirs.stderr, rel=1e-9))
    assert (ours.stderr is None) == (positives in (([1], [20]), ([0], [0])))
    assert (ours.value is None) == (positives == ([0], [0]))


def test_nearest_codes_are_scikit_learn_s(labelled):
    """k by the validation images, for each attribute; on codes standardised by the training images."""
    (x, y), (xv, yv), (xt, yt) = (part(labelled, name) for name in ("train", "valid", "test"))
    xv, xt = ((one - x.mean(0)) / x.std(0) for one in (xv, xt))
    x = (x - x.mean(0)) / x.std(0)
    scores = []
    for a in range(2):
        by_k = {}
        for k in (1, 5, 10, 20, 50):
            model = KNeighborsClassifier(k).fit(x, y[:, a])
            by_k[k] = (
                balanced_accuracy_score(yv[:, a], model.predict(xv)),
                balanced_accuracy_score(yt[:, a], model.predict(xt)),
            )
        scores.append(max(by_k.values(), key=lambda both: both[0])[1])
    row = measured(labelled)["colours", "knn", "mean"]
    assert row.value == pytest.approx(np.mean(scores), abs=1e-9)
    assert "constant dimensions left out: 1 of 13" in row.note


def test_dimensions_are_those_of_the_singular_values(labelled):
    found = measured(labelled)
    x = np.concatenate([part(labelled, name)[0] for name in ("train", "valid", "test")])
    values = np.linalg.svd(x - x.mean(0), compute_uv=False)
    shares = values / values.sum()
    row = found["colours", "rankme", "all images"]
    assert row.value == pytest.approx(np.exp(-(shares * np.log(shares)).sum()), rel=1e-6)
    assert row.n == len(x) and f"n = {len(x)}" in row.note
    assert (row.split, found["colours", "knn", "mean"].split) == ("", "test")
    squares = values**2
    ratio = squares.sum() ** 2 / (squares**2).sum()
    assert found["colours", "participation", "all images"].value == pytest.approx(ratio, rel=1e-6)


def test_few_labels_are_drawn_from_what_is_not_scored(labelled):
    """More labels do better, and none does as well as all; 16 labels by scikit-learn on the same draws."""
    found = measured(labelled)
    few, more = (found["colours", "auroc", f"{count} labels"] for count in (16, 64))
    assert 0.5 < few.value < more.value < found["colours", "auroc", "mean"].value + 0.05
    (x, y), (xv, yv), (xt, yt) = (part(labelled, name) for name in ("train", "valid", "test"))
    pool, labels = np.concatenate([x, xv]), np.concatenate([y, yv])
    values = []
    for draw in range(3):
        chosen = np.random.default_rng([labelled.seed, 16, draw]).choice(
            len(pool), 16, replace=False
        )
        mean, std = pool[chosen].mean(0), pool[chosen].std(0, ddof=1)
        for a in range(2):
            model = LogisticRegression(max_iter=5000).fit(
                (pool[chosen] - mean) / std, labels[chosen, a]
            )
            scores = model.decision_function((xt - mean) / std)
            values.append(roc_auc_score(yt[:, a], scores))
    assert few.value == pytest.approx(np.mean(values), abs=2e-3)


def test_a_number_of_labels_that_there_are_not_has_a_row_with_the_reason(labelled):
    changes = {"probes.train": 12, "probes.valid": 6, "representation.labels": (16, 64)}
    labelled.profile = labelled.profile.changed_by(changes)
    numbers = measured(labelled)
    assert numbers["colours", "auroc", "16 labels"].value is not None
    row = numbers["colours", "auroc", "64 labels"]
    assert row.value is None and row.note == "needs 64 images to label; there are 18"
    attributes = labelled.dataset.attributes.copy()
    attributes[labelled.select("test", 150).order] = False
    labelled.dataset = replace(labelled.dataset, attributes=attributes)
    row = measured(labelled)["colours", "auroc", "16 labels"]
    assert row.value is None and row.note == "no binary label has both values on the scored rows"


def test_the_same_codes_differ_by_nothing_and_errors_are_paired(labelled):
    found = measured(labelled, SYSTEM, Colours("twin"))
    for metric, setting in (("auroc", "16 labels"), ("knn", "mean"), ("code_length", "mean")):
        ours, theirs = (found[name, metric, setting] for name in ("colours", "twin"))
        assert ours.stderr > 0
        assert ours.estimate.minus(theirs.estimate).stderr < 1e-12


def test_chance_is_what_codes_without_information_give(labelled):
    """The entropy is that of the labels of the images that are coded, as many as for systems."""
    found = measured(labelled)
    chance = {metric: row for (system, metric, _), row in found.items() if system == "chance"}
    assert chance["auroc"].value == chance["knn"].value == 0.5
    labels = np.concatenate([part(labelled, name)[1] for name in ("train", "valid", "test")])
    p = labels.mean(0)
    entropy = -(p * np.log2(p) + (1 - p) * np.log2(1 - p))
    row, ours = chance["code_length"], found["colours", "code_length", "mean"]
    assert row.value == pytest.approx(entropy.mean()) and row.n == ours.n == len(labels)
    surprise = -np.log2(np.where(labels, p, 1 - p)).mean(1)
    assert row.stderr == pytest.approx(surprise.std(ddof=1) / len(labels) ** 0.5, rel=1e-6)
    assert row.value > ours.value > 0


@pytest.mark.parametrize("constant", ["train", "test"])
def test_chance_is_of_the_labels_that_systems_are_scored_on(constant, labelled):
    """Not of one that has one value in a part: what a constant guess scores there is 1."""
    columns = np.empty(150, [("a", np.int16), ("b", np.int16)])
    columns["a"], columns["b"] = np.arange(150) % 7 < 3, np.arange(150) % 3
    parts = {name: labelled.select(name, 150).order for name in ("train", "valid", "test")}
    columns["b"][parts[constant]] = 1
    known = {"columns": columns, "attributes": None, "attribute_names": ()}
    labelled.dataset = replace(labelled.dataset, **known)
    numbers = measured(labelled)
    share = np.mean(columns["a"][parts["test"]])
    assert numbers["chance", "knn", "mean"].value == pytest.approx(max(share, 1 - share))
    assert "left out: 1" in numbers["colours", "knn", "mean"].note
    columns["a"][parts[constant]] = 1
    labelled.dataset = replace(labelled.dataset, columns=columns)
    numbers = measured(labelled)
    for metric, who in product(("knn", "ridge_r2"), ("chance", "colours")):
        row = numbers[who, metric, "mean"]
        assert row.value is None and "every label is the same on all rows" in row.note


def test_a_regression_is_of_real_valued_labels(labelled):
    """A mean colour is told from the mean colours; there is no row where no label is real-valued."""
    assert not [key for key in measured(labelled) if key[1] == "ridge_r2"]
    x = SYSTEM.encode_semantic(labelled.dataset.batch(range(150))).double().numpy()
    columns = np.empty(150, [("a", bool), ("tone", float)])
    columns["a"], columns["tone"] = labelled.dataset.attributes[:, 0], x[:, :3].mean(1)
    labelled.dataset = replace(labelled.dataset, columns=columns)
    found = measured(labelled)
    assert found["colours", "ridge_r2", "mean"].value > 0.999
    assert found["chance", "ridge_r2", "mean"].value == 0


def test_a_second_run_fits_nothing_again(labelled, monkeypatch):
    numbers = ("knn", "rankme", "viv", "viv_by_class")  # the last two share a section
    monkeypatch.setattr(representation, "OF_CODES", numbers)

    def told():
        found = measured(labelled)
        return {key: (row.value, row.stderr, row.note) for key, row in found.items()}

    first = told()
    assert {metric for _, metric, _ in first} >= {*numbers}

    def again(*_, **__):
        raise AssertionError("measured again")

    for name in ("few_labels", "code_length"):
        monkeypatch.setattr(representation, name, again)
    monkeypatch.setattr(stored_estimates, "estimates", again)
    assert told() == first
    labelled.dataset = replace(labelled.dataset, attributes=~labelled.dataset.attributes)
    with pytest.raises(AssertionError, match="measured again"):
        measured(labelled)


# ----------------------------------------------------------------------------------------------
# Numbers that are bound to axes


def test_axes_are_measured_beside_controls(labelled, monkeypatch):
    monkeypatch.setattr(representation, "OF_AXES", ("mig", "tad"))
    labelled.profile = labelled.profile.changed_by({"representation.axes": True})
    monkeypatch.setattr(SYSTEM, "reference", False)
    found = measured(labelled)
    controls = {setting for _, metric, setting in found if metric == "mig"}
    assert controls == {"the code", "rotated at random", "principal components", "noise"}
    of_code = [key for key, row in found.items() if key[1] == "mig" and not row.reference]
    assert {setting for *_, setting in of_code} == {"the code"}  # a control competes with no system
    code, rotated = (found["colours", "mig", name] for name in ("the code", "rotated at random"))
    apart = (code.value - rotated.value) / np.hypot(code.stderr, rotated.stderr)
    assert code.note.endswith(f"{apart:+.1f} standard errors from the rotated code")


def test_controls_have_the_same_information_or_none(labelled):
    """A rotation and principal components keep distances of standardised codes; noise keeps marginals."""
    images = representation.images_of_splits(labelled)
    read = map(labelled.store.read, probe_fits.features(labelled, SYSTEM))
    features = [{"semantic": arrays["semantic"][:, :12]} for arrays in read]

    def controlled(kind, seed=0):
        return representation.controlled(kind, seed, images, *features)

    every = {kind: controlled(kind) for kind in representation.KINDS}
    codes, fitted = every["the code"], images.split == 0
    assert np.array_equal(codes.values, np.concatenate([part["semantic"] for part in features]))
    x = (codes.values - codes.values[fitted].mean(0)) / codes.values[fitted].std(0)
    for name in ("rotated at random", "principal components"):
        turned = every[name].values
        assert np.allclose(turned @ turned.T, x @ x.T) and not np.allclose(turned, x)
    of_fitted = np.cov(every["principal components"].values[fitted], rowvar=False)
    assert np.allclose(of_fitted, np.diag(np.diag(of_fitted)))
    assert (np.diff(np.diag(of_fitted)) <= 1e-9).all()
    noise = every["noise"].values
    assert np.array_equal(np.sort(noise, axis=0), np.sort(codes.values, axis=0))
    each = [np.corrcoef(a, b)[0, 1] for a, b in zip(noise.T, codes.values.T, strict=True)]
    assert np.abs(each).max() < 0.4
    assert not np.array_equal(noise, controlled("noise", seed=1).values)


def test_what_is_refused_is_a_row_with_the_reason_and_is_kept(labelled, monkeypatch):
    """Kept too: with several processes the first one alone computes, and the others read its result."""
    monkeypatch.setattr(representation, "OF_AXES", ("ridge_r2",))
    labelled.profile = labelled.profile.changed_by({"representation.axes": True})
    first = measured(labelled)["colours", "ridge_r2", "noise"]
    assert first.value is None and first.note.startswith("needs ")
    monkeypatch.setattr(stored_estimates, "estimates", pytest.fail)
    assert measured(labelled)["colours", "ridge_r2", "noise"].note == first.note


def test_a_wide_code_is_not_judged_by_its_axes(labelled, monkeypatch):
    monkeypatch.setattr(representation, "WIDEST", 12)
    labelled.profile = labelled.profile.changed_by({"representation.axes": True})
    row = measured(labelled)["colours", "mig", "the code"]
    assert row.value is None and row.note.startswith(
        "13 numbers, too many to stand for single labels"
    )


# ----------------------------------------------------------------------------------------------
# Data of known factors


def on(context, data, **settings):
    context.dataset = data
    sizes = {f"representation.{name}": value for name, value in settings.items()}
    context.profile = context.profile.changed_by({"representation.axes": True} | sizes)
    return measured(context)


def of_set(data):
    """The codes and discrete labels of all images of a data set, in the order of the run."""
    order = np.random.default_rng([0, 1]).permutation(len(data))
    known = data.factors(order)
    return Codes(SYSTEM.encode_semantic(data.batch(order)).double().numpy(), LabelColumns(*known))


def test_factors_of_the_portraits_that_ship(context, monkeypatch):
    """What needs all combinations is of 72 portraits that have them, and so is what is of factors; TAD
    is of the attributes. The real-valued factors give a ridge regression.
    """
    monkeypatch.setattr(representation, "OF_AXES", ("mig", "factor_vae", "attrs"))
    fewer_votes(monkeypatch)
    found = on(context, open_portraits(150, 32), grid=100, labels=(16,))
    drawn = open_combinations(context.dataset, 100)
    assert len(drawn) == 2 * 2 * 2 * 3 * 3
    codes = of_set(drawn)
    assert {*codes.labels.kinds} == {"ordered"} and {*codes.labels.names} == {*GRID}
    for name in ("mig", "factor_vae"):
        row = found["colours", name, "the code"]
        assert row.value == pytest.approx(measure(name, codes, named("plain"), 0).value, abs=1e-12)
        assert row.n == len(drawn) and row.measured_by["factors_sha256"] == drawn.fingerprint
    assert "factors" not in found["colours", "attrs", "the code"].measured_by
    assert found["colours", "ridge_r2", "mean"].value < 0.5  # of few images
    assert found["chance", "ridge_r2", "mean"].value == 0


def fewer_votes(monkeypatch):
    """`plain` with 500 votes in place of 10,000, wherever it is asked for."""
    whole = named("plain")
    small = replace(whole.sections["factor_vae"], train=500, test=200, tables=2)
    few = replace(whole, sections={**whole.sections, "factor_vae": small})
    for module in (stored_estimates, sys.modules[__name__]):
        monkeypatch.setattr(module, "named", lambda _: few)


def test_all_combinations_of_a_data_set(context, tmp_path, monkeypatch):
    """Of factors with 3, 2, 4, 2 and 3 values those that lose values are the ones with most, and each
    class of a factor is an attribute for the probes.
    """
    monkeypatch.setattr(representation, "OF_AXES", ("factor_vae",))
    fewer_votes(monkeypatch)
    factor_files.dsprites(tmp_path / "dsprites.npz")
    data = open_dataset(tmp_path, 32)
    found = on(context, data, grid=80, labels=(16,))
    part = open_combinations(data, 80)
    levels = [sorted({*column}) for column in part.factors(range(len(part))).values.T]
    assert levels == [[0, 2], [0, 1], [0, 2, 3], [0, 1], [0, 1, 2]] and len(part) == 72
    some = np.array(
        [
            [np.array_equal(part.images([i])[0], data.images([j])[0]) for j in range(144)]
            for i in (0, 71)
        ]
    )
    assert some.sum(1).tolist() == [1, 1]
    row = found["colours", "factor_vae", "the code"]
    assert row.n == 72 and row.value is not None
    assert found["colours", "auroc", "mean"].value is not None
    assert found["colours", "ridge_r2", "mean"].value is not None
    assert found["chance", "auroc", "mean"].value == 0.5


def test_too_few_images_for_all_combinations_are_a_reason(context, tmp_path, monkeypatch):
    monkeypatch.setattr(representation, "OF_AXES", ("factor_vae",))
    factor_files.dsprites(tmp_path / "dsprites.npz")
    data = open_dataset(tmp_path, 32)
    assert open_combinations(data, 31) is None
    context.profile = context.profile.changed_by(
        {"probes.train": 40, "probes.valid": 10, "probes.test": 20}
    )
    row = on(context, data, grid=31, labels=(16,))["colours", "factor_vae", "the code"]
    assert row.value is None
    assert "needs images of each combination of the labels, of which" in row.note


def test_data_without_attributes_has_the_other_numbers(context, monkeypatch):
    """Ordered and real-valued labels alone: nearest codes and regressions, and reasons for the rest."""
    monkeypatch.setattr(representation, "OF_AXES", ("mig",))
    random, n = np.random.default_rng(0), len(context.dataset)
    columns = np.empty(n, [("level", np.int16), ("size", float)])
    columns["level"], columns["size"] = random.integers(0, 3, n), random.random(n)
    bare = replace(context.dataset, columns=columns, attributes=None, attribute_names=())
    found = on(context, bare, labels=(16,))
    for metric in ("auroc", "code_length"):
        row = found["colours", metric, "mean"]
        assert row.value is None and row.note == "needs binary labels"
    for metric, setting in (("knn", "mean"), ("ridge_r2", "mean"), ("rankme", "all images")):
        assert found["colours", metric, setting].value is not None
    assert found["chance", "knn", "mean"].value is not None
    headline = representation.BENCHMARK.headline
    assert headline(context) == "knn"
    context.dataset = replace(bare, columns=columns[["size"]])
    assert headline(context) == "ridge_r2"
