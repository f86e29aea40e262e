"""Grids: the timesteps, ascending, at which the network is called. Integers from 0 to 999."""

from diffae.networks.config import NUM_TIMESTEPS
from diffae.system.validation import whole


def uniform(steps: int) -> list[int]:
    """The `steps` timesteps of the paper's DDIM.

    For the 62 values that the authors accept the grid is theirs: multiples of the smallest stride
    that gives `steps` of them, from 0. For every other number from 1 to 1000 they are spread evenly
    from 0 in the same way, rounded down; a single step is taken from the noisiest timestep, the
    only one from which noise can be decoded.
    """
    steps = whole(steps, "steps", 1, NUM_TIMESTEPS)
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
    steps = whole(steps, "steps", 1, NUM_TIMESTEPS)
    return _distinct([(i / steps) ** exponent for i in range(1, steps + 1)])


def power_from_0(steps: int, exponent: float) -> list[int]:
    """t_i = round(999 (i / (T - 1))^p), i = 0 .. T - 1, made distinct.

    For solvers that take the image as the state at the first timestep, t = 0.
    """
    steps = whole(steps, "steps", 1, NUM_TIMESTEPS)
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
