"""The mutations that `tests/faults.py --changed` plants, on small texts and small repositories."""

import subprocess
import sys
from collections import Counter

import pytest
from fault_trees import commit, copy_runner
from planting import changed
from planting.kinds import KINDS
from planting.mutations import applied, mutations
from planting.source import Source


def mutants(body, kind=None, defaults=None):
    """What a function of this body is changed to: the bodies, by kind."""
    head = "import numpy as np\ndef f(a, b, c, x, y, *args):\n    "
    source = Source(f"{head}{body}\n")
    unit = source.tree.body[1]
    found = [(m.kind, applied(source, m)) for m in mutations(source, unit, defaults)]
    made = [(k, new) for k, new in found if new is not None and kind in (None, k)]
    return [new.removeprefix(head).rstrip("\n") for _, new in made]


@pytest.mark.parametrize(
    ("kind", "body", "expected"),
    [
        ("operator", "return a + b * c", ["a - (b * c)", "a + (b / c)"]),
        ("operator", "return -(a // b) ** 2", ["((a // b) ** 2)", "-(a / b) ** 2", "-((a // b) * 2)"]),
        ("operator", "return a and not (b or c)", ["a or not (b or c)", "a and (b or c)", "a and not (b and c)"]),
        ("operator", "a  += 1\n    return a", ["a  -= 1\n    return a"]),
        ("comparison", "return 0 <= a < b", ["0 < a < b", "0 <= a <= b"]),
        ("comparison", "return a is  not None", ["a is None"]),
        ("comparison", "return a not in b != c", ["a in b != c", "a not in b == c"]),
        ("constant", "return a[3:, True]", ["a[4:, True]", "a[6:, True]", "a[0:, True]", "a[3:, False]"]),
        ("constant", "return 1", ["2", "0"]),
        ("constant", "return a == 'x', {'y': 'z'}, b['w']", ["a == \"x_\", {'y': 'z'}, b['w']", "a == 'x', {\"y_\": 'z'}, b['w']", "a == 'x', {'y': 'z'}, b[\"w_\"]"]),
        ("term", "return (a - b) * c", ["(a - b)", "c", "(a) * c", "(-b) * c"]),
        ("element", "return {a: b, **c}, [x, y], {x}", ["{**c}, [x, y], {x}", "{a: b}, [x, y], {x}", "{a: b, **c}, [y], {x}", "{a: b, **c}, [x], {x}", "{a: b, **c}, [x, y], {}"]),
        ("element", "return a[0, 1], (1, 2), (a, 2)", ["a[0, 1], (2), (a, 2)", "a[0, 1], (1), (a, 2)"]),
        ("element", "return x[1:y:-1]", ["x[:y:-1]", "x[1::-1]", "x[1:y:]"]),
        ("call", "return sorted(a, key=b), np.sqrt(a + b), a.b.clamp(0, 1), g(a)", ["a, np.sqrt(a + b), a.b.clamp(0, 1), g(a)", "sorted(a, key=b), (a + b), a.b.clamp(0, 1), g(a)", "sorted(a, key=b), np.sqrt(a + b), a.b, g(a)"]),
        ("operator", "return max(a, key=b.argmin)", ["min(a, key=b.argmin)"]),
        ("argument", "return g(a, b=1, *args, c=2)", ["g(a, *args, c=2)", "g(a, b=1, *args)"]),
        ("argument", "return g(b=1, c=2)", ["g(c=2)", "g(b=1)"]),
        ("swap", "return g(a, b, x=x, y=y)", ["g(b, a, x=x, y=y)", "g(a, b, x=y, y=x)"]),
        ("swap", "return isinstance(a, b), g('x', a), g(a, *args), g(a, a)", []),
        ("falsy", "return x if x is not None else y", ["x if bool(x) else y", "(x or y)"]),
        ("condition", "return x if (y := a) else b", []),
        ("condition", "return x if a else b", ["x if True else b", "x if False else b"]),
        ("falsy", "return y if x is None else x", ["y if (not x) else x", "(x or y)"]),
        ("axis", "return a.mean(1), b.sum(dim=-1), g(1)", ["a.mean(0), b.sum(dim=-1), g(1)", "a.mean(-1), b.sum(dim=-1), g(1)", "a.mean(1), b.sum(dim=0), g(1)"]),
        ("dtype", "return a.double() + g(np.float64, 'float64')", ["a.float() + g(np.float64, 'float64')", "a.double() + g(np.float32, 'float64')", "a.double() + g(np.float64, \"float32\")"]),
        ("operands", "return a - (b + c) / x", ["((b + c) / x) - a", "a - (x / (b + c))"]),
        ("condition", "return [a for a in b if a and c]", ["[a for a in b if True]", "[a for a in b if True and c]", "[a for a in b if a and True]"]),
        ("condition", "return a or b", ["False or b", "a or False"]),
        ("correction", "return a.std(ddof=1) + b.var(correction=0)", ["a.std(ddof=0) + b.var(correction=0)", "a.std(ddof=1) + b.var(correction=1)"]),
    ],
)  # fmt: skip
def test_each_kind_of_mutation(kind, body, expected):
    made = sorted(text.removeprefix("return ") for text in mutants(body, kind))
    assert made == sorted(expected)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("g(a)", ["pass"]),
        ("b = a", ["pass"]),
        ("z = a", []),
        ("z, b = a, x", []),
        ("z = a\n    z += b", ["z = a\n    pass"]),
        ("a.b = c", ["pass"]),
        ("if a:\n        return b", ["pass"]),
        ("if a:\n        return b\n    else:\n        return c", []),
        ("raise ValueError(a + 1)", ["pass"]),
        ("with a(), b(x):\n        return c", ["if True:\n        return c"]),
        ("with a() as z:\n        return z", []),
        ("for z in a:\n        continue", ["for z in a:\n        pass"]),
    ],
)
def test_statements_that_can_be_left_out(body, expected):
    assert mutants(body, "statement") == expected


@pytest.mark.parametrize(
    "body",
    [
        '"""1 + 1"""',
        "return f'{a + 1}'",
        "assert a + 1 == 2, b or c",
        "log.info('%s', a + 1)",
        "warnings.warn(a + 1, stacklevel=2)",
        "z: list[1 + 1] = a",
        "from a import b",
        "return zip(a, a, strict=True)",
        "return 'x' + a, a / 'y'",
    ],
)
def test_texts_and_annotations_are_left_alone(body):
    assert not mutants(body)


def test_what_is_raised_or_printed_is_only_left_out():
    assert mutants("raise ValueError(a + 1, b=2)") == mutants("print(a + 1, b=2)") == ["pass"]


def test_an_argument_without_a_default_stays():
    assert not mutants("return g(a=1)", "argument", {"g": frozenset({"b"})})
    assert mutants("return g(a=1)", "argument", {"g": frozenset({"a"})}) == ["return g()"]


def test_only_the_changed_node_s_text_changes():
    body = "y = g( a+b,  # é\n      x [0] )  # why\n    return  (y)"
    new = [text for text in mutants(body) if "- " in text]
    assert new == [body.replace("a+b", "a - b")]


def test_all_kinds_are_described():
    lines = (
        "a + b < 1 and c.sum(0, ddof=1)",
        "g(x, y, b=1)",
        "np.float64, {x: sorted(y)}",
        "(x is None) - [y for y in a if y]",
    )
    text = "def f():\n" + "".join(f"    g({line})\n" for line in lines)
    source = Source(text)
    assert {m.kind for m in mutations(source, source.tree.body[0])} == set(KINDS)


# ----------------------------------------------------------------------------------------------
# What changed, and a sample of it

OLD = {
    "diffae/a.py": "X = 1\n\ndef same(a):\n    return a + 1\n\ndef moved(a):\n    return a + 2\n\ndef other(a):\n    return a + 3\n",
    "diffae/gone.py": "class C:\n    size: int = 2\n\n    def kept(self):\n        return 1\n\n    def new(self):\n        return 2\n",
}
NEW = {
    "diffae/a.py": 'X = 2\n\n\ndef same(\n    a,\n):\n    """New."""\n    return a + 1  # new\n\n\ndef other(a):\n    return a + 4\n',
    "diffae/b.py": "import os\n\n\ndef moved(a):\n    return a + 2\n",
    "reports/c.py": "class C:\n    size: int = 3\n\n    def kept(self):\n        return 1\n\n    def new(self):\n        def inner():\n            return 3\n        return inner\n",
}  # fmt: skip


def test_functions_with_another_body_are_what_changed(tmp_path):
    commit(tmp_path, OLD)
    for name in OLD:
        (tmp_path / name).unlink()
    commit(tmp_path, NEW)
    files = changed.files_of(tmp_path)
    found = changed.changed(changed.files_at("HEAD^", tmp_path), files)
    assert files == NEW
    names = {path: [(unit.name, unit.lines) for unit in those] for path, those in found.items()}
    assert names == {
        "diffae/a.py": [("", range(1, 13)), ("other", range(11, 13))],
        "reports/c.py": [("C", range(1, 11)), ("C.new", range(7, 11))],
    }


def test_an_unknown_commit_is_refused(tmp_path):
    commit(tmp_path, OLD)
    with pytest.raises(ValueError, match="nowhere"):
        changed.files_at("nowhere", tmp_path)


LONG = "def long(a):\n" + "".join(f"    a.x{k} = {k} + 7\n" for k in range(10))
SHORT = "def short(a, b):\n    return a < b\n\n\ndef mixed(a, b):\n    return g(a + 2 + 3 + 4 + 5, a < b)\n"


def drawn(files, count, seed=0):
    found = changed.sample(files, changed.changed({}, files), count, seed)
    return [(each.unit, each.mutation.kind, each.text) for each in found]


def test_a_sample_depends_on_the_seed_and_holds_nothing_twice():
    files = {"diffae/a.py": LONG + "\n\n" + SHORT}
    one = drawn(files, 20)
    assert one == drawn(files, 20) and len(set(one)) == 20
    assert one[:10] == drawn(files, 10)
    assert set(one) != set(drawn(files, 20, seed=1))
    whole = drawn(files, None)
    assert len(set(whole)) == len(whole) and set(one) < set(whole)


def test_the_sample_of_a_function_stays_where_another_changes_or_moves():
    here = {each for each in drawn({"diffae/a.py": LONG + "\n\n" + SHORT}, 20) if each[0] == "long"}
    there = drawn(
        {"diffae/a.py": "import os\n\n\n" + LONG, "diffae/b.py": "def f(a):\n    return a\n"}, 20
    )
    kinds = Counter(kind for _, kind, _ in there)
    assert Counter(kind for _, kind, _ in here) <= kinds


def test_functions_are_drawn_by_their_statements_and_kinds_alike():
    """Of 40 draws 36 are expected of functions with nine times the statements; of 60, 12 of each of five kinds."""
    long = "def long_{0}(a):\n" + "    a.x = b\n" * 17
    short = "def short_{0}(a):\n    a.x = b\n"
    files = {"diffae/a.py": "".join((long + short).format(k) for k in range(30))}
    assert 30 <= sum(unit.startswith("long") for unit, *_ in drawn(files, 40)) <= 39
    mixed = SHORT[SHORT.index("def mixed") :]
    files = {"diffae/a.py": "".join(mixed.replace("mixed", f"mixed_{k}") for k in range(30))}
    kinds = Counter(kind for _, kind, _ in drawn(files, 60))
    assert set(kinds) == {"operator", "comparison", "constant", "term", "swap"}
    assert max(kinds.values()) <= 24 and min(kinds.values()) >= 3


# ----------------------------------------------------------------------------------------------
# The command, on a tree with five tests

CODE = """FACTOR = 2


def double(a):
    return FACTOR * a


def idle(a):
    return a + 0


def unused(a):
    return -a
"""
TESTS = """
import subprocess, sys
import pytest
from diffae.code import double, idle

@pytest.fixture(scope="module")
def doubled():
    return double(3)

def test_first_of_the_fixture(doubled):
    pass

def test_double(doubled):
    assert doubled == 6

def test_idle():
    idle(1)

def test_broken():
    assert idle(1) == 2

def test_child():
    words = [sys.executable, "-c", "from diffae.code import idle; idle(1)"]
    subprocess.run(words, check=True)
"""


@pytest.fixture
def small_tree(tmp_path):
    copy_runner(tmp_path)
    (tmp_path / "pyproject.toml").write_text('[tool.pytest.ini_options]\nmarkers = ["slow"]\n')
    files = {"diffae/__init__.py": "", "diffae/code.py": "", "tests/test_code.py": TESTS}
    commit(tmp_path, files)
    (tmp_path / "diffae" / "code.py").write_text(CODE)
    return tmp_path


def survey(tree, *options):
    command = [sys.executable, "tests/faults.py", "--changed", "HEAD", *options]
    return subprocess.run(command, cwd=tree, capture_output=True, text=True)


@pytest.mark.slow
def test_survivors_are_shown_with_the_share(small_tree, monkeypatch):
    monkeypatch.setenv("DIFFAE_CACHE", str(small_tree / "cache"))
    result = survey(small_tree)
    assert result.returncode == 1, result.stderr
    lines = result.stdout.splitlines()
    by = "tests/test_code.py::test_double"
    assert {line for line in lines if line.startswith("caught  ")} == {
        f"caught   constant: diffae/code.py:1: {by}",
        f"caught   operator: diffae/code.py:5 double: {by}",
        f"caught   term: diffae/code.py:5 double: {by}",
    }
    idle = "diffae/code.py:9 idle: all of 2 tests pass"
    unused = "diffae/code.py:13 unused: no test reaches it"
    assert {line for line in lines if line.startswith("SURVIVED")} == {
        *(f"SURVIVED {kind}: {idle}" for kind in ("operator", "constant", "term")),
        f"SURVIVED operator: {unused}",
    }
    assert (
        "-    return a + 0" in lines and "+    return a - 0" in lines and "+    return a" in lines
    )
    assert lines[-1] == "6 of 11 (55%) mutations caught"
    assert len([line for line in lines if line.startswith("running the fast tests")]) == 1
    again = survey(small_tree, "--sample", "2", "--jobs", "2")
    assert "running the fast tests" not in again.stdout
    assert again.stdout.splitlines()[-1].endswith("mutations caught")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--changed", "nowhere"], "nowhere"),
        ([], "no function"),
        (["--sample", "0"], "at least 1"),
        (["--only", "words"], "--only"),
    ],
)
def test_what_cannot_be_surveyed_is_refused(small_tree, options, reason):
    (small_tree / "diffae" / "code.py").write_text("")
    result = survey(small_tree, *options)
    assert result.returncode == 2 and reason in result.stderr.splitlines()[-1]
