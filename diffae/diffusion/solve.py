"""Trajectories in either direction, with the solver given by name."""

from collections.abc import Callable, Iterator

from torch import Tensor

from diffae.diffusion import ab2, ddim, dpm, heun, implicit
from diffae.diffusion.scheme import Scheme, find
from diffae.diffusion.trajectory import Denoiser, NoisePredictor, Step

Trajectory = Callable[[Denoiser, Tensor, list[int]], Iterator[Step]]

# The decoder and the encoder of each method.
METHODS: dict[str, tuple[Trajectory, Trajectory | None]] = {
    "ddim": (ddim.decode, ddim.encode),
    "ab2-v": (ab2.decode_v, ab2.encode_v),
    "ab2-eps": (ab2.decode_eps, ab2.encode_eps),
    "implicit-v": (ddim.decode, implicit.encode),
    "dpm++2m": (dpm.decode, dpm.encode),
    "heun": (heun.decode, None),
}


def decode_steps(
    predict: NoisePredictor,
    x_T: Tensor,
    alphas: Tensor,
    steps: int,
    clip: bool = True,
    solver: str | Scheme = "ddim",
) -> Iterator[Step]:
    """From x_T to x_0 in `steps` steps; the last step's `x` is the image.

    All are N x ...; `alphas` has 1000 timesteps.

    Raises UserError if there is no such solver, or if the steps are too few for it.
    """
    scheme = find(solver)
    decode, _ = METHODS[scheme.method]
    return decode(Denoiser(predict, alphas, clip), x_T, scheme.timesteps(steps))


def encode_steps(
    predict: NoisePredictor,
    x_0: Tensor,
    alphas: Tensor,
    steps: int,
    clip: bool = True,
    solver: str | Scheme = "ddim",
) -> Iterator[Step]:
    """From x_0 to x_T in `steps` steps; the last step's `x` is x_T.

    Raises UserError as `decode_steps` does, and for a solver that cannot invert.
    """
    scheme = find(solver)
    scheme.encode_calls(steps)  # raises UserError if this solver cannot invert
    _, encode = METHODS[scheme.method]
    assert encode is not None
    return encode(Denoiser(predict, alphas, clip), x_0, scheme.timesteps(steps))
