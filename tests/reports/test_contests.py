"""Who is compared with whom: of which n, at which setting, and beside which references."""

from dataclasses import replace

import numpy as np
import pytest
from runs import TABLE1, changed, number, table1, write_run

from reports.records.estimate import Estimate, Influence
from reports.records.metrics import METRICS
from reports.records.record import LOWER, NEITHER
from reports.records.specs import TableSpec
from reports.tables.build import read
from reports.tables.contests import (
    contests_of,
    told_together,
)
from reports.tables.ranking import (
    CLEAR,
    CODE,
    LEVEL,
    UNDECIDED,
    WITH_NOISE,
    at_largest_steps,
    groups_of,
    leading,
    own_best,
    size_of_code,
    sizes_of_codes,
)


def contested(records):
    """The main contest."""
    return next(iter(contests_of(records, METRICS)), None)


def fid(system, value, n=8, setting="", **more):
    given = {"n": n, "setting": setting, "direction": LOWER, "steps": None, "stderr": 0.0} | more
    return changed(table1(system, "fid", value), **given)


def names(held):
    return [r.system for r in held.systems]


@pytest.mark.parametrize(
    "records",
    [
        [],
        [fid("A", None)],
        [fid("A", float("nan"))],
        [fid("A", 1.0, reference=True)],
        [replace(fid("A", 1.0), direction=NEITHER)],
        [fid("A", 1.0, contest="another run")],
    ],
)
def test_without_a_system_that_was_measured_there_is_no_contest(records):
    assert contested(records) is None


@pytest.mark.parametrize(
    ("counts", "compared"),
    [
        ([8], 8), ([8, 8, 64], 8), ([64, 64, 8], 64), ([8, 64], 64), ([64, 8], 64),
        ([8, 8, 64, 64], 64), ([None, 8], 8), ([None, None, 8], None), ([0, None, 0], 0),
    ],
)  # fmt: skip
def test_a_metric_that_depends_on_n_is_compared_within_that_of_most_systems(counts, compared):
    """Of equally many the largest; a system with several settings counts once."""
    records = [fid(f"s{i}", 10.0 + i, n) for i, n in enumerate(counts)]
    records += [changed(r, setting="again", value=99.0) for r in records if r.n == 8]
    held = contested(records)
    assert names(held) == [f"s{i}" for i, n in enumerate(counts) if n == compared]
    others = {f"s{i}" for i, n in enumerate(counts) if n != compared}
    assert {r.system for r in held.of_other_n} == others
    sure = UNDECIDED if compared == 0 else CLEAR  # of no images
    assert {gap.standing for gap in held.others} <= {sure}


def test_the_numbers_of_a_system_told_together_are_of_one_setting():
    """That of the best number of the first metric; where it has no number at it, its own best."""
    spec = TableSpec(
        "t", "", "", rows=("system",), columns=("metric",), headline=("psnr", "latent_dim", "lpips")
    )
    given = {
        "psnr": (20.0, 25.0),
        "latent_dim": (3.0, 300.0),
        "lpips": (0.1, None),
        "ssim": (0.5, 0.6),
    }
    rows = [
        table1("A", metric, value, setting=setting, table="t")
        for metric, values in given.items()
        for setting, value in zip(("random", "inverted"), values, strict=True)
    ]
    others = {"setting": "", "table": "t"}
    rows += [table1("B", "latent_dim", 7.0, **others), table1("C", "psnr", 9.0, **others)]
    found = told_together(rows, [spec, replace(spec, name="u", source="u")], METRICS)
    told = [[(r.system, r.metric, r.setting, r.value) for r in column] for column in found]
    assert told == [
        [("A", "psnr", "inverted", 25.0), ("C", "psnr", "", 9.0)],
        [("A", "latent_dim", "inverted", 300.0), ("B", "latent_dim", "", 7.0)],
        [("A", "lpips", "random", 0.1)],
    ]


def test_a_metric_that_does_not_depend_on_n_is_compared_of_all():
    records = [table1(f"s{n}", "ssim", 0.5 - n / 1024, n=n) for n in (8, 64, 512)]
    held = contested(records)
    assert names(held) == ["s8", "s64", "s512"] and not held.of_other_n
    assert [gap.behind for gap in held.others] == pytest.approx([56 / 1024, 504 / 1024])


def test_each_system_is_taken_at_its_own_best_setting_and_the_best_is_first():
    records = [
        fid("A", 5.0, setting="a"), fid("A", 3.0, setting="b"),
        fid("B", 2.0, setting="b"), fid("B", 4.0, setting="a"),
        fid("C", float("nan"), setting="a"), fid("C", 9.0, setting="b"),
    ]  # fmt: skip
    held = contested(records)
    assert [(r.system, r.setting) for r in held.systems] == [("B", "b"), ("A", "b"), ("C", "b")]


@pytest.mark.parametrize(
    ("settings", "taken"),
    [
        ({"a": 9.0, "b": 1.0}, "a"),  # at the setting of the best system, though it is worse there
        ({"b": 5.0, "c": 1.0}, "c"),
        ({"c": 1.0, "b": 5.0}, "c"),
        ({"a": 9.0}, "a"),
    ],
)
def test_a_reference_is_taken_at_the_setting_of_the_best_system_if_it_has_it(settings, taken):
    records = [fid("A", 2.0, setting="a"), fid("B", 4.0, setting="b")]
    records += [fid("scale", v, setting=s, reference=True) for s, v in settings.items()]
    (reference,) = contested(records).scale
    assert reference.setting == taken


def test_references_of_another_n_are_none():
    records = [fid("A", 2.0), fid("few", 1.0, n=4, reference=True)]
    assert contested(records).scale == ()


@pytest.mark.parametrize("reference", [False, True])
def test_systems_that_were_measured_otherwise_do_not_compete(reference):
    records = [fid("A", 2.0), fid("B", 1.0, contest="another run", reference=reference)]
    held = contested(records)
    assert names(held) == ["A"] and not held.scale


def test_each_setting_is_taken_at_its_own_largest_T():
    """What has no T, as the size of a code, has that of its system's; data and splits have their own."""

    def at(steps, **more):
        return fid(more.pop("system", "A"), 1.0, steps=steps, **{"setting": "s"} | more)

    given = [
        at(10), at(100), at(10, setting="t"), at(0, setting="u"),
        at(10, dataset="d"), at(20, split="train"), at(None, metric="latent_dim"),
        at(None, setting="v"), at(None, system="B"), at(1000, system="C"),
    ]  # fmt: skip
    found = [
        (r.system, r.setting, r.dataset, r.split, r.steps, r.metric)
        for r in at_largest_steps(given)
    ]
    d, s, m = given[0].dataset, given[0].split, "fid"
    assert found == [
        ("A", "s", d, s, 100, m), ("A", "t", d, s, 10, m), ("A", "u", d, s, 0, m),
        ("A", "s", "d", s, 10, m), ("A", "s", d, "train", 20, m), ("A", "s", d, s, 100, "latent_dim"),
        ("A", "v", d, s, None, m), ("B", "s", d, s, None, m), ("C", "s", d, s, 1000, m),
    ]  # fmt: skip


def sources(**counts):
    """Influences so small that any difference is beyond noise, of so many units of each kind."""
    return tuple(
        Influence(f"{kind}:x", np.resize([1e-6, -1e-6], count)) for kind, count in counts.items()
    )


@pytest.mark.parametrize(
    ("metric", "n", "stderr", "influences", "behind", "standing"),
    [
        ("fid", 5, 0.1, (), 1.0, CLEAR),
        ("fid", 5, 1.0, (), 1.0, LEVEL),
        ("fid", 4, 0.1, (), 1.0, UNDECIDED),
        ("fid", 1, None, (), 1.0, UNDECIDED),
        ("fid", 500, None, (), 1.0, UNDECIDED),
        ("fid", 500, None, (), 0.0, LEVEL),  # the same number
        ("fid", None, 0.1, (), 1.0, CLEAR),
        ("fid", 500, None, sources(persons=5), 1.0, CLEAR),
        ("fid", 500, None, sources(persons=4), 1.0, UNDECIDED),
        ("fid", 500, None, sources(seeds=3, blocks=20), 1.0, CLEAR),
        ("fid", 500, None, sources(seeds=3, blocks=4), 1.0, UNDECIDED),
        ("fid", 500, None, sources(draws=2), 1.0, CLEAR),
        ("parameters", 1, None, (), 1.0, CLEAR),  # exact
        ("images_per_second", 1, None, (), 1.0, UNDECIDED),
    ],
)
def test_what_a_difference_decides(metric, n, stderr, influences, behind, standing):
    """In the verdict, in bold type, and in what a table of a paper prints bold."""
    best = replace(fid("A", 2.0, n, stderr=stderr), metric=metric)
    rivals = [best, changed(best, system="B", value=2.0 + behind)]
    if influences:
        others = tuple(replace(part, units=f"{part.units}, of B") for part in influences)
        rivals = [
            replace(r, estimate=Estimate(r.value, own, n=n))
            for r, own in zip(rivals, (influences, others), strict=True)
        ]
    held = contested(rivals)
    assert held.others[0].standing == standing
    assert leading(rivals) == (rivals[:1] if standing == CLEAR else [])


def test_bold_are_those_that_are_not_clearly_behind_and_never_all_of_them():
    values = {"A": (2.0, 50), "B": (3.0, 4), "C": (4.0, 50)}
    rivals = [fid(s, value, 50, stderr=0.1) for s, (value, _) in values.items()]
    few = changed(rivals[1], n=4, metric="mse")
    rivals = [replace(r, metric="mse") for r in rivals]
    assert leading([rivals[0], few, rivals[2]]) == [rivals[0], few]
    assert contested([rivals[0], few, rivals[2]]).bold == [rivals[0], few]
    assert leading([rivals[0], few]) == []


def ssim(system, value, setting="", **more):
    return table1(system, "ssim", value, **{"setting": setting, "stderr": 0.0} | more)


@pytest.mark.parametrize(
    ("random", "others", "expected"),
    [
        # without inverted noise; and with it, in a contest of its own
        (0.4, {"mine": ""}, [("mine", "mine"), ("DiffAE", "")]),
        (0.6, {"mine": ""}, [("DiffAE", "DiffAE"), ("DiffAE", "")]),
        (None, {"mine": ""}, [("mine", ""), ("DiffAE", "")]),
        (0.4, {"DDIM": "x_T inverted"}, [("DiffAE", ""), ("DiffAE", "DiffAE")]),
        (
            None,
            {"DDIM": "x_T inverted", "PDAE": "x_T inverted", "mine": ""},
            [("mine", ""), ("DiffAE", "DiffAE")],
        ),
        # there are only such
        (None, {"DDIM": "x_T inverted"}, [("DiffAE", "DiffAE")]),
    ],
)
def test_a_code_with_inverted_noise_is_never_best_over_a_smaller_one(random, others, expected):
    """Each contest by its best system, and those in bold."""
    rows = [ssim("DiffAE", 0.95, "x_T inverted")]
    rows += [ssim("DiffAE", random, "x_T random")] if random else []
    rows += [ssim(name, 0.5, setting) for name, setting in others.items()]
    held = contests_of(rows, METRICS)
    contests = [(c.best.system, "".join(r.system for r in c.bold)) for c in held]
    assert contests == expected and contested(rows) == held[0]
    assert [c.group for c in held] == [CODE, WITH_NOISE][-len(held) :]
    assert {r for c in held for r in c.bold} == {
        r for group in groups_of(rows, (), METRICS) for r in leading(group)
    }
    taken = own_best(rows)
    assert [r.setting for r in taken if r.system == "DiffAE"] == [
        "x_T random" if random else "x_T inverted"
    ]


def test_the_noise_of_an_edit_is_known_by_its_protocol_and_its_code_is_as_large(tmp_path):
    """Whose setting does not say it."""
    sizes = {"x_T random": 256.0, "x_T inverted": 3328.0}
    rows = [number(TABLE1, "latent_dim", v, setting=s) for s, v in sizes.items()]
    rows.append(number(TABLE1, "latent_dim", 64.0, system="mine"))
    protocols = {"p0": {"inversion_steps": None}, "p1": {"inversion_steps": 10}}
    edits = [("DiffAE", 0.9, "p1"), ("mine", 0.8, "p0"), ("DiffAE z", 0.7, "p0")]
    rows += [
        number(
            "appendix_g_identity", "arcface", value, system=system, setting="Male 0.8",
            protocol=protocol, benchmark="identity", stderr=0.0,
        )
        for system, value, protocol in edits
    ]  # fmt: skip
    merged = read([write_run(tmp_path / "run", rows, protocols=protocols)])
    (headline,) = (h for h in merged.headlines if h.benchmark == "identity")
    ((main, beside),) = headline.contests
    assert names(main) == ["mine", "DiffAE z"] and names(beside) == ["DiffAE"]
    assert main.bold == [main.best] and beside.bold == []
    codes = sizes_of_codes(merged.rows)
    assert [size_of_code(r, codes) for r in (*main.systems, *beside.systems)] == [64, None, 3328]


def test_nothing_is_bold_where_one_system_is_ahead_of_itself_alone():
    """The best of the settings of one system is no winner; nor do they decide between two systems."""
    rows = [fid("A", 1.0, setting="a"), fid("A", 9.0, setting="b")]
    assert leading(rows) == []
    level = fid("B", 1.1, setting="a", stderr=1.0)
    assert leading([*rows, level]) == []
    behind = fid("C", 5.0, setting="b")
    assert leading([*rows, level, behind]) == [rows[0], level]
