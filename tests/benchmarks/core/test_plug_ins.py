"""Plug-in packages: found by their entry points, refused by name, and never fatal to anything else."""

import json
import re
import sys
from dataclasses import replace

import in_process
import pytest
from plug_ins import offer

from benchmarks import systems
from benchmarks.commands import doctor, listing
from benchmarks.commands.options import parse
from benchmarks.core.benchmark import Benchmark
from benchmarks.core.measurement import Measurement, Place
from benchmarks.core.registry import REGISTRY, specs
from benchmarks.core.runner.evaluation import rows
from benchmarks.metrics import METRICS
from benchmarks.run import main
from benchmarks.runtime.registry import Registry
from diffae.system.errors import UserError
from reports.records.estimate import Estimate
from reports.records.record import read_records
from reports.tables.build import read
from reports.tables.markdown import render

pytestmark = pytest.mark.usefixtures("no_effnet")
SYSTEM = """
import torch
from benchmarks.systems import Code, System


class Mean(System):
    '''Mean colour'''

    title, latent_dim = "mean colour", 3
    capabilities = frozenset({"encode", "decode", "semantic"})
    fingerprint = "1"

    def __init__(self, path, device):
        pass

    def encode_semantic(self, images):
        return images.mean((2, 3))

    def decode(self, code, steps=100):
        return code.semantic[:, :, None, None].expand(-1, -1, 32, 32)
"""

BENCHMARK = """
from benchmarks.plugin import Benchmark, Estimate, Measurement, MetricInfo, Place


def run(context, system):
    images = context.select("test", 4)
    place = Place(context, "brightness", system, fields={"of": "decodes"}, n=4)

    def compute(positions):
        code = system.encode(images.batch(positions), 1)
        return {"mean": system.decode(code, 1).mean((1, 2, 3)).numpy()}

    def numbers(arrays):
        yield place, "brightness", Estimate(float(arrays["mean"].mean()))

    yield Measurement([place.job("bright", "decode", images, compute)], numbers)


BENCHMARK = Benchmark(
    name="bright", title="mean brightness of decodes", paper="none", table="brightness",
    headline=lambda context: "brightness", needs=frozenset({"encode", "decode"}), run=run,
    infos={"brightness": MetricInfo("neither", "", "Mean brightness", "none")},
)
"""


@pytest.fixture
def modules(tmp_path, monkeypatch):
    """Write modules that can be imported for the length of a test."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)

    def write(**sources: str) -> None:
        for name, source in sources.items():
            path = tmp_path / f"{name}.py"
            path.parent.mkdir(exist_ok=True)
            path.write_text(source)

    yield write
    for name in set(sys.modules) - before:
        if name.split(".")[0].startswith("mine"):
            del sys.modules[name]


@pytest.fixture
def metrics(monkeypatch):
    """The table of metrics, put back afterwards."""
    for name in set(METRICS):
        monkeypatch.setitem(METRICS, name, METRICS[name])
    known = set(METRICS)
    yield METRICS
    for name in set(METRICS) - known:
        del METRICS[name]


@pytest.fixture
def bright(modules, metrics, monkeypatch):
    """Write the benchmark `bright`, and offer it."""

    def write(source: str = BENCHMARK) -> None:
        modules(mine_bright=source)
        offer(monkeypatch, "diffae.benchmarks", {"bright": "mine_bright:BENCHMARK"})

    return write


BROKEN = {
    "syntax": ("def broken(:\n", "SyntaxError: "),
    "imports": ("import no_such_module\n", "ModuleNotFoundError: No module named 'no_such_module'"),
    "exits": ("import sys\nsys.exit(3)\n", "SystemExit: 3"),
    "raises": ("raise ValueError('not\\ntoday')\n", "ValueError: not today"),
    "empty": ("", "AttributeError: "),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_plug_in_that_cannot_be_imported_is_an_error_by_name(kind, modules, monkeypatch):
    source, reason = BROKEN[kind]
    modules(mine_broken=source)
    offer(monkeypatch, "diffae.systems", {"wrong": "mine_broken:Thing"})
    with pytest.raises(UserError) as error:
        parse(["all", "--systems", "wrong"], None)
    line = str(error.value)
    assert line.startswith(f"system 'wrong' of mine_broken:Thing: {reason}") and line.isprintable()


@pytest.mark.parametrize("kind", BROKEN)
def test_and_one_line_of_warning_where_all_are_asked_for(kind, modules, monkeypatch, capsys):
    source, reason = BROKEN[kind]
    modules(mine_broken=source)
    offer(monkeypatch, "diffae.benchmarks", {"wrong": "mine_broken:Thing"})
    monkeypatch.setattr(REGISTRY, "_warned", set())
    listing.list_everything([])
    doctor.weights_report(None)
    assert parse(["all"], None).benchmarks == tuple(REGISTRY.own)
    said = capsys.readouterr()
    assert "  reconstruction" in said.out and "wrong" not in said.out
    assert said.err.count("\n") == 1
    assert said.err.startswith(
        f"warning: left out: benchmark 'wrong' of mine_broken:Thing: {reason}"
    )


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ({"diffae": "mine:A"}, "system 'diffae' of mine:A: this name belongs to a built-in one"),
        ({"../x": "mine:A"}, "system '../x' of mine:A: a name has letters, digits and .-_ only"),
    ],
)
def test_a_name_that_clashes_or_is_none_is_left_out(entries, reason, monkeypatch, capsys):
    offer(monkeypatch, "diffae.systems", entries)
    monkeypatch.setattr(systems.REGISTRY, "_warned", set())
    assert systems.REGISTRY.usable() == list(systems.REGISTRY.own)
    assert capsys.readouterr().err.startswith(f"warning: left out: {reason}")
    if (name := next(iter(entries))) != "diffae":
        with pytest.raises(UserError) as error:
            systems.load(name)
        assert str(error.value).startswith(reason)


def test_two_packages_with_one_name_are_refused(monkeypatch):
    registry = Registry("system", "diffae.systems", {}, line=str)
    entries = {"a": ["mine:A", "yours:A"], "b": ["mine:B"]}
    monkeypatch.setattr(registry, "_plugins", lambda: entries)
    with pytest.raises(UserError, match="'a' is defined by several packages: mine:A, yours:A"):
        registry.get("a")
    assert registry.names() == ["b"]


@pytest.fixture
def run(tmp_path, patches):
    """Run the command on `patches`."""
    fixed = ("--profile", "smoke", "--data", patches.root, "--out", tmp_path / "run")
    return lambda *arguments: in_process.command(main, *arguments, *fixed, cache=tmp_path)


def rows_of(tmp_path):
    return {
        (r.benchmark, r.system, r.metric): r for r in read_records(tmp_path / "run" / "records.csv")
    }


def test_a_benchmark_brings_a_metric(bright, run, tmp_path):
    bright()
    result = run("bright", "--systems", "dummy-constant,dummy-random")
    assert result.returncode == 0, result.stderr
    found = rows_of(tmp_path)
    assert found["bright", "dummy: constant", "brightness"].value == 0
    assert found["bright", "dummy: random code", "brightness"].note.startswith(
        "dummy: random code c"
    )
    assert "brightness" in (tmp_path / "run" / "tables" / "brightness.md").read_text()
    assert "bright: brightness" in "\n".join(doctor.weights_report(None))


TABLE = """
from reports.records.specs import TableSpec

TABLE = TableSpec("brightness", "How bright", "All of it.", "brightness", ("system",), ("metric",),
                  metrics=("brightness",), headline=("brightness",))
"""
DIGITS = """MetricInfo("neither", "lm", "Mean brightness", "none", label="Brightness", digits=1)"""
WITH_TABLE = BENCHMARK.replace("BENCHMARK = Ben", f"{TABLE}BENCHMARK = Ben").replace(
    "    infos=", "    tables=(TABLE,), infos="
)


def test_a_benchmark_brings_a_table_which_the_run_folder_keeps(bright, metrics, run, tmp_path):
    """Made again where the plug-in is not: the metric is taken out of the table before."""
    bright(WITH_TABLE.replace('MetricInfo("neither", "", "Mean brightness", "none")', DIGITS))
    result = run("bright", "--systems", "dummy-constant")
    assert result.returncode == 0, result.stderr
    out = tmp_path / "run"
    page = (out / "tables" / "brightness.md").read_text()
    assert page.startswith("# How bright\n") and "Brightness (lm)" in page
    assert re.search(r"\| +0\.0 +\|", page)
    del metrics["brightness"]
    for table in read([out]).tables:
        again = render(table, "40 images", {})
        written = (out / "tables" / f"{table.name}.md").read_text()
        rows = [line for line in written.splitlines() if line.startswith("|")]
        assert rows and [line for line in again.splitlines() if line.startswith("|")] == rows


def test_a_run_folder_says_nothing_of_metrics_that_ship(run, tmp_path):
    run("cost", "--systems", "dummy-constant")
    note = json.loads((tmp_path / "run" / "run.json").read_text())
    assert note["metrics"] == {}
    assert [spec["name"] for spec in note["tables"]] == ["section5.5_cost", "section5.5_times"]


def test_two_benchmarks_with_one_table_are_not_run_together(modules, metrics, monkeypatch):
    modules(mine_a=WITH_TABLE, mine_b=WITH_TABLE.replace('"bright", title', '"light", title'))
    entries = {"bright": "mine_a:BENCHMARK", "light": "mine_b:BENCHMARK"}
    offer(monkeypatch, "diffae.benchmarks", entries)
    with pytest.raises(UserError, match="'bright' and 'light' both define a table 'brightness'"):
        specs(["bright", "light"])


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (
            'infos={"brightness"',
            'infos={"ssim"',
            "there is a metric 'ssim' already; choose another",
        ),
        (
            'MetricInfo("neither"',
            'MetricInfo("up"',
            "direction 'up' is none of higher, lower, neither",
        ),
        ('infos={"brightness"', 'infos={"a b|c"', "'a b|c' cannot be a metric's name"),
        ('name="bright"', 'name="light"', "calls itself 'light'"),
        ('table="brightness"', 'table="../x"', "cannot write a table called '../x'"),
        ('table="brightness"', 'table="overview"', "cannot write a table called 'overview'"),
        ('table="brightness"', 'table="table2_ablation"', "cannot write a table called 'table2_"),
        ("    infos=", "    tables=(1,), infos=", "tables are TableSpecs, not int"),
        ('"encode", "decode"}', '"encode", "fly"}', "needs what no system has: fly"),
        (
            "BENCHMARK = Benchmark(",
            "BENCHMARK = dict(",
            "dict is not a benchmarks.plugin.Benchmark",
        ),
    ],
)
def test_what_is_no_benchmark_is_refused(old, new, reason, bright):
    bright(BENCHMARK.replace(old, new))
    with pytest.raises(UserError) as error:
        REGISTRY.get("bright")
    assert str(error.value).startswith("benchmark 'bright' of mine_bright:BENCHMARK: ")
    assert reason in str(error.value)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (
            "    images = con",
            "    raise OSError('gone')\n    images = con",
            "raised OSError: gone (mine_",
        ),
        ('place, "brightness"', 'place, "britness"', "raised KeyError: 'britness'"),
        (
            "yield Measurement",
            "yield 1\n    yield Measurement",
            "raised TypeError: yielded int, not a Measurement",
        ),
        (
            '"brightness", system',
            '"table1_reconstruction", system',
            "for the table 'table1_reconstruction'",
        ),
        ("yield place", "for _ in range(2): yield place", "yielded two numbers for one place"),
    ],
)
def test_a_benchmark_that_fails_is_a_row(old, new, reason, bright, context):
    bright(BENCHMARK.replace(old, new))
    constant, perfect = systems.load("dummy-constant"), systems.load("dummy-perfect")
    found = list(rows(REGISTRY.get("bright"), context, [constant, perfect]))
    last = [row for row in found if row.system == "dummy: constant"][-1]
    assert (
        last.value is None and reason in last.note and last.note.startswith("benchmark 'bright' ")
    )
    assert last.failed
    assert [row for row in found if row.system == "dummy: perfect"]  # the others go on


def test_a_benchmark_whose_headline_fails_has_a_row_without_a_metric(bright, context):
    """Only the row of what cannot run needs `headline`."""
    bright(BENCHMARK.replace('lambda context: "brightness"', "lambda context: 1 / 0"))
    (row,) = rows(REGISTRY.get("bright"), context, [systems.load("dummy-random")])
    assert row.metric == ""
    assert row.note == "dummy: random code cannot decode or encode an image fully"


def test_a_system_alone_that_fails_to_load_ends_the_command(modules, monkeypatch, run, tmp_path):
    modules(mine_unfit=SYSTEM.replace("        pass", "        raise OSError('no weights')"))
    offer(monkeypatch, "diffae.systems", {"unfit": "mine_unfit:Mean"})
    result = run("cost", "--systems", "unfit")
    assert result.returncode == 2 and result.stderr.count("\n") == 1
    assert "no system is left to run: system 'unfit', __init__: raised OSError" in result.stderr
    assert not (tmp_path / "run").exists()


# ----------------------------------------------------------------------------------------------
# The source is part of the fingerprint


def fingerprint(modules, monkeypatch, target, **sources) -> str:
    modules(**sources)
    offer(monkeypatch, "diffae.systems", {"mean": target})
    for name in [name for name in sys.modules if name.startswith("mine")]:
        del sys.modules[name]
    return systems.load("mean").fingerprint


def test_so_is_a_changed_base_and_a_changed_file_of_the_package(modules, monkeypatch):
    system = SYSTEM.replace("class Mean(System)", "class Mean(Base)")
    init = f"from mine_base import Base\nfrom mine_package.net import SIDE\n{system}"
    ask = lambda net, base: fingerprint(  # noqa: E731
        modules, monkeypatch, "mine_package:Mean",
        **{"mine_package/__init__": init, "mine_package/net": net, "mine_base": base},
    )  # fmt: skip
    base, net = (
        "from benchmarks.systems import System\n\n\nclass Base(System):\n    pass\n",
        "SIDE = 32\n",
    )
    first = ask(net, base)
    assert ask(net, base) == first
    assert ask(net, base + "\n# another\n") != first
    assert ask(net + "\n# another\n", base) != first


def test_the_store_does_not_answer_for_changed_code(modules, metrics, monkeypatch, context):
    """What README's own example had wrong: the same weights, another decoder, and the old numbers."""
    values = []
    for source in (SYSTEM, SYSTEM.replace("expand(-1, -1, 32, 32)", "expand(-1, -1, 32, 32) * 0")):
        fingerprint(modules, monkeypatch, "mine_mean:Mean", mine_mean=source)
        found = list(rows(mean_of_decodes(), context, [systems.load("mean")]))
        values.append(found[0].value)
    assert values[0] != 0 and values[1] == 0


def mean_of_decodes() -> Benchmark:
    """The mean of decoded images, from the store."""

    def run(context, system):
        selection = context.select("test", 4)

        def compute(positions):
            code = system.encode(selection.batch(positions), 1)
            return {"mean": system.decode(code, 1).mean((1, 2, 3)).numpy()}

        place = Place(context, "section5.5_cost", system)

        def numbers(arrays):
            yield place, "mse", Estimate(float(arrays["mean"].mean()))

        yield Measurement([place.job("mean", "decode", selection, compute)], numbers)

    return replace(REGISTRY.get("cost"), run=run)


# ----------------------------------------------------------------------------------------------
# What the model is


def test_protocols_and_run_say_what_the_networks_predict(bright, run, tmp_path):
    bright()
    result = run("bright", "--systems", "diffae,ddim,dummy-perfect")
    assert result.returncode == 0, result.stderr
    note = json.loads((tmp_path / "run" / "run.json").read_text())
    ddim = {"prediction": "velocity", "norm_groups": 8}
    diffae = ddim | {"latent_prediction": "velocity"}
    assert note["models"] == {"diffae": diffae, "ddim": ddim, "dummy-perfect": {}}
    found = rows_of(tmp_path)
    for title, expected in {"DiffAE": diffae, "DDIM": ddim, "dummy: perfect": None}.items():
        protocol = note["protocols"][found["bright", title, "brightness"].protocol]
        assert protocol.get("model") == expected
