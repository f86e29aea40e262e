"""Linear classifiers and regressions of codes, against scikit-learn, SciPy and closed forms."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from codes_of_factors import ROTATION, made
from scipy.stats import pearsonr
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import average_precision_score, r2_score, roc_auc_score
from sklearn.model_selection import KFold
from sklearn.preprocessing import StandardScaler

from benchmarks.metrics.codes.data import TEST, TRAIN, VALID, LabelColumns, parts
from benchmarks.metrics.codes.invariant import linear
from benchmarks.metrics.codes.schema import named
from benchmarks.metrics.codes.table import measure
from diffae.system.errors import UserError
from probes.scores import auc_influence

PLAIN, N = named("plain"), 300
SCORES = {"auroc": roc_auc_score, "ap": average_precision_score}


def mean_score(score, truth, logits):
    return np.mean([score(y, z) for y, z in zip(truth.T, logits.T, strict=True)])


def mean_r(truth, predicted):
    return np.mean([pearsonr(a, b)[0] for a, b in zip(truth.T, predicted.T, strict=True)])


def logits_of(x, y, fitted, C):
    scaled = (x - x[fitted].mean(0)) / x[fitted].std(0, ddof=1)
    fits = [LogisticRegression(C=C, tol=1e-8).fit(scaled[fitted], one[fitted]) for one in y.T]
    return np.stack([fit.decision_function(scaled) for fit in fits], axis=1)


@pytest.mark.parametrize("name", SCORES)
def test_a_probe_is_scikit_learns_with_the_c_that_is_best_on_validation_rows(name):
    codes = made("rotated", N, 1)
    codes = replace(codes, values=codes.values + 2 * np.random.default_rng(0).normal(size=(N, 6)))
    y, part = codes.labels.values[:, :6], parts(codes, 3)
    by_c = {C: logits_of(codes.values, y, part.train, C) for C in (1e-3, 1e-2, 1e-1, 1.0)}
    aucs = {c: mean_score(roc_auc_score, y[part.valid], z[part.valid]) for c, z in by_c.items()}
    wanted = by_c[max(aucs, key=aucs.get)]
    found = measure(name, codes, PLAIN, 3)
    assert found.n == len(part.test) == N / 2
    wanted = mean_score(SCORES[name], y[part.test], wanted[part.test])
    assert found.value == pytest.approx(wanted, abs=1e-4)


def test_infodiffusion_is_five_folds_of_a_default_logistic_regression():
    codes = made("rotated", N, 2)
    y, values, influence = codes.labels.values[:, :6], [], np.zeros((N, 6))
    for fitted, scored in KFold(5, shuffle=True, random_state=0).split(y):
        logits = logits_of(codes.values, y, fitted, 1.0)[scored]
        values.append(mean_score(roc_auc_score, y[scored], logits))
        for k in range(6):
            influence[scored, k] = auc_influence(logits[:, k], y[scored, k] > 0)[1] / 5
    found = measure("auroc", codes, named("infodiffusion"), seed=8)
    assert found.value == pytest.approx(np.mean(values), abs=1e-4) and found.n == N
    error = np.sqrt(np.square(influence.mean(1)).sum())
    assert found.stderr == pytest.approx(error, rel=1e-2)


@pytest.mark.parametrize("scaling", ["standardised", "none"])
def test_a_ridge_regression_is_scikit_learns(scaling):
    codes = made("rotated", N, 1)
    scale = np.array([1, 10, 0.1, 1, 1, 1])
    codes = replace(codes, values=codes.values * scale + 5)
    y, part = codes.labels.values[:, 9:], parts(codes, 0)
    x = codes.values
    x = StandardScaler().fit(x[part.train]).transform(x) if scaling == "standardised" else x
    fits = [Ridge(alpha).fit(x[part.train], y[part.train]) for alpha in 10.0 ** np.arange(-3, 6)]
    best = max(fits, key=lambda fit: r2_score(y[part.valid], fit.predict(x[part.valid])))
    protocol = PLAIN.changed("ridge.scaling", scaling)
    found = measure("ridge_r2", codes, protocol, 0)
    predicted = best.predict(x[part.test])
    assert found.value == pytest.approx(r2_score(y[part.test], predicted), abs=1e-10)
    protocol = PLAIN.changed("regression.scaling", scaling)
    best = max(fits, key=lambda fit: mean_r(y[part.valid], fit.predict(x[part.valid])))
    by_r = best.predict(x[part.test])
    r = mean_r(y[part.test], by_r)
    assert measure("pearson_r", codes, protocol, 0).value == pytest.approx(r, abs=1e-10)
    mse = np.square(by_r - y[part.test]).mean()
    assert measure("label_mse", codes, protocol, 0).value == pytest.approx(mse, abs=1e-10)


def test_the_script_of_diti_chooses_the_epoch_on_the_rows_that_it_scores():
    codes = made("noise", 200, 1)
    part = parts(codes, 0)
    y = codes.labels.values[:, 9:]
    mse = torch.nn.functional.mse_loss
    every = list(linear.epochs(codes.values, y, part.fitted, 0, mse, 64, True))
    assert len(every) == 15
    rs = [mean_r(y[part.test], one[part.test]) for one in every]
    found = measure("pearson_r", codes, named("diti"), 0)
    assert found.value == pytest.approx(max(rs)) and max(rs) > rs[-1]
    assert "chosen on the scored rows" in found.notes
    error = np.square(every[int(np.argmax(rs))] - y)[part.test].mean()
    assert measure("label_mse", codes, named("diti"), 0).value == pytest.approx(error)


def test_adam_is_torchs_in_batches_in_order():
    codes = made("aligned", N, 1)
    y, rows = codes.labels.values[:, :6], np.arange(40, 290)
    loss = torch.nn.functional.binary_cross_entropy_with_logits
    generator = torch.Generator().manual_seed(5)
    model = torch.nn.Linear(6, 6)
    for weight in model.parameters():
        torch.nn.init.uniform_(weight, -(6**-0.5), 6**-0.5, generator)
    adam = torch.optim.Adam(model.parameters(), 1e-3)
    x, target = torch.as_tensor(codes.values).float(), torch.as_tensor(y).float()
    for _ in range(15):
        for batch in (slice(40, 168), slice(168, 290)):
            adam.zero_grad()
            loss(model(x[batch]), target[batch]).backward()
            adam.step()
    *_, last = linear.epochs(codes.values, y, rows, 5, loss, 128, False)
    assert last == pytest.approx(model(x).detach().numpy(), abs=1e-6)


@pytest.mark.parametrize("name", ["auroc", "ap", "ridge_r2", "explicitness", "infoe", "cca"])
def test_permuted_scaled_doubled_and_dead_dimensions_change_nothing(name):
    codes = made("aligned", N, 4)
    x = codes.values
    plain = measure(name, codes, PLAIN, 0)
    order = np.random.default_rng(0).permutation(6)
    for other in (x[:, order], 0.01 * x, x * [1, 9, 0.1, 3, 1, 1] + 7):
        one = measure(name, replace(codes, values=other), PLAIN, 0)
        assert one.value == pytest.approx(plain.value, abs=1e-4)
        assert one.stderr == pytest.approx(plain.stderr, rel=1e-2)
    dead = np.hstack([x[:, :2], np.full((N, 1), 3.0), x[:, 2:]])
    one = measure(name, replace(codes, values=dead), PLAIN, 0)
    assert one.value == pytest.approx(plain.value, abs=1e-4)
    assert "constant dimensions left out: 1 of 7" in one.notes
    turned = measure(name, replace(codes, values=x @ ROTATION), PLAIN, 0)
    assert turned.value == pytest.approx(plain.value, abs=0.01)
    twice = measure(name, replace(codes, values=np.hstack([x, x])), PLAIN, 0)
    assert twice.value == pytest.approx(plain.value, abs=0.03 if name == "infoe" else 0.005)


@pytest.mark.parametrize("kind", ["noise", "heavy tails", "shuffled labels"])
def test_what_knows_nothing_is_at_chance(kind):
    codes = made("aligned" if kind == "shuffled labels" else "noise", 600, 1)
    labels = codes.labels
    if kind == "heavy tails":
        codes = replace(codes, values=codes.values**3)
    if kind == "shuffled labels":
        order = np.random.default_rng(0).permutation(600)
        codes = replace(codes, labels=replace(labels, values=labels.values[order]))
    found = measure("auroc", codes, PLAIN, 0)
    assert abs(found.value - 0.5) < 3.5 * found.stderr < 0.1
    found = measure("ridge_r2", codes, PLAIN, 0)
    assert -0.05 < found.value < 3.5 * found.stderr < 0.1


def test_the_split_of_the_file_is_kept_and_persons_are_in_one_part():
    codes = made("aligned", N, 1)
    split = np.repeat([TRAIN, VALID, TEST], [150, 50, 100])
    mine = replace(codes, split=split)
    found = measure("auroc", mine, PLAIN, 0)
    assert found.n == 100 and found == measure("auroc", mine, PLAIN, 1)
    assert measure("auroc", codes, PLAIN, 0) != measure("auroc", codes, PLAIN, 1)
    people = replace(codes, persons=np.arange(N) // 3)
    assert measure("auroc", people, PLAIN, 0).influences[0].units.startswith("persons:")


@pytest.mark.filterwarnings("error")
def test_a_fit_that_ends_early_is_a_note_of_its_number(monkeypatch):
    codes, protocol = made("aligned", N, 1), PLAIN.changed("auroc.chosen", "not")
    assert not any("L-BFGS" in note for note in measure("auroc", codes, protocol, 0).notes)
    monkeypatch.setattr(linear, "fit_lbfgs", partial(linear.fit_lbfgs, max_iter=2))
    (note,) = [x for x in measure("auroc", codes, protocol, 0).notes if "L-BFGS" in x]
    assert note.endswith(": the classifier is not fitted to the end")


def test_an_attribute_of_one_class_in_a_part_is_left_out_and_counted():
    codes = made("aligned", N, 1)
    split = np.repeat([TRAIN, VALID, TEST], [150, 50, 100])
    values = codes.labels.values.copy()
    values[split != TEST, 0] = 0
    values[split == TEST, 1] = 1
    codes = replace(codes, split=split, labels=replace(codes.labels, values=values))
    found = measure("auroc", codes, PLAIN, 0)
    assert "labels with one value in a part, left out: b0, b1" in found.notes
    kept = LabelColumns(values[:, 2:6], codes.labels.names[2:6], codes.labels.kinds[2:6])
    rest = measure("auroc", replace(codes, labels=kept), PLAIN, 0)
    assert found.value == pytest.approx(rest.value, abs=1e-3)
    none = LabelColumns(values[:, :1], ("b0",), ("binary",))
    with pytest.raises(UserError, match="every label is the same on all rows"):
        measure("auroc", replace(codes, labels=none), PLAIN.changed("auroc.chosen", "not"), 0)


def test_a_label_that_is_constant_where_choices_are_made_or_scored_has_no_say():
    codes = made("aligned", N, 1)
    split = np.repeat([TRAIN, VALID, TEST], [150, 50, 100])
    values = codes.labels.values.copy()
    values[split != TRAIN, 9] = 0.1  # whose mean is not exactly 0.1
    codes = replace(codes, split=split, labels=replace(codes.labels, values=values))
    rest = LabelColumns(values[:, 10:], codes.labels.names[10:], codes.labels.kinds[10:])
    for name in ("ridge_r2", "pearson_r"):
        found = measure(name, codes, PLAIN, 0)
        assert "labels with one value in a part, left out: r0" in found.notes
        alone = measure(name, replace(codes, labels=rest), PLAIN, 0)
        assert found.value == pytest.approx(alone.value)
        assert found.stderr == pytest.approx(alone.stderr)
