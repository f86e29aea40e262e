"""k-NN of codes against scikit-learn."""

from dataclasses import replace

import numpy as np
import pytest
from codes_of_factors import made, with_labels
from sklearn.metrics import accuracy_score, balanced_accuracy_score
from sklearn.neighbors import KNeighborsClassifier

from benchmarks.metrics.codes.data import Codes, LabelColumns, parts
from benchmarks.metrics.codes.invariant import neighbours
from benchmarks.metrics.codes.schema import named
from benchmarks.metrics.codes.table import measure
from diffae.system.errors import UserError

PLAIN, N = named("plain"), 400


@pytest.mark.parametrize(
    ("columns", "score"), [([6, 7], accuracy_score), ([0, 3, 5], balanced_accuracy_score)]
)
def test_plain_is_scikit_learns_with_the_k_that_is_best_on_validation_rows(columns, score):
    codes = with_labels(made("rotated", N, 1), columns)
    part = parts(codes, 0)
    train = codes.values[part.train]
    x, wanted, chosen = (codes.values - train.mean(0)) / train.std(0, ddof=1), [], set()
    for y in codes.labels.values.T:
        fits = {
            k: KNeighborsClassifier(k).fit(x[part.train], y[part.train])
            for k in neighbours.GRID
            if k <= len(part.train)
        }
        valid = {k: score(y[part.valid], fit.predict(x[part.valid])) for k, fit in fits.items()}
        best = max(valid, key=valid.get)
        chosen.add(best)
        wanted.append(score(y[part.test], fits[best].predict(x[part.test])))
    found = measure("knn", codes, PLAIN, 0)
    assert found.value == pytest.approx(np.mean(wanted))
    assert f"k = {', '.join(map(str, sorted(chosen)))}" in found.notes


def of_six_classes(n):
    codes = with_labels(made("rotated", n, 1), [6])
    labels = np.digitize(codes.values[:, :1] + codes.labels.values, [0, 1, 1.5, 2, 3]).astype(float)
    shifted = codes.values + 3 * np.eye(6)[0]
    return replace(codes, values=shifted, labels=LabelColumns(labels, ("six",), ("classes",)))


def of_classes(codes, *columns):
    names = tuple(f"l{place}" for place in range(len(columns)))
    return replace(
        codes, labels=LabelColumns(np.stack(columns, 1), names, ("classes",) * len(columns))
    )


@pytest.mark.parametrize("name", ["dino-knn", "dinov2-knn"])
def test_where_the_code_of_a_protocol_fails_there_is_a_reason(name):
    """DINO's narrows its predictions to five, DINOv2's takes torchmetrics' top 5: neither is defined of
    fewer classes. DINO's divides the test images into 100 chunks.
    """
    codes, protocol = of_six_classes(600), named(name)
    six, four = codes.labels.values[:, 0], codes.labels.values[:, 0] % 4
    assert len(np.unique(six)) == 6
    alone = measure("knn", codes, protocol, 0)
    both = measure("knn", of_classes(codes, four, six), protocol, 0)
    assert both.value == alone.value
    assert any(
        "fewer than 5 classes" in note and note.endswith("left out: l0") for note in both.notes
    )
    with pytest.raises(
        UserError, match="fails on labels of fewer than 5 classes, and there is no other label"
    ):
        measure("knn", of_classes(codes, four), protocol, 0)
    assert measure("knn", of_classes(codes, four), named("lightly-knn"), 0).value > 0
    few = codes.of(np.arange(180))
    if name == "dino-knn":
        with pytest.raises(UserError, match="fewer than 100 test images, and there are 90"):
            measure("knn", few, protocol, 0)
    with pytest.raises(UserError, match="k = 200 needs as many training rows"):
        measure("knn", few, named("lightly-knn"), 0)


@pytest.mark.parametrize(
    ("name", "k", "t"),
    [("dino-knn", 20, 0.07), ("dinov2-knn", 20, 0.07), ("lightly-knn", 200, 0.1)],
)
def test_the_protocols_are_weighted_votes_by_cosine(name, k, t):
    codes = of_six_classes(600)
    part, y = parts(codes, 0), codes.labels.values[:, 0]

    def weights(distances):  # 1 - cosine
        return np.exp((1 - distances) / t)

    fit = KNeighborsClassifier(k, weights=weights, metric="cosine")
    fit.fit(codes.values[part.fitted], y[part.fitted])
    predicted = fit.predict(codes.values[part.test])
    found = measure("knn", codes, named(name), 0)
    assert found.value == pytest.approx(accuracy_score(y[part.test], predicted), abs=1e-12)
    of_test_rows = np.sqrt(found.value * (1 - found.value) / (len(part.test) - 1))
    assert of_test_rows * (1 - 1e-9) < found.stderr < 1.3 * of_test_rows


@pytest.mark.parametrize("name", ["dino-knn", "dinov2-knn", "lightly-knn"])
def test_a_code_of_length_zero_has_the_cosine_0_with_every_code(name):
    """As in the three codes, which multiply it. All of them have one class, since they are as near."""
    codes = of_six_classes(600)
    y, how, part = codes.labels.values.copy(), named(name).section("knn"), parts(codes, 0)
    x = np.random.default_rng(0).normal(size=(600, 30))  # hardly a cosine is above a half
    zeros = part.fitted[::4]
    x[zeros], y[zeros] = 0, 0
    lengths = np.linalg.norm(x, axis=1, keepdims=True)
    x = x / np.where(lengths > 0, lengths, 1)
    cosines = x[part.test] @ x[part.fitted].T
    near = np.argsort(-cosines, axis=1)[:, : how.neighbours]
    votes = np.exp(np.take_along_axis(cosines, near, axis=1) / how.temperature)
    classes = y[part.fitted, 0][near]
    of_class = [(votes * (classes == c)).sum(axis=1) for c in range(6)]
    wanted = (np.argmax(of_class, axis=0) == y[part.test, 0]).mean()
    given = replace(codes, values=x, labels=replace(codes.labels, values=y))
    assert measure("knn", given, named(name), 0).value == pytest.approx(wanted, abs=1e-12)


def test_a_person_is_no_neighbour_of_themself_where_the_split_is_given():
    """Each has equal pictures in all parts, and a label that nothing else tells; apart, persons change nothing."""
    random, n = np.random.default_rng(0), 900
    who = np.arange(n) // 3
    y = random.integers(2, size=n // 3)[who, None].astype(float)
    x = random.normal(size=(n // 3, 5))[who]
    codes = Codes(x, LabelColumns(y, ("a",), ("binary",)), np.arange(n) % 3)
    assert measure("knn", codes, PLAIN, 0).value == 1
    one = measure("knn", replace(codes, persons=who), PLAIN, 0)
    assert abs(one.value - 0.5) < 4 * one.stderr
    z = x[::3] / x[::3].std(0)
    apart = np.linalg.norm(z[:, None] - z, axis=2) + 9 * np.eye(n // 3)
    fixed = PLAIN.changed("knn.neighbours", 1)
    one = measure("knn", replace(codes, persons=who), fixed, 0)
    assert one.value == balanced_accuracy_score(y[::3], y[::3][apart.argmin(1)])
    others = random.permutation(n)
    assert measure("knn", replace(codes, persons=others), PLAIN, 0).value == 1


def test_blocks_change_nothing(monkeypatch):
    codes = made("mixed", 200, 1)
    whole = measure("knn", codes, PLAIN, 0)
    monkeypatch.setattr(neighbours, "AT_ONCE", 1000)
    assert measure("knn", codes, PLAIN, 0) == whole


def test_it_is_blind_to_a_common_scale_an_order_and_a_dead_dimension():
    codes = made("rotated", N, 1)
    plain = measure("knn", codes, PLAIN, 0).value
    for x in (
        0.01 * codes.values + 3,
        codes.values[:, ::-1],
        np.pad(codes.values, ((0, 0), (0, 2))),
    ):
        assert measure("knn", replace(codes, values=x), PLAIN, 0).value == pytest.approx(plain)


def test_the_balanced_accuracy_of_noise_is_a_half_however_rare_the_label():
    codes = with_labels(made("noise", 2000, 1), [0, 5])  # rates of .88 and .12
    found = measure("knn", codes, PLAIN, 0)
    assert abs(found.value - 0.5) < 3.5 * found.stderr < 0.1
