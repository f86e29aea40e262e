"""Solvers by name: their methods, grids and costs.

This module does not need PyTorch, so that a command line is read quickly.

A name is `METHOD` or `METHOD:GRID`: "ddim", "ab2-v", "ab2-v:power-2.5", "ddim:power-2"; "fast" is
recommended unless numbers are compared with the paper's.
"""

import re
from dataclasses import dataclass

from diffae.networks.config import NUM_TIMESTEPS
from diffae.system.cli import did_you_mean
from diffae.system.errors import UserError, whole

UNIFORM = "uniform"
FAST = "fast"
_POWER = re.compile(r"power-([0-9]+(?:\.[0-9]+)?)")
EXPONENTS = (1.0, 4.0)  # least and largest of a "power" grid


@dataclass(frozen=True)
class Method:
    """A stepping method.

    `decoding` and `encoding` are the network calls of each step, and the number of calls that are
    added to all of them together; `encoding` is None if the method cannot invert. `least` is the
    smallest number of steps.

    `from_0`: the grid begins at t = 0, and an encoding takes the image as the state there; otherwise
    the image is at a = 1, before the grid's first timestep. `top` is a text for the protocol: how the
    last step of an encoding is taken.
    """

    grid: str = "power-2"
    decoding: tuple[int, int] = (1, 0)
    encoding: tuple[int, int] | None = (1, 0)
    least: int = 2
    from_0: bool = False
    top: str = "as the others"


METHODS = {
    # the paper's, first order
    "ddim": Method(UNIFORM, least=1, from_0=True, top="to a = 0"),
    # two-step Adams-Bashforth on the velocity, with a matched top
    "ab2-v": Method(top="matched"),
    # two-step Adams-Bashforth on the noise; for models with z_sem
    "ab2-eps": Method(),
    # DDIM, and its inverse by backward Euler with one call per step
    "implicit-v": Method(from_0=True, top="the inverse of a DDIM step"),
    # DPM-Solver++(2M)
    "dpm++2m": Method(encoding=(1, -1), from_0=True),
    # Heun's method (Karras et al.), decoding only
    "heun": Method(decoding=(2, -1), encoding=None, least=1),
}
ALIASES = {FAST: "ab2-v:power-2"}


@dataclass(frozen=True)
class Scheme:
    """A solver: its method and its grid. Its `str` is a name that `find` takes."""

    method: str
    grid: str

    def __str__(self) -> str:
        plain = self.grid == METHODS[self.method].grid
        return self.method if plain else f"{self.method}:{self.grid}"

    @property
    def spoken(self) -> str:
        """Its name in messages, with its alias if it has one: `fast (ab2-v)`."""
        return f"{FAST} ({self})" if self == find(FAST) else str(self)

    @property
    def inverts(self) -> bool:
        return METHODS[self.method].encoding is not None

    def timesteps(self, steps: int) -> list[int]:
        """The timesteps of `steps` steps, ascending. Raises UserError if the steps are too few."""
        method = METHODS[self.method]
        steps = whole(steps, "steps", 1, NUM_TIMESTEPS)
        if steps < method.least:
            raise UserError(
                f"solver {self.spoken}: needs at least {method.least} steps, not {steps}"
            )
        if self.grid == UNIFORM:
            return uniform(steps)
        exponent = float(self.grid.removeprefix("power-"))
        return (power_from_0 if method.from_0 else power)(steps, exponent)

    def decode_calls(self, steps: int) -> int:
        """Network calls of a decoding in `steps` steps."""
        per_step, added = METHODS[self.method].decoding
        return per_step * steps + added

    def encode_calls(self, steps: int) -> int:
        """Network calls of an inversion in `steps` steps. Raises UserError if it cannot invert."""
        calls = METHODS[self.method].encoding
        if calls is None:
            raise UserError(f"solver {self}: cannot encode; {', '.join(inverting_methods())} can")
        per_step, added = calls
        return per_step * steps + added

    def protocol(self) -> dict[str, str]:
        """The fields of a protocol: the settings that decide its results, apart from the number of steps."""
        method = METHODS[self.method]
        return {
            "solver": self.method,
            "grid": self.grid.replace("-", " "),
            "top": method.top,
            "end": "a = 1",
            "clip": "predicted x_0 of images to [-1, 1], the noise derived anew",
        }


def find(name: "str | Scheme") -> Scheme:
    """The solver of a name. Raises UserError, with a suggestion, if there is none."""
    if isinstance(name, Scheme):
        return name
    if not isinstance(name, str):
        raise UserError(f"solver must be a name such as {FAST!r}, not {name!r:.40}")
    method, colon, grid = ALIASES.get(name, name).partition(":")
    if method not in METHODS:
        hint = did_you_mean(method, (*METHODS, *ALIASES))
        raise UserError(f"no solver {name!r:.40}{hint}")
    if not colon:
        return Scheme(method, METHODS[method].grid)
    return Scheme(method, _grid(name, grid))


def _grid(name: str, text: str) -> str:
    """The canonical spelling of a grid's name, `text`; `name` is the whole solver's."""
    if text == UNIFORM:
        return text
    match = _POWER.fullmatch(text)
    if match is None or not EXPONENTS[0] <= float(match[1]) <= EXPONENTS[1]:
        low, high = EXPONENTS
        grids = f"uniform and power-P, P from {low:g} to {high:g}"
        raise UserError(f"solver {name!r:.40}: no grid {text!r:.20}; there are {grids}")
    return f"power-{float(match[1]):g}"


def inverting_methods() -> list[str]:
    """The names of the methods that can encode an image."""
    return [name for name, method in METHODS.items() if method.encoding is not None]


# ----------------------------------------------------------------------------------------------
# Grids: the timesteps, ascending, at which the network is called. Integers from 0 to 999


def uniform(steps: int) -> list[int]:
    """The `steps` timesteps of the paper's DDIM.

    For the 62 values that the authors accept the grid is theirs: multiples of the smallest stride
    that gives `steps` of them, from 0. For every other number from 1 to 1000 they are spread evenly
    from 0 in the same way, rounded down; a single step is taken from the noisiest timestep, the
    only one from which noise can be decoded.
    """
    if steps == 1:
        return [NUM_TIMESTEPS - 1]
    stride = -(-NUM_TIMESTEPS // steps)
    strided = list(range(0, NUM_TIMESTEPS, stride))
    if len(strided) == steps:
        return strided
    return [i * NUM_TIMESTEPS // steps for i in range(steps)]


def power(steps: int, exponent: float) -> list[int]:
    """t_i = round(999 (i / T)^p), i = 1 .. T = `steps`, made distinct.

    They are dense where there is little noise. For solvers whose trajectory ends in the image
    itself, which lies before the first timestep.
    """
    return _distinct([(i / steps) ** exponent for i in range(1, steps + 1)])


def power_from_0(steps: int, exponent: float) -> list[int]:
    """t_i = round(999 (i / (T - 1))^p), i = 0 .. T - 1, made distinct.

    For solvers that take the image as the state at the first timestep, t = 0.
    """
    if steps == 1:
        return [NUM_TIMESTEPS - 1]
    return _distinct([(i / (steps - 1)) ** exponent for i in range(steps)])


def _distinct(shares: list[float]) -> list[int]:
    """Timesteps at these fractions of the last one, made distinct.

    Each is above the one before, and leaves enough for those after it.
    """
    latest = NUM_TIMESTEPS - 1
    ts = [-1]
    for after, share in zip(reversed(range(len(shares))), shares, strict=True):
        ts.append(min(max(round(latest * share), ts[-1] + 1), latest - after))
    return ts[1:]
