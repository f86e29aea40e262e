"""Solvers: the setting's solver takes the steps, and is named in keys, rows, protocols and tables."""

import pytest
import torch
from colours import without_effnet

from benchmarks.commands.options import parse
from benchmarks.core.images import code_of
from benchmarks.core.measurement import Variant
from benchmarks.core.runner.evaluation import rows
from benchmarks.core.store import Store
from benchmarks.runtime.errors import SystemFailed
from benchmarks.systems import load
from benchmarks.systems.protocol.base import DECODE, SAMPLE, Code, System
from benchmarks.systems.protocol.checked import Checked
from benchmarks.tasks import unconditional
from benchmarks.tasks.reconstruction import reconstruction
from diffae.diffusion.noise import normal
from diffae.diffusion.scheme import find
from diffae.system.errors import UserError
from reports.tables.build import build_tables

CPU = torch.device("cpu")


class Sampler(System):
    """Grey images by a sampler of its own, which takes steps."""

    name = title = fingerprint = "sampler"
    capabilities = frozenset({SAMPLE, DECODE})
    image_size, latent_dim, iterative = 32, 1, True

    def decode(self, code: Code, steps=100):
        return torch.zeros(len(code.semantic), 3, 32, 32)

    def sample(self, indices, seed, steps):
        return torch.linspace(-1, 1, len(indices))[:, None, None, None].expand(-1, 3, 32, 32)


@pytest.fixture
def context(context):
    return without_effnet(context)


@pytest.fixture
def diffae(untrained):
    return load("diffae", untrained / "diffae")


def test_a_system_by_another_solver_is_the_same_system(diffae):
    fast = diffae.solving("fast")
    assert (fast.name, fast.title, fast.fingerprint) == (
        diffae.name,
        diffae.title,
        diffae.fingerprint,
    )
    assert fast.solver == find("ab2-v") and diffae.solver == find("ddim")
    assert fast.outside is diffae.outside and fast.inner.model is diffae.inner.model
    assert fast.solving("ddim").solver == diffae.solver


def test_each_solver_takes_its_own_steps_in_every_direction(diffae):
    torch.manual_seed(0)
    images = torch.rand(2, 3, 32, 32) * 2 - 1
    model, fast = diffae.inner.model, diffae.solving("fast")
    z = model.encode(images)
    for system, solver in ((diffae, "ddim"), (fast, "fast")):
        code = system.encode(images, 3)
        assert torch.equal(code.x_T, model.encode_stochastic(images, z, 3, solver))
        assert torch.equal(system.decode(code, 3), model.decode(z, code.x_T, 3, solver))
        noise = normal(0, "latent", [4, 7], (model.latent_dim,))
        sampled = model.sample_latents(noise, 3, solver)
        assert torch.equal(system.sample_latents([4, 7], 0, 3), sampled)
    assert not torch.equal(diffae.encode(images, 3).x_T, fast.encode(images, 3).x_T)
    assert not torch.equal(diffae.sample_latents([0], 0, 3), fast.sample_latents([0], 0, 3))


def test_a_new_code_is_of_the_noise_of_its_index_whatever_its_place(diffae):
    """Index 70 alone, after 3, and in another chunk than 6: always the model's code of the same noise."""
    model = diffae.inner.model
    expected = model.sample_latents(normal(5, "latent", [70], (model.latent_dim,)), steps=2)
    for indices in ([70], [3, 70], [70, 6]):
        found = diffae.sample_latents(indices, 5, 2)[indices.index(70)]
        torch.testing.assert_close(found, expected[0], rtol=1e-4, atol=1e-4)
    other = diffae.sample_latents([70], 6, 2)[0]
    assert (other - expected[0]).abs().mean() > 0.1


def test_codes_are_filed_under_the_solver_and_semantic_codes_are_not(context, diffae, tmp_path):
    images, store = context.select("test", 4), Store(tmp_path / "store")
    codes = [
        code_of(store.read(context.codes.full(diffae.solving(name), images, 2))).x_T
        for name in ("ddim", "fast", "ab2-v:power-2.5")
    ]
    assert not any(torch.equal(a, b) for a, b in zip(codes, codes[1:] + codes[:1], strict=True))
    store.read(context.codes.semantic(diffae, images))
    store.read(context.codes.semantic(diffae.solving("fast"), images))
    folders = [path.name.split("-")[0] for path in store.root.iterdir()]
    assert sorted(folders) == ["code", "code", "code", "semantic"]


def test_a_record_says_what_took_the_steps_and_what_they_cost(context, diffae):
    def of(system, steps, x_T="random"):
        variant = Variant(context, system, steps, x_T)
        return variant.solver, variant.calls

    fast = diffae.solving("fast")
    assert of(fast, 10, "inverted") == ("ab2-v", 20)
    assert of(fast, 10) == ("ab2-v", 10)
    assert of(diffae.solving("heun"), 10)[1] == 19
    assert of(diffae.solving("dpm++2m"), 10, "inverted")[1] == 19
    assert of(diffae, None) == ("", None)
    assert of(Sampler(), 10, "") == ("", 10)


def test_a_protocol_says_grid_ends_clip_and_calls(context, diffae):
    fields = Variant(context, diffae.solving("fast"), 10, "inverted", latents=True).protocol
    expected = {
        "solver": "ab2-v",
        "grid": "power 2",
        "top": "matched",
        "end": "a = 1",
        "inversion_steps": 10,
        "inversion_calls": 10,
        "decoding_steps": 10,
        "decoding_calls": 10,
        "latent_steps": 10,
    }
    assert expected.items() <= fields.items() and "clip" in fields
    assert Variant(context, diffae, 10).protocol["grid"] == "uniform"
    assert Variant(context, Sampler(), 10).protocol["solver"] == "the system's own"
    assert Variant(context, System(), None).protocol["solver"] is None


def test_a_system_with_a_sampler_of_its_own_keeps_it(context):
    system = Checked("sampler", Sampler(), CPU)
    assert system.solving("fast") is system and system.solver is None
    every = rows(unconditional.BENCHMARK, context, [system])
    found = [row for row in every if row.value is not None and not row.reference]
    assert found and all(row.solver == "" and row.steps == row.calls for row in found)


class Exchanged(Sampler):
    def solving(self, solver):
        return Checked("another", Sampler(), CPU)


def test_another_system_in_place_of_a_solver_is_refused():
    with pytest.raises(SystemFailed, match="solving: returned Checked, not a Exchanged"):
        Checked("exchanged", Exchanged(), CPU).solving("fast")


# ----------------------------------------------------------------------------------------------
# The table by calls


def test_table_2_by_calls_has_the_fast_row_beside_the_papers(context, diffae):
    context.profile = context.profile.changed_by(
        {
            "reconstruction.images": 3,
            "reconstruction.steps": [2, 4],
            "reconstruction.beside_steps": [2, 3],
        }
    )
    records = list(rows(reconstruction.BENCHMARK, context, [diffae]))
    by_calls = [r for r in records if r.table == reconstruction.BY_CALLS and r.metric == "ssim"]
    inverted = {(r.solver, r.steps): r.calls for r in by_calls if r.setting == "x_T inverted"}
    assert inverted == {("ddim", 2): 4, ("ddim", 4): 8, ("ab2-v", 2): 4, ("ab2-v", 3): 6}
    random = {(r.solver, r.steps): r.calls for r in by_calls if r.setting == "x_T random"}
    assert random == {("ddim", 2): 2, ("ddim", 4): 4, ("ab2-v", 2): 2, ("ab2-v", 3): 3}
    # of the paper's tables, what another solver made is no part
    assert {r.solver for r in records if r.table != reconstruction.BY_CALLS} == {"ddim"}
    in_table_2 = {
        (r.setting, r.steps, r.value) for r in records if r.table == reconstruction.TABLE2
    }
    theirs = [r for r in records if r.table == reconstruction.BY_CALLS and r.solver == "ddim"]
    assert {(r.setting, r.steps, r.value) for r in theirs} < in_table_2
    assert {r.metric for r in theirs} == {"ssim", "pd_effnet", "mse"}
    table = next(
        t for t in build_tables(records, reconstruction.TABLES) if t.name == reconstruction.BY_CALLS
    )
    assert table.panels[0].headers == (
        "system", "setting", "solver", "2 calls", "3 calls", "4 calls", "6 calls", "8 calls",
    )  # fmt: skip
    assert "ours" in table.caption


def test_the_same_solver_twice_is_measured_once(context, diffae):
    context.profile = context.profile.changed_by(
        {"reconstruction.images": 2, "reconstruction.steps": [2], "reconstruction.beside": "ddim"}
    )
    records = list(rows(reconstruction.BENCHMARK, context, [diffae]))
    assert {(r.solver, r.steps) for r in records} == {("ddim", 2)}


# ----------------------------------------------------------------------------------------------
# Settings


def test_solver_sets_every_benchmark_that_takes_steps():
    settings = parse(["all", "--solver", "implicit-v"], None).profile.settings()
    solvers = {name: value for name, value in settings.items() if name.endswith(".solver")}
    assert set(solvers.values()) == {"implicit-v"} and len(solvers) == 8
    assert settings["reconstruction.beside"] == "fast"
    only = parse(["unconditional", "--solver", "heun"], None).profile.settings()
    assert only["samples.solver"] == "heun" and only["identity.solver"] == "fast"
    set_wins = parse(["all", "--solver", "ddim", "--set", "samples.solver=heun"], None).profile
    assert set_wins.settings()["samples.solver"] == "heun"


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["all", "--solver", "ab2"], "argument --solver: no solver 'ab2'; did you mean ab2-v"),
        (
            ["all", "--solver", "heun"],
            "reconstruction.solver: solver heun cannot encode an image; ddim",
        ),
        (["identity", "--set", "identity.solver=nosuch"], "no solver 'nosuch'"),
        (
            ["all", "--steps", "1"],
            "samples.steps: solver fast (ab2-v): needs at least 2 steps, not 1",
        ),
        (
            ["reconstruction", "--set", "reconstruction.beside_steps=1"],
            "reconstruction.beside_steps",
        ),
        (["identity", "--set", "identity.steps=1"], "--set identity.solver=ddim takes one"),
    ],
)
def test_what_a_solver_cannot_do_is_refused_at_once(arguments, message):
    with pytest.raises(UserError, match="^[^\n]*$") as refused:
        parse(arguments, None)
    assert message in str(refused.value)


def test_one_step_is_ddims_and_only_what_runs_is_looked_at():
    parse(["reconstruction", "--steps", "1"], None)  # samples.steps is not used
    parse(["all", "--steps", "1", "--solver", "ddim"], None)
