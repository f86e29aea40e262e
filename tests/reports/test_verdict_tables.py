"""The gate's verdicts as tables by hand: what docs/numbers.md says, one condition after another.

Each case is two run folders with one number or two, and the command's verdict of them. Of each
conjunction every operand is false once while the others are true.
"""

import math
from dataclasses import dataclass, field, replace
from typing import Any

import in_process
import numpy as np
import pytest
from runs import changed, measured, number, write_run
from scipy import stats

from reports import compare

K = 200  # images
EVEN = np.tile([1.0, -1.0], K // 2) * math.sqrt((K - 1) / K)  # mean 0, standard deviation 1


@dataclass(frozen=True)
class Given:
    """A number of a run: the mean of K images, `spread` and the standard error of its difference to
    another with the same `images`; or without any error.
    """

    value: float | None
    metric: str = "ssim"
    error: float | None = 0.0
    images: str = "images:a"
    n: int = K
    system: str = "DiffAE"
    setting: str = ""
    reference: bool = False
    scale: float = 1.0  # of what both runs share
    states: bool = True  # in records.csv
    kept: bool = True  # in influences.npz


@dataclass(frozen=True)
class Side:
    numbers: tuple[Given, ...]
    protocol: dict[str, Any] = field(default_factory=lambda: {"seed": 0})
    influences: bool = True


SHARED = np.random.default_rng(3).normal(0, 0.1, K)


def write(folder, side):
    rows = []
    for one in side.numbers:
        row = number(
            "table",
            one.metric,
            None,
            system=one.system,
            setting=one.setting,
            n=one.n,
            reference=one.reference,
        )
        if one.value is None or one.error is None:
            rows.append(changed(row, value=one.value, note="" if one.value else "no value"))
            continue
        finite = one.value if math.isfinite(one.value) else 0.0
        images = one.scale * (SHARED - SHARED.mean()) + finite + one.error * math.sqrt(K) * EVEN
        row = changed(measured(row, images, one.images), value=one.value)
        if not one.states:
            row = changed(row, stderr=None)
        elif not one.kept:
            row = changed(row, stderr=row.stderr)
        rows.append(row)
    fields = {"benchmark": "reconstruction"} | side.protocol
    return write_run(folder, rows, side.influences, protocols={"p0": fields}, settings={})


@pytest.fixture
def gate(tmp_path):
    def run(base, new, *flags):
        """The exit status, the verdict of each number (one name where there is one), and the page."""
        sides = [s if isinstance(s, Side) else Side((s,)) for s in (base, new)]
        folders = [write(tmp_path / name, s) for name, s in zip("ab", sides, strict=True)]
        done = in_process.command(compare.main, *folders, "--all", *flags, cache=tmp_path)
        if done.returncode == 2:
            return 2, "refused", done.stderr
        table = [line.split("|") for line in done.stdout.splitlines() if line.startswith("| ")]
        found = [cells[1].strip() for cells in table[1:]]  # below the headers
        return done.returncode, " and ".join(found), " ".join(done.stdout.split())

    return run


def verdict(found):
    return found[:2]


WORSE, BETTER = (1, "regression"), (0, "improvement")
SAME, OPEN = (0, "same"), (0, "unresolved")
MARGIN = 0.0005  # of SSIM
T = 1.972  # two-sided 95 % of Student's t with 199 degrees of freedom; one-sided it is 1.653


# ----------------------------------------------------------------------------------------------
# Margin and chance


@pytest.mark.parametrize(
    ("change", "error", "expected"),
    [
        # beyond the margin, beyond chance; one of the two; none
        (-MARGIN - 1.70e-4, 1e-4, WORSE),
        (-MARGIN - 1.60e-4, 1e-4, OPEN),
        (-MARGIN + 1.90e-4, 1e-4, OPEN),
        (-MARGIN + 2.00e-4, 1e-4, SAME),
        (-MARGIN * 0.99, 1e-9, SAME),
        (-MARGIN * 1.01, 1e-9, WORSE),
        (-MARGIN * 3, 1.0, OPEN),
        (+MARGIN + 1.70e-4, 1e-4, BETTER),
        (+MARGIN + 1.60e-4, 1e-4, OPEN),
        (+MARGIN - 1.90e-4, 1e-4, OPEN),
        (+MARGIN - 2.00e-4, 1e-4, SAME),
        # the interval ends beyond one margin or the other
        (0.0, MARGIN / T * 0.99, SAME),
        (0.0, MARGIN / T * 1.01, OPEN),
        # no error of the difference: it is not due to chance
        (0.0, 0.0, SAME),
        (-MARGIN * 0.999, 0.0, SAME),
        (-MARGIN * 1.001, 0.0, WORSE),
        (+MARGIN * 1.001, 0.0, BETTER),
    ],
)
def test_margin_and_chance(gate, change, error, expected):
    assert verdict(gate(Given(0.9), Given(0.9 + change, error=error))) == expected


@pytest.mark.parametrize(
    ("metric", "base", "change", "expected"),
    [
        # MSE has a margin of 0.002 of the base: between those of base and new only the base's counts.
        ("mse", 1.0, +0.002002, WORSE),  # that of the new number is 0.002004
        ("mse", 1.0, +0.001999, SAME),
        ("mse", 1.0, -0.001998, SAME),  # that of the new number is 0.001996
        ("mse", 1.0, -0.002001, BETTER),
        ("mse", 4.0, +0.004, SAME),  # a margin of the value would be 0.002
        ("mse", 0.25, +0.001, WORSE),
        # of the size of a number that may be below zero
        ("kd_effnet", -0.01, +4e-6, SAME),
        ("kd_effnet", -0.01, +6e-6, WORSE),
        ("kd_effnet", -0.01, -6e-6, BETTER),
        # PSNR of the unit itself, higher is better
        ("psnr", 30.0, -0.0099, SAME),
        ("psnr", 30.0, -0.0101, WORSE),
        ("psnr", 30.0, +0.0101, BETTER),
        # no better direction: any change
        ("pixel_std", 0.5, +1e-6, (0, "changed")),
        ("pixel_std", 0.5, -1e-6, (0, "changed")),
        ("pixel_std", 0.5, 0.0, SAME),
    ],
)
def test_the_margin_is_the_baselines(gate, metric, base, change, expected):
    old, new = Given(base, metric, scale=1e-3), Given(base + change, metric, 1e-9, scale=1e-3)
    assert verdict(gate(old, new)) == expected


@pytest.mark.parametrize(
    ("t", "flags", "expected"),
    [
        (1.98, (), (0, "changed")),  # two-sided: 1.972
        (1.96, (), SAME),
        (-1.98, (), (0, "changed")),
        (2.5, ("--alpha", "0.01"), SAME),  # 2.601
        (2.7, ("--alpha", "0.01"), (0, "changed")),
    ],
)
def test_a_change_without_a_better_side_is_two_sided(gate, t, flags, expected):
    new = Given(0.5 + t * 1e-3, "pixel_std", 1e-3)
    assert verdict(gate(Given(0.5, "pixel_std"), new, *flags)) == expected


def several(*numbers):
    return Side(tuple(numbers))


@pytest.mark.parametrize(
    ("names", "ts", "expected"),
    [
        # One-sided p of Student's t: 1.70 is 0.045, 2.10 0.018, 2.30 0.011, 3 0.0015. Holm within a
        # family: the smallest p times two, then the other.
        ([("s", "x"), ("s", "y")], (1.70, 0), "unresolved and unresolved"),
        ([("s", "x"), ("s", "y")], (2.10, 1.70), "regression and regression"),
        ([("s", "x"), ("s", "y")], (2.10, 1.60), "regression and unresolved"),
        ([("s", "x"), ("s", "y")], (1.90, 1.90), "unresolved and unresolved"),
        # alpha is divided among families: systems, metrics, and means of a metric
        ([("s", "x"), ("t", "x")], (1.90, 3), "regression and unresolved"),
        ([("s", "x"), ("t", "x")], (2.10, 3), "regression and regression"),
        ([("s", "x"), ("s", "mean")], (1.90, 3), "regression and unresolved"),
        ([("s", "x"), ("s", "mean")], (2.10, 2.10), "regression and regression"),
        (
            [("s", "mean"), ("s", "prevalence-weighted mean")],
            (2.10, 1.70),
            "regression and regression",
        ),
    ],
)
def test_holm_within_a_family_and_alpha_divided_among_them(gate, names, ts, expected):
    base = [Given(0.9, system=s, setting=x) for s, x in names]
    new = [
        replace(b, value=0.9 - MARGIN - t * 1e-3, error=1e-3) for b, t in zip(base, ts, strict=True)
    ]
    assert gate(several(*base), several(*new))[1] == expected


# ----------------------------------------------------------------------------------------------
# Pairing


@pytest.mark.parametrize(
    ("images", "word"), [("images:a", "paired"), ("images:b", "lost"), ("persons:a", "lost")]
)
def test_equal_units_are_paired_and_others_are_not(gate, images, word):
    """The error of the difference of each image, or the root of the sum of both squares."""
    row = gate(Given(0.9), Given(0.85, error=0.00213, images=images))[2].partition(
        "| regression |"
    )[2]
    stated = float(row.partition("±")[2].partition("|")[0])
    noise = 0.00213 * math.sqrt(K) * EVEN
    apart = math.hypot(stats.sem(SHARED), stats.sem(SHARED + noise))
    assert stated == pytest.approx(0.00213 if word == "paired" else apart, rel=0.05)
    assert row.endswith(f"{'pairing ' * (word == 'lost')}{word} |")


@pytest.mark.parametrize(
    ("base", "new", "lost"),
    [
        (Side((Given(0.9),)), Side((Given(0.9),)), False),
        # the same seed, and the pairing is lost: without the file, or with other units
        (Side((Given(0.9),), influences=False), Side((Given(0.9),)), True),
        (Side((Given(0.9, images="images:b"),)), Side((Given(0.9),)), True),
        # another seed: nothing was shared
        (Side((Given(0.9),), {"seed": 1}, influences=False), Side((Given(0.9),)), False),
        (Side((Given(0.9, images="images:b"),), {"seed": 1}), Side((Given(0.9),)), False),
        # 0 is a seed, and none is not 0
        (Side((Given(0.9, images="images:b"),), {}), Side((Given(0.9),)), False),
        # an error that is known without units has no pairs to lose
        (
            Side((Given(0.9, "nn_pixels", kept=False),)),
            Side((Given(0.9, "nn_pixels", kept=False),)),
            False,
        ),
    ],
)
def test_where_the_pairing_is_lost(gate, base, new, lost):
    assert ("pairing is lost" in gate(base, new)[2]) == lost


# ----------------------------------------------------------------------------------------------
# Numbers that are none, or without an error


NONE = Given(0.9, error=None)
SET = replace(NONE, metric="fd_effnet")
GONE, NEW, NOT = (1, "missing"), (0, "new"), (0, "not compared")


@pytest.mark.parametrize(
    ("base", "new", "expected"),
    [
        (Given(0.9), Given(math.nan), WORSE),
        (Given(0.9), Given(math.inf), WORSE),
        (Given(0.9), Given(-math.inf), WORSE),
        (Given(0.9, "pixel_std"), Given(math.nan, "pixel_std"), WORSE),
        (Given(math.nan), Given(0.9), NOT),
        (Given(-math.inf), Given(math.nan), NOT),
        (Given(0.9), Given(None), GONE),
        (Given(None), Given(0.9), NEW),
        (Given(None), Given(None), SAME),
        (Given(math.nan), Given(None), NOT),
        (Given(0.0, scale=0), Given(0.0, scale=0), SAME),  # 0 is a value
        (Given(0.0, "mse", scale=0), Given(1e-9, "mse", scale=0), WORSE),
        (Given(0.0), Given(None), GONE),
        # without an error: exact with one seed, unless another draw would change it
        (NONE, replace(NONE, value=0.9 - 2 * MARGIN), WORSE),
        (NONE, replace(NONE, value=0.9 - MARGIN / 2), SAME),
        (NONE, replace(NONE, value=0.9 + 2 * MARGIN), BETTER),
        (SET, SET, SAME),
        (SET, replace(SET, value=1.9), NOT),
        (SET, replace(SET, value=0.1), NOT),
        (replace(NONE, metric="kd_effnet"), Given(1.9, "kd_effnet", None), WORSE),
        # n
        (Given(9.0, "fd_effnet"), Given(9.9, "fd_effnet", 1e-3, n=150), NOT),
        (Given(9.0, "fd_effnet"), Given(9.9, "fd_effnet", 1e-3), WORSE),
        (Given(9.0, "kd_effnet"), Given(9.9, "kd_effnet", 1e-3, n=150), WORSE),
        (Given(9.0, "mse"), Given(9.9, "mse", 1e-3, n=150), WORSE),
    ],
)
def test_numbers_that_are_none(gate, base, new, expected):
    assert verdict(gate(base, new)) == expected


@pytest.mark.parametrize(
    ("seeds", "expected"), [((0, 0), WORSE), ((0, 1), NOT), ((7, 7), WORSE), ((0, None), NOT)]
)
def test_a_number_without_an_error_is_compared_within_a_seed(gate, seeds, expected):
    sides = [
        Side((replace(NONE, value=v),), {} if seed is None else {"seed": seed})
        for v, seed in zip((0.9, 0.8), seeds, strict=True)
    ]
    assert verdict(gate(*sides)) == expected


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, "missing"),
        ({"reference": True}, "missing"),
        ({"system": "naive, n = 118"}, "missing"),
        ({"reference": True, "system": "naive, n = 118"}, "not compared"),
    ],
)
def test_a_row_that_is_gone(gate, change, expected):
    gone = replace(Given(0.9, "fd_effnet", system="naive"), **change)
    found = gate(several(Given(0.9), gone), several(Given(0.9)))
    assert sorted(found[1].split(" and ")) == sorted([expected, "same"])
    assert found[0] == (expected == "missing")
    assert gate(several(Given(0.9), gone), several(Given(0.9)), "--allow-missing")[0] == 0


LOST = Given(0.9, "fd_effnet", states=False)


@pytest.mark.parametrize(
    ("base", "new", "influences", "expected"),
    [
        # NEW lost the error that BASE has: refused, but of a share or a set in a whole folder
        (Given(0.9), Given(0.8, states=False), True, 2),
        (Given(0.9, "fd_effnet"), LOST, True, 0),
        (Given(0.9, "fd_effnet"), LOST, False, 2),
        (Given(0.9), Given(0.8, kept=False), True, 2),
        (Given(0.9), Given(0.8), False, 2),
        # nothing was lost
        (Given(0.9, states=False), Given(0.8), True, 1),
        (Given(0.9, states=False), Given(0.9, states=False), True, 0),
        (Given(0.9), Given(math.nan, states=False), True, 1),
        (Given(0.9), Given(None), True, 1),
    ],
)
def test_an_error_that_is_lost(gate, base, new, influences, expected):
    found = gate(Side((base,)), Side((new,), influences=influences))
    assert found[0] == expected, found


@pytest.mark.parametrize(
    ("protocols", "refused"),
    [
        (({"seed": 0}, {"seed": 0}), False),
        (({"seed": 0}, {"seed": 1}), False),
        (({"seed": 0, "model": "a"}, {"seed": 0, "model": "b"}), False),
        (({"seed": 0, "n": 0}, {"seed": 0}), True),
        (({"seed": 0, "split": ""}, {"seed": 0}), True),
        (({"seed": 0, "split": False}, {"seed": 0, "split": None}), True),
        (({"seed": 0, "n": 16}, {"seed": 0, "n": 17}), True),
    ],
)
def test_protocols_differ_in_seed_and_model_alone(gate, protocols, refused):
    sides = [Side((Given(0.9),), protocol) for protocol in protocols]
    assert (gate(*sides)[0] == 2) == refused
