"""Numbers of edits: closed forms, the same by other formulas, and their errors against the spread."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks.metrics.edits import (
    NUMBERS,
    EditedPairs,
    EditSums,
    beyond_truth,
    estimate_edit,
    estimate_mean_edit,
    number_of,
    unheld,
)
from benchmarks.metrics.units import Units
from benchmarks.tasks.edits.decoded import sums_of
from reports.records.estimate import Estimate, influences_on_mean

LEVEL = 2 / 255
OF_IMAGES = ("kept", "gain", "dose", "off_target", "leak_out")


def images(n=6, seed=0, side=8):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, 3, side, side), generator=generator) * LEVEL - 1


def changed_in(x, rows):
    """The images with other colours in the first rows."""
    changed = x.clone()
    changed[:, :, :rows] = -x[:, :, :rows]
    return changed


def pairs_of(people=None, alone=None, **sums):
    """Pairs with these sums [n], each of a person of its own unless `people` [n] are given."""
    n = len(next(iter(sums.values())))
    return EditedPairs(EditSums(**sums, alone=alone), Units("images", np.arange(n), people))


def some_of(pairs, rows):
    return EditedPairs(pairs.sums.at(rows), pairs.units.at(rows))


def hits(values, people=None):
    """Pairs of which a number is the mean of values."""
    return pairs_of(people, hits=values, pairs=np.ones(len(values)))


def values(*images):
    sums = sums_of(*images)
    return {name: number_of(name, sums) for name in OF_IMAGES}


def test_the_code_is_the_image_and_the_edit_is_the_truth():
    x = images()
    changed = changed_in(x, 3)
    found = values(x, changed, x, changed, changed)
    assert found == pytest.approx(
        {"kept": 1, "gain": 1, "dose": 1, "off_target": 0, "leak_out": 0}, abs=1e-12
    )


def test_a_decoder_that_ignores_its_code_is_undefined_and_not_perfect():
    x = images()
    grey = torch.zeros_like(x)
    sums = sums_of(x, changed_in(x, 3), grey, grey, grey)
    assert number_of("kept", sums) == 0
    pairs = pairs_of(**sums.arrays)
    estimates = [estimate_edit(pairs), estimate_edit(replace(pairs, silenced=""))]
    for name in ("gain", "dose", "off_target", "leak_out"):
        unheld, undefined = (each[name] for each in estimates)
        assert np.isnan(number_of(name, sums)) and (unheld.value, unheld.influences) == (None, ())
        assert unheld.why == "the code does not hold the attribute: kept 0.000 ± 0.000", name
        assert undefined.value is None and undefined.why == NUMBERS[name].undefined != "", name


def test_nothing_done_twice_as_far_and_the_wrong_way():
    x = images()
    changed = changed_in(x, 3)
    decoded, truth = 0.5 * x, 0.5 * changed
    nothing = values(x, changed, decoded, truth, decoded)
    assert nothing["gain"] == 0 and nothing["dose"] == 0 and np.isnan(nothing["off_target"])
    far = values(x, changed, decoded, truth, 2 * truth - decoded)
    assert far == pytest.approx(
        {"kept": 0.5, "gain": 0, "dose": 2, "off_target": 0, "leak_out": 0}, abs=1e-6
    )
    wrong = values(x, changed, decoded, truth, 2 * decoded - truth)
    assert (wrong["gain"], wrong["dose"]) == pytest.approx((-3, -1))


def test_gain_is_what_dose_and_off_target_leave():
    """g = 1 - (1 - dose)^2 - off |D|^2 / |D*|^2, and off is the residual of a regression of D on D*."""
    x, y = images(), images(seed=1)
    changed = changed_in(x, 5)
    found = values(x, changed, x, changed, y)
    moved, true = (y - x).double().flatten().numpy(), (changed - x).double().flatten().numpy()
    slope, residual = np.linalg.lstsq(true[:, None], moved, rcond=None)[:2]
    assert found["dose"] == pytest.approx(slope[0])
    assert found["off_target"] == pytest.approx(residual[0] / (moved @ moved))
    share = found["off_target"] * (moved @ moved) / (true @ true)
    assert found["gain"] == pytest.approx(1 - (1 - found["dose"]) ** 2 - share)


def test_a_large_change_weighs_more_than_a_small_one():
    """A ratio of sums: of a change of 1 that is kept and one of 1/10 that is lost, nearly all is kept."""
    x = torch.zeros(2, 3, 4, 4)
    changed = torch.stack([torch.ones(3, 4, 4), 0.1 * torch.ones(3, 4, 4)])
    truth = torch.stack([changed[0], x[1]])
    assert values(x, changed, x, truth, truth)["kept"] == pytest.approx(1 / 1.01)


def test_what_leaks_is_by_place_and_counted_by_its_area():
    """One pixel changes by 2, and with its neighbours 9 of 49 are inside; the edit moves another by 0.6.
    A change of one level is none.
    """
    x = torch.zeros(1, 3, 7, 7)
    changed = x.clone()
    changed[:, 1, 3, 3], changed[:, 0, 6, 6] = 2, LEVEL
    y = changed.clone()
    y[:, 2, 0, 0], y[:, 2, 2, 2] = 0.6, 0.9
    y[:, 0, 6, 6] = 0
    sums = sums_of(x, changed, x, changed, y)
    assert (sums.n_inside, sums.n_outside) == (27, 120)
    assert number_of("leak_out", sums) == pytest.approx((0.36 / 120) / (4 / 27))


def test_effectiveness_is_a_share_of_what_the_truth_reaches():
    given = {"hits": np.array([1, 0, 1, 0.0]), "hits_before": np.array([1, 0, 0, 0.0])}
    seen = estimate_edit(pairs_of(**given, hits_true=np.ones(4)))["effectiveness"]
    assert seen.value == pytest.approx(1 / 3)
    for blind in (given["hits_before"], np.zeros(4)):
        estimate = estimate_edit(pairs_of(**given, hits_true=blind))["effectiveness"]
        assert estimate.value is None and "sees no more" in estimate.why


def test_consistency_of_a_constant_encoder_is_the_step():
    step = np.array([1.0, 2.0, 4.0])
    assert number_of("lec", EditSums(missed=step, step=step)) == 1
    assert number_of("lec", EditSums(missed=np.array([1, 0, 0.0]), step=step)) == 1 / 7
    assert np.isnan(number_of("lec", EditSums(missed=0 * step, step=0 * step)))


def moved(dose, logits, truth, alone=None):
    """Pairs of this dose, whose logits [n, A] an edit and the truth move; the truth leaves all alone."""
    along, alone = (
        np.linspace(1, 2, len(truth)),
        np.ones(truth.shape, bool) if alone is None else alone,
    )
    sums = {"along": dose * along, "true": along, "logits": logits, "logits_true": truth}
    return pairs_of(alone=alone, **sums)


def test_the_code_of_the_truth_leaks_nothing():
    truth = np.random.default_rng(0).standard_normal((5, 4))
    pairs = moved(1, truth, truth)
    assert (beyond_truth(pairs.sums) == 0).all()
    estimates = estimate_edit(pairs)
    assert (estimates["leak_mean"].value, estimates["leak_max"].value) == (0, 0)


def test_what_leaks_is_what_a_dose_of_the_truth_does_not_move():
    """Of half a dose and three attributes, of which the second falls by 0.6 and the third rises by 0.3."""
    truth = np.random.default_rng(0).standard_normal((5, 3))
    logits = 0.5 * truth + [0, -0.6, 0.3]
    pairs = moved(0.5, logits, truth)
    np.testing.assert_allclose(beyond_truth(pairs.sums), [0, -0.6, 0.3], atol=1e-12)
    estimates = estimate_edit(pairs)
    assert estimates["leak_mean"].value == pytest.approx(0.3)
    assert estimates["leak_max"].value == pytest.approx(0.6)


def test_pairs_whose_truth_changes_an_attribute_too_say_nothing_of_it():
    truth = np.zeros((4, 3))
    logits = np.array([[9, 1, 9], [9, 9, 9], [9, 2, 9], [9, 3, np.nan]])
    alone = np.array([[0, 1, 0], [0, 0, 0], [0, 1, 0], [0, 1, 1]], bool)
    pairs = moved(1, logits, truth, alone)
    np.testing.assert_allclose(beyond_truth(pairs.sums), [np.nan, 2, np.nan])
    estimates = estimate_edit(pairs)
    assert estimates["leak_mean"].value == estimates["leak_max"].value == 2
    none = estimate_edit(moved(1, logits, truth, alone & False))["leak_max"]
    assert none.value is None and none.why == "the true changes leave no other attribute alone"


def test_a_leak_of_0_reads_as_the_mean_size_of_an_error():
    """Of 8 and of 200 pairs of unit spread, and 39 attributes: sqrt(2 / pi n), and by simulation the largest."""
    rng = np.random.default_rng(0)
    for n, largest in ((8, 0.88), (200, 0.176)):
        draws = rng.standard_normal((300, n, 39))
        leaks = [np.abs(beyond_truth(moved(1, draw, 0 * draw).sums)) for draw in draws]
        mean, most = np.mean(leaks), np.mean([sizes.max() for sizes in leaks])
        assert estimate_edit(moved(1, draws[0], 0 * draws[0]))["leak_max"].value == leaks[0].max()
        assert mean == pytest.approx(np.sqrt(2 / np.pi / n), rel=0.03)
        assert most == pytest.approx(largest, rel=0.05)


def codes(n=12, d=5, seed=0):
    return np.random.default_rng(seed).normal(1, 1, (n, d))


def direction_r2(steps):
    return number_of("direction_r2", EditSums(steps=steps))


def test_one_direction_is_1_and_random_ones_0_on_average():
    assert direction_r2(np.ones((4, 3))) == pytest.approx(1)
    random = np.random.default_rng(0).standard_normal((4000, 5, 3))
    shares = [direction_r2(steps) for steps in random]
    assert abs(np.mean(shares)) < 4 * np.std(shares) / np.sqrt(4000)
    for none in (np.zeros((4, 3)), np.ones((1, 3))):
        assert np.isnan(direction_r2(none))


def test_a_direction_is_the_mean_product_of_the_moves_of_two_pairs():
    steps = codes()
    products = steps @ steps.T
    apart = products[~np.eye(12, dtype=bool)].mean() / np.diag(products).mean()
    assert direction_r2(steps) == pytest.approx(apart)
    rotation = np.linalg.qr(codes(5, 5, 1))[0]
    before = codes(seed=2)
    moved = (before + steps) @ rotation * 3 + 7 - (before @ rotation * 3 + 7)
    assert direction_r2(moved) == pytest.approx(apart)


def every(rng, n, people):
    """n pairs, of which those of one person are alike: x, x', r(x), r(x'), y of 12 numbers."""

    def drawn(scale):
        common = rng.standard_normal((people.max() + 1, 12))[people]
        return torch.from_numpy(scale * (common + rng.standard_normal((n, 12)))).reshape(n, 3, 2, 2)

    x, change = drawn(1), drawn(1)
    decoded, truth = x + drawn(0.2), x + 0.7 * change + drawn(0.2)
    y = decoded + 0.8 * (truth - decoded) + drawn(0.4)
    found = sums_of(x, x + change, decoded, truth, y).arrays
    share = rng.random(people.max() + 1)[people]
    hits = {"hits_before": 0.1, "hits_true": 0.9, "hits": 0.6}
    found |= {k: (0.5 * (rng.random(n) + share) < p).astype(float) for k, p in hits.items()}
    step = drawn(1).flatten(1).norm(dim=1).numpy()
    found |= {"step": step, "missed": step * (0.3 + 0.4 * share)}
    shape = {
        "inside": found["true"],
        "outside": found["moved"],
        "n_inside": 1 + share,
        "n_outside": 2 + share,
    }
    found |= {"returned": share * (share > 0.3), "inverts": (share > 0.3).astype(float)}
    found |= {
        "logits": drawn(1).flatten(1).numpy()[:, :4] + [0, 1, 2, 4],
        "logits_true": truth[:, 0].flatten(1).numpy(),
    }
    found |= {"identity": share + decoded[:, 0, 0, 0].numpy()}
    found |= {"steps": (truth - decoded).flatten(1).numpy() + 0.7}
    return pairs_of(people, np.ones((n, 4), bool) & [0, 1, 1, 1], **found | shape)


def test_an_influence_is_the_number_without_the_pair():
    n = 9
    pairs = every(np.random.default_rng(3), n, np.arange(n))
    whole = estimate_edit(pairs)
    assert whole.keys() == NUMBERS.keys()
    for i in range(n):
        without = estimate_edit(some_of(pairs, np.delete(np.arange(n), i)))
        for name, estimate in whole.items():
            expected = np.sqrt((n - 1) / n) * (estimate.value - without[name].value)
            assert estimate.influences[0].values[i] == pytest.approx(expected, abs=1e-12), name
    scores = pairs.sums.identity
    assert whole["arcface"].value == pytest.approx(scores.mean())
    (source,) = whole["arcface"].influences
    np.testing.assert_allclose(source.values, influences_on_mean(scores, "")[0].values)


def test_pairs_without_a_face_are_left_out_and_counted():
    scores = np.array([0.5, np.nan, 0.7, np.nan])
    some = pairs_of(identity=scores, pairs=np.ones(4))
    estimate = estimate_edit(some)["arcface"]
    assert (estimate.value, estimate.n) == (pytest.approx(0.6), 2)
    assert estimate.notes == ("no face found in 2 of 4 pairs",)
    none = some_of(some, np.array([1, 3]))
    estimate = estimate_edit(none)["arcface"]
    assert (estimate.value, estimate.n) == (None, None)
    assert estimate.why == "no face found in 2 of 2 pairs"
    mean = estimate_mean_edit([none, some])["arcface"]
    assert (mean.value, mean.n) == (pytest.approx(0.6), 2)
    assert mean.notes == ("of 1 of 2 edits", "no face found in 2 of 4 pairs")


def test_the_mean_of_numbers_of_the_same_pairs_has_their_covariance():
    people = np.arange(12)
    edits = [hits(codes()[:, k], people) for k in range(2)]
    mean = estimate_mean_edit(edits)["on_target"]
    expected = Estimate(None, influences_on_mean(codes()[:, :2].mean(1), ""))
    assert (mean.value, mean.n) == (pytest.approx(codes()[:, :2].mean()), 24)
    of_12_people = np.sqrt(24 / 23 * 11 / 12)
    assert mean.stderr * of_12_people == pytest.approx(expected.stderr)
    assert len(mean.influences[0].values) == 12 and mean.notes == ()


def test_an_attribute_that_the_code_does_not_hold_is_no_part_of_a_mean():
    ones = np.ones(3)
    sums = {"change": ones, "true": ones, "missed": ones, "step": 2 * ones}
    kept = pairs_of(held=np.array([0.5, 0.6, 0.5]), along=0.9 * ones, **sums)
    lost = pairs_of(held=0 * ones, along=9 * ones, **sums)
    mean, none = estimate_mean_edit([kept, lost]), estimate_mean_edit([lost])
    dose = mean["dose"]
    assert (dose.value, dose.n, dose.notes) == (pytest.approx(0.9), 3, ("of 1 of 2 edits",))
    assert (none["dose"].value, none["dose"].why) == (None, "defined for no edit")
    assert (mean["lec"].value, mean["lec"].n, mean["lec"].notes) == (0.5, 6, ())


def test_too_few_people_say_nothing_of_what_is_held():
    sums = {"held": np.array([1.0, 1.1]), "change": np.ones(2), "steps": np.ones((2, 1))}
    assert "too few people" in pairs_of(np.array([1, 1]), **sums).unheld
    pairs = pairs_of(np.array([1, 2]), **sums)
    kept = estimate_edit(pairs)["kept"]
    assert pairs.unheld == unheld(kept) == ""
    for errors, is_held in ((1.9, False), (2.1, True)):
        assert (unheld(replace(kept, value=errors * kept.stderr)) == "") == is_held


def test_errors_are_the_spread_over_fresh_people():
    """Of 60 people with two pairs each, over 400 draws."""
    rng, people = np.random.default_rng(0), np.arange(120) // 2
    drawn = [estimate_edit(every(rng, 120, people)) for _ in range(400)]
    for name in drawn[0]:
        spread = np.std([estimates[name].value for estimates in drawn])
        stated = np.mean([estimates[name].stderr for estimates in drawn])
        assert stated == pytest.approx(spread, rel=0.12), name
