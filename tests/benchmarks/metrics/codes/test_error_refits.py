"""Standard errors of numbers of codes that are measured again without blocks, or by several fits, from
their definition, to a millionth, each of their parts being most of it in turn.
"""

from dataclasses import replace

import numpy as np
import pytest
from error_parts import by_blocks, over, protocol, slope
from factor_codes import labelled, table
from scipy.stats import rankdata
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import mutual_info_score, roc_auc_score

from benchmarks.metrics.codes import dci
from benchmarks.metrics.codes.data import TEST, TRAIN, VALID, Codes, LabelColumns
from benchmarks.metrics.codes.errors import blocks_of
from benchmarks.metrics.codes.invariant.curves import bits, code_length, few_labels
from benchmarks.metrics.codes.schema import NUMBERS
from benchmarks.metrics.codes.table import measure

# Blocks that are left out --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["viv", "viv_by_class", "code_fd", "epps_pulley", "density_cv"])
@pytest.mark.parametrize(
    ("spread", "persons"),
    [(1.0, False), (3.0, True)],  # of codes: white ones, or far from normal
)
def test_the_error_of_the_space_is_that_without_each_block(name, persons, spread):
    """Of persons the blocks are of unlike size."""
    random, n = np.random.default_rng(0), 560
    x = np.exp(random.normal(size=(n, 4)) * (spread - 1) / 3) + random.normal(size=(n, 4))
    labels = LabelColumns(
        random.integers(2, size=(n, 2)).astype(float), ("a", "b"), ("binary",) * 2
    )
    who = np.sqrt(np.arange(n) * 20).astype(int) if persons else None
    how = protocol(name, **{"slices": 16} if name == "epps_pulley" else {})
    codes = Codes(x, labels, persons=who)
    blocks, found = blocks_of(codes), measure(name, codes, how, 0)
    rest = [np.flatnonzero(blocks != block) for block in range(20)]
    without = [measure(name, codes.of(rows), how, 0).value for rows in rest]
    value = found.value
    if name == "epps_pulley":  # n times the distance, less what normal codes have of it
        distances = [(v - 1) * 1.0525 / len(rows) for v, rows in zip(without, rest, strict=True)]
        value, without = (value - 1) * 1.0525, [n * one for one in distances]
    wanted = by_blocks(value, without, blocks) / (1.0525 if name == "epps_pulley" else 1)
    assert found.stderr == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize(
    ("rows", "persons"), [("held out", True), ("five folds", True), ("in-sample", False)]
)
def test_the_error_of_tad_is_of_its_dimensions_without_each_block(rows, persons):
    random, n = np.random.default_rng(0), 400
    factors = random.normal(size=(n, 3))
    y = (factors > 0.3).astype(float)
    x = factors @ (np.eye(3) + 0.4) + 0.8 * random.normal(size=(n, 3))
    x[:, 1] *= -1
    who = np.arange(n) // 3 if persons else None
    codes = labelled(x, y, persons=who)
    chosen = "fitted rows" if rows == "held out" else "scored rows"
    how = protocol("tad", rows=rows, chosen=chosen)
    folds = NUMBERS["tad"].section(rows=rows).folds(codes, 0)
    pairs = []
    for part in folds:
        areas = np.array(
            [[roc_auc_score(k[part.fitted], j[part.fitted]) for j in x.T] for k in y.T]
        )
        best = np.argsort(-np.maximum(areas, 1 - areas), axis=1)[:, :2]
        scored = part.test if rows == "held out" else part.fitted
        signs = np.where(np.take_along_axis(areas, best, 1) < 0.5, -1, 1)
        pairs.append((scored, best, signs))

    def value(kept, captured=None):
        folds = []
        for fold, (scored, best, signs) in enumerate(pairs):
            some = scored[kept[scored]]
            areas = np.array([[roc_auc_score(y[some, k], s * x[some, j]) for j, s in zip(best[k], signs[k], strict=True)] for k in range(3)])  # fmt: skip
            of = areas[:, 0] >= 0.75 if captured is None else captured[fold]
            folds.append((of, (areas[of, 0] - areas[of, 1]).sum()))
        return [of for of, _ in folds], np.mean([sums for _, sums in folds])

    captured, whole = value(np.ones(n, bool))
    assert all(of.any() for of in captured)
    found, blocks = measure("tad", codes, how, 0), blocks_of(codes)
    without = [value(blocks != block, captured)[1] for block in range(20)]
    assert found.value == pytest.approx(whole, abs=1e-9)
    assert found.stderr == pytest.approx(by_blocks(whole, without, blocks), rel=1e-6)


@pytest.mark.parametrize("noise", [0.5, 2.0])  # little chance in the information, and half of it
def test_the_error_of_information_is_without_each_block_and_its_chance(noise):
    """The chance of fewer rows is larger, as 1 / n."""
    random, n = np.random.default_rng(0), 300
    y = random.integers(4, size=(n, 3)).astype(float)
    x = y[:, [0, 1, 2, 0]] + noise * random.normal(size=(n, 4))
    codes = labelled(x, y, persons=np.arange(n) // 2)
    labels, blocks = y.astype(int), blocks_of(codes)
    bins = ((rankdata(x, axis=0) - 0.5) / n * 20).astype(int)
    draws = np.random.default_rng([0, n])
    draws.permutation(n)

    def information(z, of):
        return np.array([[mutual_info_score(j, f) for f in of.T] for j in z.T])

    chance = np.mean([information(bins, draws.permutation(labels)) for _ in range(20)], axis=0)
    assert (chance.max() > 0.3 * information(bins, labels).max()) == (noise == 2.0)

    def amounts(kept):
        """The information without that of chance, and its share of the entropy of a label."""
        less = chance * n / kept.sum()
        amount = information(bins[kept], labels[kept]) - less
        entropy = np.array([mutual_info_score(f, f) for f in labels[kept].T])
        return amount, amount / (entropy - less)

    whole = amounts(np.ones(n, bool))
    without = [amounts(blocks != block) for block in range(20)]
    first = np.argsort(-whole[1], axis=0, kind="stable")[:2]

    def value(name, amount, share):
        positive = np.maximum(share, 0)
        if name == "mig":
            best = np.take_along_axis(share, first, 0)
            return (best[0] - best[1]).mean()
        if name == "modularity":
            squares = np.maximum(amount, 0) ** 2
            top = squares.max(1)
            return np.mean(
                1 - (squares.sum(1) - top) / (2 * np.where(top > 0, top, 1)) - (top == 0)
            )
        axis = 1 if name == "infom" else 0
        least = 1 / share.shape[axis]
        return ((positive.max(axis) / positive.sum(axis)).mean() - least) / (1 - least)

    for name in ("mig", "modularity", "infom", "infoc"):
        choices = {} if name == "mig" else {"active": "all"}
        found, expected = measure(name, codes, protocol(name, **choices), 0), value(name, *whole)
        assert found.value == pytest.approx(expected, abs=1e-9), name
        wanted = by_blocks(expected, [value(name, *of_rest) for of_rest in without], blocks)
        assert found.stderr == pytest.approx(wanted, rel=1e-6), name


@pytest.mark.parametrize("rows", ["held out", pytest.param("five folds", marks=pytest.mark.slow)])
def test_the_error_of_dci_is_that_of_fits_without_each_block(rows, monkeypatch):
    """Of three blocks, whose sizes differ; `dci_c` depends on what the last one has, too."""
    monkeypatch.setattr(dci.axes, "FEW", 3)
    y = table((2, 2), copies=15)
    x = y + 0.6 * np.random.default_rng(0).normal(size=y.shape)
    codes = labelled(x, y, persons=np.sqrt(np.arange(60) * 8).astype(int))
    blocks, values = blocks_of(codes, 3), []
    for block in (None, 0, 1, 2):
        each = []
        for part in dci.Dci(rows=rows).folds(codes, 0):
            fitted, scored = (of[blocks[of] != block] for of in (part.fitted, part.test))
            fits = [GradientBoostingClassifier(random_state=0).fit(x[fitted], f[fitted]) for f in y.T]  # fmt: skip
            right = [fit.score(x[scored], f[scored]) for fit, f in zip(fits, y.T, strict=True)]
            each.append(np.array([[*fit.feature_importances_, r] for fit, r in zip(fits, right, strict=True)]).T)  # fmt: skip
        values.append(np.mean([dci.scores(fold) for fold in each], axis=0))
    scored = np.unique(np.concatenate([p.test for p in dci.Dci(rows=rows).folds(codes, 0)]))
    for name, (whole, *without) in zip(dci.GROUPS[0].metrics, np.transpose(values), strict=True):
        found = measure(name, codes, protocol(name, rows=rows), 0)
        assert found.value == pytest.approx(whole) and found.stderr > 0
        wanted = by_blocks(whole, without, blocks[scored])
        assert found.stderr == pytest.approx(wanted, rel=1e-6), name


# Several fits, votes, pairs ------------------------------------------------------------------------


@pytest.mark.parametrize("fits", [True, False])  # which part is most of the error
@pytest.mark.parametrize("persons", [False, True])
def test_the_error_by_few_labels_is_over_scored_images_and_over_draws(fits, persons):
    random, scored = np.random.default_rng(0), 3000 if fits else 80
    n, count = 200 + scored, 16 if fits else 100
    y = (random.uniform(size=(n, 2)) < [0.5, 0.3]).astype(float)
    x = random.normal(size=(n, 5)) + y @ random.normal(size=(2, 5))
    split = np.repeat([TRAIN, VALID, TEST], [150, 50, scored])
    who = np.arange(n) // 3 if persons else None
    codes = Codes(x, LabelColumns(y, ("a", "b"), ("binary",) * 2), split, who)
    (found,) = few_labels(codes, 0, (count,), 4).values()
    curves = [few_labels(codes, 0, (count,), k) for k in (1, 2, 3, 4)]
    means = [curve[f"{count:,} labels"].value for curve in curves]
    values = np.diff(np.arange(5) * [0.0, *means])
    influence, areas = np.zeros(scored), []
    for draw in range(4):
        rows = np.random.default_rng([0, count, draw]).choice(200, count, replace=False)
        z = (x - x[rows].mean(0)) / x[rows].std(0, ddof=1)
        for k in range(2):
            fit = LogisticRegression(tol=1e-10, max_iter=5000).fit(z[rows], y[rows, k])
            logits, truth = fit.decision_function(z[-scored:]), y[-scored:, k] > 0
            above = (logits[truth][:, None] > logits[~truth]).astype(float)
            p, q = above.shape
            areas.append(above.mean())
            influence[truth] += (above.mean(1) - above.mean()) / (p * (p - 1)) ** 0.5 / 8
            influence[~truth] += (above.mean(0) - above.mean()) / (q * (q - 1)) ** 0.5 / 8
    assert values == pytest.approx(np.reshape(areas, (4, 2)).mean(1), abs=1e-5)
    of_images = over(influence, np.arange(scored) if who is None else who[-scored:]) ** 2
    of_draws = np.var(values, ddof=1) / 4
    assert (of_draws > 2 * of_images) == fits and (of_images > 2 * of_draws) != fits
    assert found.stderr == pytest.approx((of_images + of_draws) ** 0.5, rel=1e-3)  # of the fits
    # and to a millionth from our own fits
    ours, by_draws = (source.variance for source in found.influences)
    assert by_draws == pytest.approx(of_draws, rel=1e-6)
    assert found.stderr == pytest.approx((ours + of_draws) ** 0.5, rel=1e-6)
    assert ours == pytest.approx(of_images, rel=1e-2)


@pytest.mark.parametrize("fits", [True, False])
def test_the_error_of_a_code_length_is_over_images_and_over_orders(fits):
    """Of 24 images of four persons, 8 are coded by a fit: which, depends on the order."""
    random, n = np.random.default_rng(1), 24 if fits else 400
    y = (random.uniform(size=(n, 2)) < [0.5, 0.4]).astype(float)
    codes = Codes(random.normal(size=(n, 6)), LabelColumns(y, ("a", "b"), ("binary",) * 2))
    who = np.arange(n) % 4 if fits else np.arange(n) // 2
    codes, orders = replace(codes, persons=who), 2
    found = code_length(codes, 0, orders)["code_length"]
    each = np.array([bits(codes, np.random.default_rng([0, one])) for one in range(orders)])
    of_image = each.mean((0, 2))
    of_images = over((of_image - of_image.mean()) / (n * (n - 1)) ** 0.5, who) ** 2
    of_orders = np.var(each.mean((1, 2)), ddof=1) / orders
    assert (of_orders > of_images) == fits
    assert found.value == pytest.approx(each.mean())
    assert found.stderr == pytest.approx((of_images + of_orders) ** 0.5, rel=1e-6)


@pytest.mark.parametrize("name", ["factor_vae", "beta_vae"])
@pytest.mark.parametrize("tables", [1, 3])
@pytest.mark.parametrize("votes", [True, False])  # which part is most of the error, of three tables
def test_the_error_of_votes_is_of_votes_and_of_tables(name, tables, votes):
    random, y = np.random.default_rng(0), table((3, 3), copies=8)
    seed = 3 if name == "factor_vae" else 2
    x = y + random.normal(size=y.shape)
    few = {"batch": 8, "train": 400, "test": 10 if votes else 3000, "images": "all" if votes else "held out"}  # fmt: skip
    found = measure(name, labelled(x, y), protocol(name, tables=tables, **few), seed)
    one = protocol(name, tables=1, **few)
    scores = [measure(name, labelled(x, y), one, seed * tables + k).value for k in range(tables)]
    value = np.mean(scores)
    of_votes = value * (1 - value) / (tables * few["test"])
    of_tables = np.var(scores, ddof=1) / tables if tables > 1 else 0.0
    assert found.value == pytest.approx(value) and (tables == 1 or np.ptp(scores))
    assert tables == 1 or (of_votes > of_tables) == votes
    assert found.stderr == pytest.approx(max(of_votes, of_tables) ** 0.5, rel=1e-6)


@pytest.mark.parametrize("name", ["rankme", "participation"])
@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize("pairs", [True, False])  # of equally strong dimensions, and of unlike ones
@pytest.mark.parametrize("size", [1, 3])  # pictures of a person
def test_the_error_of_a_rank_is_of_images_and_of_pairs(name, centred, pairs, size):
    random, n, d = np.random.default_rng(0), 240, 6
    x = random.normal(size=(n // size, d)).repeat(size, axis=0)
    x = np.sign(x) if pairs else x * np.arange(1, d + 1) ** 1.5
    x += 0.1 * random.normal(size=(n, d)) + (not centred and not pairs)
    who = np.arange(n) // size
    codes = Codes(x, persons=who if size > 1 else None)

    def of(values):
        share = np.sqrt(values) / np.sqrt(values).sum()
        if name == "rankme":
            return np.exp(-(share * np.log(share)).sum())
        return values.sum() ** 2 / np.square(values).sum()

    def variance(rows):
        """The jackknife over persons, eigenvalues by their slopes with a person's weight."""
        z = x[rows] - x[rows].mean(0) * centred
        whole, units = np.linalg.eigvalsh(z.T @ z), np.unique(who[rows])
        without = []
        for unit in units:
            own = z[who[rows] == unit]
            moment = z.T @ z
            by = slope(lambda k, own=own, m=moment: np.linalg.eigvalsh(m + 1e-3 * k * own.T @ own))
            without.append(of(whole - by / 1e-3))
        position = np.searchsorted(units, who[rows])
        return by_blocks(of(whole), without, position) ** 2

    halves, every = blocks_of(codes, 2), np.arange(n)
    v = variance(every)
    w = np.mean([variance(every[halves == half]) for half in (0, 1)])
    found = measure(name, codes, protocol(name, centred=centred), 0)
    wanted = max((6 * v - w) / 4, v / 2)
    assert (w > 3 * v) == pairs  # 4 V of pairs, and 2 V of images
    assert found.stderr == pytest.approx(wanted**0.5, rel=1e-6)
