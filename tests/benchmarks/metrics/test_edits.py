"""Numbers of edits: closed forms, the same by other formulas, and their errors against the spread."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks.metrics import edits
from benchmarks.metrics.edits import (
    NUMBERS,
    direction_r2,
    leakage,
    mean_of,
    mean_over,
    measure,
    unheld,
)
from reports.records.uncertainty import by_group, error, of_mean

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


def mean(values):
    """A number that is a mean over pairs."""
    return measure("on_target", {"hits": values, "pairs": np.ones(len(values))})


def sums(x, changed, decoded, truth, y):
    return edits.sums_of(x, changed, decoded, truth, y)


def values(*given):
    found = sums(*given)
    return {name: measure(name, found).value for name in OF_IMAGES}


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
    given = sums(x, changed_in(x, 3), grey, grey, grey)
    kept = measure("kept", given)
    assert kept.value == 0
    for name in ("gain", "dose", "off_target", "leak_out"):
        found = measure(name, given)
        assert np.isnan(found.value) and np.isnan(found.influence).all() and found.why, name
    why = unheld(kept, by_group(kept.influence, np.arange(6), "persons"))
    assert why == "the code does not hold the attribute: kept 0.000 ± 0.000"


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
    found = sums(x, changed, x, changed, y)
    assert (found["n_inside"], found["n_outside"]) == (27, 120)
    assert measure("leak_out", found).value == pytest.approx((0.36 / 120) / (4 / 27))


def test_effectiveness_is_a_share_of_what_the_truth_reaches():
    given = {"hits": np.array([1, 0, 1, 0.0]), "hits_before": np.array([1, 0, 0, 0.0])}
    assert measure("effectiveness", given | {"hits_true": np.ones(4)}).value == pytest.approx(1 / 3)
    for blind in (given["hits_before"], np.zeros(4)):
        found = measure("effectiveness", given | {"hits_true": blind})
        assert np.isnan(found.value) and "sees no more" in found.why


def test_consistency_of_a_constant_encoder_is_the_step():
    step = np.array([1.0, 2.0, 4.0])
    assert measure("lec", {"missed": step, "step": step}).value == 1
    assert measure("lec", {"missed": np.array([1, 0, 0.0]), "step": step}).value == 1 / 7
    assert np.isnan(measure("lec", {"missed": 0 * step, "step": 0 * step}).value)


def moved(dose, logits, truth):
    """Sums of pairs of this dose, whose logits [n, A] an edit and the truth move."""
    n, along = len(truth), np.linspace(1, 2, len(truth))
    return {"along": dose * along, "true": along, "logits": logits, "logits_true": truth[:n]}


def test_the_code_of_the_truth_leaks_nothing():
    truth = np.random.default_rng(0).standard_normal((5, 4))
    signed, found = leakage(moved(1, truth, truth), np.ones((5, 4), bool))
    assert (signed == 0).all()
    assert (found["leak_mean"].value, found["leak_max"].value) == (0, 0)


def test_what_leaks_is_what_a_dose_of_the_truth_does_not_move():
    """Of half a dose and three attributes, of which the second falls by 0.6 and the third rises by 0.3."""
    truth = np.random.default_rng(0).standard_normal((5, 3))
    logits = 0.5 * truth + [0, -0.6, 0.3]
    signed, found = leakage(moved(0.5, logits, truth), np.ones((5, 3), bool))
    np.testing.assert_allclose(signed, [0, -0.6, 0.3], atol=1e-12)
    assert found["leak_mean"].value == pytest.approx(0.3)
    assert found["leak_max"].value == pytest.approx(0.6)


def test_pairs_whose_truth_changes_an_attribute_too_say_nothing_of_it():
    truth = np.zeros((4, 3))
    logits = np.array([[9, 1, 9], [9, 9, 9], [9, 2, 9], [9, 3, np.nan]])
    alone = np.array([[0, 1, 0], [0, 0, 0], [0, 1, 0], [0, 1, 1]], bool)
    signed, found = leakage(moved(1, logits, truth), alone)
    np.testing.assert_allclose(signed, [np.nan, 2, np.nan])
    assert found["leak_mean"].value == found["leak_max"].value == 2
    none = leakage(moved(1, logits, truth), alone & False)[1]["leak_max"]
    assert np.isnan(none.value) and none.why == "the true changes leave no other attribute alone"


def test_a_leak_of_0_reads_as_the_mean_size_of_an_error():
    """Of 8 and of 200 pairs of unit spread, and 39 attributes: sqrt(2 / pi n), and by simulation the largest."""
    rng, alone = np.random.default_rng(0), {n: np.ones((n, 39), bool) for n in (8, 200)}
    for n, largest in ((8, 0.88), (200, 0.176)):
        draws = rng.standard_normal((300, n, 39))
        found = [leakage(moved(1, d, 0 * d), alone[n])[1] for d in draws]
        mean, most = (np.mean([f[k].value for f in found]) for k in ("leak_mean", "leak_max"))
        assert mean == pytest.approx(np.sqrt(2 / np.pi / n), rel=0.03)
        assert most == pytest.approx(largest, rel=0.05)


def codes(n=12, d=5, seed=0):
    return np.random.default_rng(seed).normal(1, 1, (n, d))


def test_one_direction_is_1_and_random_ones_0_on_average():
    assert direction_r2(np.ones((4, 3))).value == pytest.approx(1)
    random = np.random.default_rng(0).standard_normal((4000, 5, 3))
    found = [direction_r2(steps).value for steps in random]
    assert abs(np.mean(found)) < 4 * np.std(found) / np.sqrt(4000)
    for none in (np.zeros((4, 3)), np.ones((1, 3))):
        assert np.isnan(direction_r2(none).value)


def test_a_direction_is_the_mean_product_of_the_moves_of_two_pairs():
    steps = codes()
    products = steps @ steps.T
    apart = products[~np.eye(12, dtype=bool)].mean() / np.diag(products).mean()
    assert direction_r2(steps).value == pytest.approx(apart)
    rotation = np.linalg.qr(codes(5, 5, 1))[0]
    before = codes(seed=2)
    moved = (before + steps) @ rotation * 3 + 7 - (before @ rotation * 3 + 7)
    assert direction_r2(moved).value == pytest.approx(apart)


def every(rng, n, people):
    """Sums of n pairs, of which those of one person are alike: x, x', r(x), r(x'), y of 12 numbers."""

    def drawn(scale):
        common = rng.standard_normal((people.max() + 1, 12))[people]
        return torch.from_numpy(scale * (common + rng.standard_normal((n, 12)))).reshape(n, 3, 2, 2)

    x, change = drawn(1), drawn(1)
    decoded, truth = x + drawn(0.2), x + 0.7 * change + drawn(0.2)
    y = decoded + 0.8 * (truth - decoded) + drawn(0.4)
    found = sums(x, x + change, decoded, truth, y)
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
    return found | shape, (truth - decoded).flatten(1).numpy() + 0.7


def estimates(found, steps):
    of_sums = {name: measure(name, found) for name in NUMBERS}
    alone = np.ones((len(steps), 4), bool) & [0, 1, 1, 1]
    return of_sums | {"direction_r2": direction_r2(steps), **leakage(found, alone)[1]}


def test_an_influence_is_the_number_without_the_pair():
    n = 9
    found, steps = every(np.random.default_rng(3), n, np.arange(n))
    whole = estimates(found, steps)
    for i in range(n):
        left = np.delete(np.arange(n), i)
        without = estimates({k: v[left] for k, v in found.items()}, steps[left])
        for name, one in whole.items():
            expected = np.sqrt((n - 1) / n) * (one.value - without[name].value)
            assert one.influence[i] == pytest.approx(expected, abs=1e-12), name
    found = mean(steps[:, 0])
    assert mean_over(steps[:, 0], "").value == pytest.approx(found.value)
    np.testing.assert_allclose(mean_over(steps[:, 0], "").influence, found.influence)
    assert found.value == pytest.approx(steps[:, 0].mean())
    np.testing.assert_allclose(found.influence, of_mean(steps[:, 0], "")[0].values)


def test_the_mean_of_numbers_of_the_same_pairs_has_their_covariance():
    one, other = mean(codes()[:, 0]), mean(codes()[:, 1])
    both, people = mean_of([one, other]), np.tile(np.arange(12), 2)
    found = error(by_group(both.influence * np.sqrt(24 / 23 * 11 / 12), people, ""))
    expected = of_mean(codes()[:, :2].mean(1), "")
    assert both.value == pytest.approx(codes()[:, :2].mean())
    assert found.stderr == pytest.approx(error(expected).stderr)


def test_too_few_people_say_nothing_of_what_is_held():
    kept = measure("kept", {"held": np.array([1.0, 1.1]), "change": np.ones(2)})
    assert "too few people" in unheld(kept, by_group(kept.influence, [1, 1], ""))
    known = by_group(kept.influence, [1, 2], "")
    assert unheld(kept, known) == ""
    for errors, is_held in ((1.9, False), (2.1, True)):
        one = replace(kept, value=errors * error(known).stderr)
        assert (unheld(one, known) == "") == is_held


def test_errors_are_the_spread_over_fresh_people():
    """Of 60 people with two pairs each, over 400 draws."""
    rng, people = np.random.default_rng(0), np.arange(120) // 2
    drawn = [estimates(*every(rng, 120, people)) for _ in range(400)]
    for name in drawn[0]:
        spread = np.std([one[name].value for one in drawn])
        of = [error(by_group(one[name].influence, people, "")) for one in drawn]
        assert np.mean([one.stderr for one in of]) == pytest.approx(spread, rel=0.12), name
