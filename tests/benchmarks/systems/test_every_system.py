"""What every registered system keeps: its options, seeds, rows, steps and solvers mean something."""

import re
from functools import cache

import diffusers_models
import pytest
import torch

from benchmarks import systems
from benchmarks.systems.protocol.parts import tensors
from diffae.system.errors import UserError

NAMES = tuple(systems.REGISTRY.own)
COUNT = 2
# Options that make a test quick: few passes of an inversion, few calls of a latent DDIM.
QUICK = {"stylegan2-w": "steps=2", "stylegan2-wplus": "steps=2", "d2c": "skip=200"}
# Options that change nothing for images of the size that a model was made for.
FOR_OTHER_SIZES = {"tiling"}
# Another value of an option, where its third (or last) would take long.
ANOTHER = {"skip": "100", "steps": "3"}


@pytest.fixture(scope="module")
def load(tmp_path_factory):
    """A system by its name and options, of the weights that ship or of a tiny model of diffusers."""
    folder = tmp_path_factory.mktemp("diffusers")
    diffusers_models.save(folder, "AutoencoderKL")

    @cache
    def loaded(name, options=""):
        place = str(folder) if name == "diffusers" else ""
        system = systems.load(name, f"{place}#{options}" if options else place or None)
        if system.learns_from_data:
            system.fit([pictures(system, 8)])
        return system

    return loaded


@pytest.fixture(scope="module")
def usual(load):
    """What a system's methods give with its usual options and two steps, computed once."""
    return cache(lambda name: outputs(load(name, QUICK.get(name, ""))))


def pictures(system, count=COUNT):
    """Smooth pictures, each unlike the others."""
    side = system.image_size or 32
    coarse = torch.rand(count, 3, 4, 4, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return torch.nn.functional.interpolate(coarse, size=side, mode="bilinear").clamp(-1, 1)


def flat(value):
    """One row of numbers for each image."""
    parts = tensors(value) if not isinstance(value, systems.Code) else (
        *tensors(value.semantic), *tensors(value.x_T)
    )  # fmt: skip
    return torch.cat([part.flatten(1).double() for part in parts], 1)


def outputs(system, steps=2):
    """What the system's methods give, by their names."""
    found, images = {}, pictures(system)
    if "encode" in system.capabilities:
        code = system.encode(images, steps)
        found["encode"] = flat(code)
        if "decode" in system.capabilities:
            found["decode"] = flat(system.decode(code, steps))
    elif "semantic" in system.capabilities:
        found["encode"] = flat(system.encode_semantic(images))
    return found | drawn(system, range(COUNT), 1, steps)


def drawn(system, indices, seed, steps=2):
    """What is drawn by a seed, by the methods' names."""
    found, can = {}, system.capabilities
    if "sample_latents" in can:
        found["sample_latents"] = flat(system.sample_latents(indices, seed, steps))
    if "sample" in can:
        found["sample"] = flat(system.sample(indices, seed, steps))
    if "stochastic" in can:
        found["random_x_T"] = flat(system.random_x_T(indices, seed))
    return found


@pytest.mark.parametrize("name", NAMES)
def test_a_seed_changes_every_row_and_a_row_is_of_its_index_alone(load, name):
    system = load(name, QUICK.get(name, ""))
    several, other = (drawn(system, [4, 0, 7], seed) for seed in (0, 1))
    alone = drawn(system, [7], 0)
    for method, rows in several.items():
        torch.testing.assert_close(alone[method], rows[2:], rtol=0, atol=2e-4)
        far = [(rows - other[method]).abs().amax(1), (rows - rows.roll(1, 0)).abs().amax(1)]
        assert all((one > 1e-3).all() for one in far), method


@pytest.mark.parametrize("name", NAMES)
def test_steps_and_solver_reach_every_method_of_a_system_that_has_them(load, usual, name):
    system = load(name, QUICK.get(name, ""))
    few = usual(name)
    more = outputs(system, 3)
    moved = {method for method in few if not torch.equal(few[method], more[method])}
    if system.solver is None:
        assert not moved
        return
    assert moved == few.keys() - {"random_x_T"}
    other = "fast" if system.solver != "fast" else "ddim"
    solved = outputs(system.solving(other), 2)
    assert {m for m in few if not torch.equal(few[m], solved[m])} == moved


def options(name):
    """The options of a system with another value of each, as its messages name them."""
    found = {}
    for option in filter(None, said(name, "zz=1").partition("there are: ")[2].split(", ")):
        values = re.findall(r" is one of (.*), not 'zz'", said(name, f"{option}=zz"))
        found[option] = ANOTHER.get(option) or [*values[0].split(", ")][:3][-1]
    return found


def said(name, options):
    try:
        systems.load(name, f"#{options}")
    except UserError as error:
        return str(error)
    return ""  # the dummies read no path


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [(name, option, value) for name in NAMES for option, value in options(name).items()],
)
def test_an_option_changes_what_a_system_gives_and_how_it_is_told(load, usual, name, option, value):
    quick = QUICK.get(name, "")
    kept = [word for word in quick.split(",") if word and not word.startswith(f"{option}=")]
    base, changed = load(name, quick), load(name, ",".join([*kept, f"{option}={value}"]))
    assert changed.fingerprint != base.fingerprint
    if option == "size":
        assert changed.image_size == int(value) != base.image_size
        return
    assert dict(changed.describe()) != dict(base.describe())
    one, other = usual(name), outputs(changed)
    differ = {method for method in one if not torch.equal(one[method], other[method])}
    assert bool(differ) != (option in FOR_OTHER_SIZES)
