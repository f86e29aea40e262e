"""Probes: fits kept in the store, C chosen by validation, and test scores against other programs."""

from dataclasses import fields, replace
from functools import partial

import numpy as np
import pytest
import torch
from dummies import Constant
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score
from systems import Cells

from benchmarks.core.runner.evaluation import rows
from benchmarks.metrics.codes import probes as scores
from benchmarks.tasks import probes
from benchmarks.tasks.shared import probe_fits
from probes import LinearProbe, fit_adam_paper, influences

COLOURS = Cells(name="colours")


@pytest.fixture
def labelled(context):
    attributes = np.random.default_rng(0).random((150, 3)) < 0.5
    context.dataset = replace(
        context.dataset, attribute_names=("a", "b", "c"), attributes=attributes
    )
    return context


def fitted(context, fit=probe_fits.fit):
    return probe_fits.probe_of(context.store.read(fit(context, COLOURS)))


def measured(context, system):
    """The records without those of guesses."""
    return [row for row in rows(probes.BENCHMARK, context, [system]) if row.system != scores.CHANCE]


@pytest.mark.parametrize("fit", [probe_fits.fit, probe_fits.fit_adam])
def test_a_fit_is_made_once_for_the_same_data(fit, labelled, monkeypatch):
    monkeypatch.setattr(probe_fits, "fit_adam_paper", partial(fit_adam_paper, steps=20))
    first = fitted(labelled, fit)

    def again(*_, **__):
        raise AssertionError("fitted again")

    monkeypatch.setattr(probe_fits, "fit_best", again)
    monkeypatch.setattr(probe_fits, "fit_adam_paper", again)
    second = fitted(labelled, fit)
    for field in fields(LinearProbe):
        kept, made = getattr(second, field.name), getattr(first, field.name)
        torch.testing.assert_close(kept, made, rtol=0, atol=0)
    labelled.dataset = replace(labelled.dataset, attributes=~labelled.dataset.attributes)
    with pytest.raises(AssertionError, match="fitted again"):
        fitted(labelled, fit)


def test_codes_that_know_nothing_have_auroc_one_half(labelled):
    found = measured(labelled, Constant(None, torch.device("cpu")))
    aurocs = {row.value for row in found if row.metric == "auroc" and row.system == Constant.title}
    assert aurocs == {0.5}


# ----------------------------------------------------------------------------------------------
# Values, by scikit-learn on the same splits


NAMES = ("a", "b", "c", "d")


@pytest.fixture
def learnable(context):
    """Four attributes: two that the colours tell with noise, of prevalence 0.3 and 0.7; one at
    random; one that is absent from the test split.
    """
    colours = COLOURS.encode_semantic(context.dataset.batch(range(150)))
    z = ((colours - colours.mean(0)) / colours.std(0)).numpy()
    rng = np.random.default_rng(3)
    noisy = z @ rng.normal(size=(12, 2)) + 2.5 * rng.normal(size=(150, 2))
    attributes = np.empty((150, 4), bool)
    attributes[:, :2] = noisy > np.quantile(noisy, (0.7, 0.3), axis=0).diagonal()
    attributes[:, 2] = rng.random(150) < 0.5
    attributes[:, 3] = rng.random(150) < 0.5
    attributes[context.dataset.indices("test"), 3] = False
    context.dataset = replace(context.dataset, attribute_names=NAMES, attributes=attributes)
    return context


def split(context, name):
    """Features and labels of a split, in the order of the run."""
    selection = context.select(name, 150)
    images = selection.batch(np.arange(len(selection)))
    system = COLOURS
    return system.encode_semantic(images).double().numpy(), selection.labels


def scikit_learn(context, C):
    """Logits of every split by scikit-learn's logistic regressions on the training split."""
    x, y = split(context, "train")
    mean, std = x.mean(0), x.std(0, ddof=1)
    models = [
        LogisticRegression(C=C, tol=1e-8, max_iter=5000).fit((x - mean) / std, labels)
        for labels in y.T
    ]
    return {
        name: np.stack(
            [m.decision_function((split(context, name)[0] - mean) / std) for m in models], axis=1
        )
        for name in ("valid", "test")
    }


def mean_auroc(logits, labels):
    both = labels.any(0) & ~labels.all(0)
    return np.mean([roc_auc_score(labels[:, a], logits[:, a]) for a in np.flatnonzero(both)])


def best(logits, labels):
    """The C with the best mean AUROC, of logits by C, and how much better than the next it is."""
    values = [mean_auroc(logits[C], labels) for C in probe_fits.GRID]
    return probe_fits.GRID[int(np.argmax(values))], np.diff(np.sort(values))[-1]


@pytest.fixture
def by_C(learnable):
    return {C: scikit_learn(learnable, C) for C in probe_fits.GRID}


@pytest.fixture
def chosen(learnable, by_C):
    """scikit-learn's logits of the test split with the C that the validation split chooses."""
    valid, test = (
        best({C: logits[name] for C, logits in by_C.items()}, split(learnable, name)[1])
        for name in ("valid", "test")
    )
    assert valid[1] > 1e-3 and valid[0] != test[0], "this problem tells no splits apart"
    return by_C[valid[0]]["test"]


def test_C_is_chosen_on_the_validation_split(learnable, chosen):
    probe = fitted(learnable)
    ours = probe.logits(torch.from_numpy(split(learnable, "test")[0]).float()).numpy()
    np.testing.assert_allclose(ours, chosen, atol=5e-3)


def by_person(influence, persons):
    k, n = len(np.unique(persons)), len(persons)
    sums = np.bincount(persons, weights=influence)
    return np.sqrt((sums**2).sum() * k / (k - 1) * (n - 1) / n)


def test_every_row_is_scikit_learns_on_the_test_split(learnable, chosen):
    """Means over the attributes that both classes define; errors by person, whose pictures are not
    independent.
    """
    persons = np.arange(150) // 4
    learnable.dataset = replace(learnable.dataset, identities=persons)
    logits, labels = chosen, split(learnable, "test")[1]
    system = COLOURS
    found = {(r.metric, r.setting): r for r in measured(learnable, system)}

    defined, prevalence = [0, 1, 2], labels.mean(0)
    aurocs = [roc_auc_score(labels[:, a], logits[:, a]) for a in defined]
    aps = [average_precision_score(labels[:, a], logits[:, a]) for a in defined]
    hits = ((logits > 0) == labels).mean(0)
    weights = prevalence[defined] / prevalence[defined].sum()
    expected = {("auroc", NAMES[a]): aurocs[a] for a in defined}
    expected |= {("ap", NAMES[a]): aps[a] for a in defined}
    expected |= {("accuracy", name): hit for name, hit in zip(NAMES, hits, strict=True)}
    expected |= {
        ("auroc", scores.MEAN): np.mean(aurocs),
        ("auroc", scores.WEIGHTED): weights @ aurocs,
        ("ap", scores.MEAN): np.mean(aps),
        ("accuracy", scores.MEAN): hits.mean(),
    }
    for key, value in expected.items():
        assert found[key].value == pytest.approx(value, abs=2e-3), key
        assert found[key].n == len(labels) == 45
    assert abs(weights @ aurocs - np.mean(aurocs)) > 5e-3 and max(aurocs) > 0.7
    assert found["auroc", "d"].value is None and found["auroc", scores.MEAN].note == "undefined: d"

    groups = np.unique(persons[learnable.select("test", 150).order], return_inverse=True)[1]
    of = influences(logits, labels)  # held against DeLong's in tests/probes
    moved = of["auroc"][:, defined]
    for setting, weight in ((scores.MEAN, np.full(3, 1 / 3)), (scores.WEIGHTED, weights)):
        stderr = by_person(moved @ weight, groups)
        assert found["auroc", setting].stderr == pytest.approx(stderr, rel=0.02)
    for metric, setting in expected:
        if setting in NAMES:
            own = by_person(of[metric][:, NAMES.index(setting)], groups)
        elif setting == scores.MEAN:
            own = by_person(of[metric][:, : 4 if metric == "accuracy" else 3].mean(1), groups)
        assert found[metric, setting].stderr == pytest.approx(own, rel=0.03), (metric, setting)
    assert stderr != pytest.approx(by_person(moved @ weight, np.arange(45)), rel=0.02)
    assert stderr != pytest.approx(by_person(moved.mean(1), groups), rel=0.02)


def test_a_code_that_holds_the_labels_scores_one(labelled):
    """And one of noise scores a half, within its error."""

    class Told(Constant):
        """Code: the labels of the image, found by its first pixels; or noise of its own."""

        name = title = fingerprint = "told"

        def encode_semantic(self, images):
            known = labelled.dataset.batch(range(150))
            index = [int((known == image).flatten(1).all(1).nonzero()[0, 0]) for image in images]
            return torch.from_numpy(labelled.dataset.attributes[index]).float()

    class Noise(Told):
        name = title = fingerprint = "noise"

        def encode_semantic(self, images):
            seeds = images.double().abs().sum((1, 2, 3)).tolist()
            drawn = [np.random.default_rng(int(1e3 * seed)).normal(size=5) for seed in seeds]
            return torch.from_numpy(np.stack(drawn)).float()

    told, noise = (
        {(r.metric, r.setting): r for r in measured(labelled, system)}
        for system in (Told(None, torch.device("cpu")), Noise(None, torch.device("cpu")))
    )
    assert told["auroc", scores.MEAN].value == told["ap", scores.MEAN].value == 1
    record = noise["auroc", scores.MEAN]
    assert abs(record.value - 0.5) < 3 * record.stderr < 0.3


def test_the_authors_probe_is_fitted_to_the_training_split(learnable, monkeypatch):
    """What `fit_adam_paper` gives is held against torch's Adam in tests/probes; here, what it is given."""
    short = partial(fit_adam_paper, steps=300)
    monkeypatch.setattr(probe_fits, "fit_adam_paper", short)
    learnable.profile = learnable.profile.changed_by({"probes.adam_paper": True})
    system = COLOURS
    found = {(r.system, r.metric, r.setting): r for r in measured(learnable, system)}
    (x, y), (x_test, labels) = split(learnable, "train"), split(learnable, "test")
    probe = short(torch.from_numpy(x).float(), torch.from_numpy(y), seed=learnable.seed)
    logits = probe.logits(torch.from_numpy(x_test).float()).numpy()
    for a in range(3):
        record = found["colours, Adam probe", "auroc", NAMES[a]]
        expected = roc_auc_score(labels[:, a], logits[:, a])
        assert record.value == pytest.approx(expected, abs=1e-3)
    protocol = record.measured_by
    assert protocol["probe"] == probe_fits.ADAM and protocol["n_train"] == 90


# ----------------------------------------------------------------------------------------------
# Exclusive classes


def with_classes(context, count, share=0.7):
    """Classes of the 150 images, which a share of the colours' clusters tells, as numbers."""
    colours = COLOURS.encode_semantic(context.dataset.batch(range(150)))
    rng = np.random.default_rng(5)
    nearest = (colours.numpy() @ rng.normal(size=(12, count))).argmax(1)
    classes = np.where(rng.random(150) < share, nearest, rng.integers(0, count, 150))
    names = tuple(f"c{i}" for i in range(count))
    context.dataset = replace(
        context.dataset, attribute_names=names, classes=classes, attributes=None
    )
    return context


def test_top1_is_that_of_scikit_learns_softmax(context):
    """With a binomial error over test images, and the same labels as the binary probes."""
    with_classes(context, 6)
    found = {(r.metric, r.setting): r for r in measured(context, COLOURS)}
    (x, y), (x_valid, y_valid), (x_test, y_test) = (
        split(context, name) for name in ("train", "valid", "test")
    )
    z = lambda features: (features - x.mean(0)) / x.std(0, ddof=1)  # noqa: E731
    models = [
        LogisticRegression(C=C, tol=1e-8, max_iter=5000).fit(z(x), y.argmax(1))
        for C in probe_fits.GRID
    ]
    chosen = max(models, key=lambda model: model.score(z(x_valid), y_valid.argmax(1)))
    p, n = chosen.score(z(x_test), y_test.argmax(1)), len(y_test)
    top1 = found["top1", ""]
    assert top1.value == pytest.approx(p) and 0.3 < p < 0.9
    assert top1.stderr == pytest.approx(np.sqrt(p * (1 - p) / (n - 1)))
    order = np.argsort(chosen.decision_function(z(x_test)), axis=1)[:, -5:]
    expected = (order == y_test.argmax(1)[:, None]).any(1).mean()
    assert found["top5", ""].value == pytest.approx(expected)
    assert top1.measured_by["probe"] == probe_fits.SOFTMAX
    assert found["auroc", scores.MEAN].value > 0.6 and ("auroc", "c0") in found


def test_attributes_that_are_no_classes_have_no_top1(learnable):
    found = measured(learnable, COLOURS)
    assert "top1" not in {row.metric for row in found}


@pytest.mark.parametrize("count", [2, 5, 6])
def test_there_is_a_top_k_only_of_more_than_k_classes(context, count):
    """Of k classes it is 1, whatever a code holds."""
    with_classes(context, count)
    found = measured(context, COLOURS)
    tops = {row.metric: row.value for row in found if row.metric.startswith("top")}
    assert list(tops) == [f"top{k}" for k in scores.TOP if k < count] and max(tops.values()) < 1


def test_of_many_classes_only_the_means_have_rows(context, monkeypatch):
    """And these are the same as with a row for each class."""
    monkeypatch.setattr(scores, "LISTED", 4)
    with_classes(context, 6)
    many = measured(context, COLOURS)
    monkeypatch.setattr(scores, "LISTED", 6)
    few = measured(context, COLOURS)
    assert {row.setting for row in many} == {"", scores.MEAN, scores.WEIGHTED}
    assert {row.note for row in many if row.setting} == {"of 6 attributes"}
    means = [row for row in few if row.setting in ("", scores.MEAN, scores.WEIGHTED)]
    for one, same in zip(many, means, strict=True):
        assert (one.metric, one.setting, one.value) == (same.metric, same.setting, same.value)
        assert one.stderr == pytest.approx(same.stderr, rel=1e-12)


def test_classes_with_too_few_training_images_are_counted(context):
    with_classes(context, 6)
    classes = context.dataset.classes.copy()
    train = context.dataset.indices("train")
    classes[train[classes[train] == 2][1:]] = 1
    context.dataset = replace(context.dataset, classes=classes)
    found = measured(context, COLOURS)
    [row] = [row for row in found if row.metric == "top1"]
    assert row.value and row.note == ("1 classes have fewer than two of the 90 training images")


def test_guesses_are_those_of_a_dummy_classifier(context):
    """One that predicts the shares of the classes among the test images."""
    with_classes(context, 6)
    found = list(rows(probes.BENCHMARK, context, [COLOURS]))
    chance = {(row.metric, row.setting): row for row in found if row.system == scores.CHANCE}
    assert 2 * len(chance) == len(found)
    x, y = split(context, "test")
    guesses = [DummyClassifier(strategy="prior").fit(x, column) for column in y.T]
    accuracy = [guess.score(x, column) for guess, column in zip(guesses, y.T, strict=True)]
    assert chance["accuracy", scores.MEAN].value == pytest.approx(np.mean(accuracy))
    assert chance["accuracy", "c2"].value == pytest.approx(accuracy[2])
    top1 = DummyClassifier(strategy="prior").fit(x, y.argmax(1)).score(x, y.argmax(1))
    assert chance["top1", ""].value == pytest.approx(top1)
    assert chance["ap", scores.MEAN].value == pytest.approx(y.mean())
    assert {row.value for (metric, _), row in chance.items() if metric == "auroc"} == {0.5}
    assert all(row.reference for row in chance.values())
    assert all(
        (row.stderr is None) == (row.metric not in ("top1", "top5")) for row in chance.values()
    )
