"""What differs between the settings of two runs, as flags of the command line."""

import pytest

from reports.records.settings import changes

IMAGES, STEPS = "reconstruction.images", ("reconstruction.steps", "cost.steps", "samples.steps")


def settings(profile="quick", limit=None, changed=(), flags=(), **values):
    """Settings of a run: `values` by section__name."""
    sections = {}
    for name, value in values.items():
        section, _, field = name.partition("__")
        sections.setdefault(section, {})[field] = value
    about = {"name": profile, "limit": limit, "changed": list(changed), "sections": sections}
    return {"profile": about, **dict(flags)}


def steps(*values):
    return {name.replace(".", "__"): value for name, value in zip(STEPS, values, strict=True)}


@pytest.mark.parametrize(
    ("base", "new", "expected"),
    [
        (settings(a__x=1), settings(a__x=1), []),
        (settings(a__x=1), settings(a__x=2), ["--set a.x=2 against 1"]),
        (settings(a__x=0), settings(a__x=None), ["--set a.x=None against 0"]),
        (settings(b__x=1, a__y=1), settings(b__x=2, a__y=2),
         ["--set a.y=2 against 1", "--set b.x=2 against 1"]),
        (settings(), settings("smoke"), ["profile smoke against quick"]),
        (settings(a__x=1), settings("smoke", a__x=2), ["profile smoke against quick"]),
        (settings(a__x=2, changed=["a.x"]), settings("smoke", a__x=1),
         ["profile smoke against quick", "--set a.x=1 against 2"]),
        (settings(a__x=1), settings("smoke", a__x=2, changed=["a.x"]),
         ["profile smoke against quick", "--set a.x=2 against 1"]),
        (settings(limit=None), settings(limit=9), ["--limit 9 against none"]),
        (settings(limit=9), settings(limit=None), ["--limit none against 9"]),
        (settings(limit=9, a__x=1), settings(limit=8, a__x=2), ["--limit 8 against 9"]),
        (settings(**steps(1, 1, 1)), settings(**steps(2, 2, 2)), ["--steps 2 against 1"]),
        (settings(**steps(1, 1, 1)), settings(**steps(2, 3, 2)),
         ["--set cost.steps=3 against 1", "--steps 2 against 1"]),
        (settings(**steps(1, 1, 1)), settings(**steps(1, 2, 1)), ["--set cost.steps=2 against 1"]),
    ],
)  # fmt: skip
def test_profiles_of_one_name_and_limit_differ_by_their_settings(base, new, expected):
    """Where the name or the limit differs, it says why all counts do."""
    assert list(changes(base, new)) == expected


@pytest.mark.parametrize(
    "flag", ["data", "crop", "device", "precision", "attributes", "weights_dir"]
)
def test_flags_that_decide_a_number_are_told_where_both_runs_have_them(flag):
    typed = flag.replace("_", "-")
    base, new, bare = (settings(flags={flag: value}) for value in ("a", "b", "a"))
    assert list(changes(base, new)) == [f"--{typed} b against a"]
    assert list(changes(base, bare)) == list(changes(base, settings())) == []
    assert list(changes(settings(), new)) == []


@pytest.mark.parametrize("name", ["seed", "systems", "checkpoints", "benchmarks"])
def test_what_may_differ_between_runs_is_no_change(name):
    assert not list(changes(settings(flags={name: 0}), settings(flags={name: 1})))
