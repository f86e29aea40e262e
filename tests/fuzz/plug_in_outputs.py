"""Random outputs and descriptions of an untrusted system: the inputs of the target `systems`."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from hypothesis import strategies as st
from torch import Tensor

from benchmarks.systems import Code, System
from benchmarks.systems.protocol import checked
from benchmarks.systems.protocol.base import IN_WORDS, SEMANTIC, STOCHASTIC

SIZE, DIM, COUNT = 4, 3, 2
CPU = torch.device("cpu")
IMAGES, CODES = (COUNT, 3, SIZE, SIZE), (COUNT, DIM)
# What each method should return, in shape; `encode` returns a Code of both.
METHODS = {
    "decode": IMAGES,
    "sample": IMAGES,
    "predict_x0": IMAGES,
    "add_noise": IMAGES,
    "encode_stochastic": IMAGES,
    "random_x_T": IMAGES,
    "encode_semantic": CODES,
    "sample_latents": CODES,
}
DTYPES = [torch.float32] * 10 + [
    torch.float16,
    torch.bfloat16,
    torch.float64,
    torch.int64,
    torch.bool,
]
VALUES = st.one_of(
    st.floats(-1.5, 1.5), st.floats(-1, 1), st.floats(), st.sampled_from([3e38, 255.0])
)


@dataclass(frozen=True)
class Stranger:
    """A method, what it returns, and what the system says of itself instead of the truth."""

    method: str
    output: object
    fields: dict[str, object]


@st.composite
def tensor(draw, shape: tuple[int, ...]) -> Tensor:
    """A tensor of that shape, or nearly; all of one value but for one."""
    shape = draw(
        st.sampled_from([*[shape] * 12, shape[::-1], shape[1:], (*shape, 1), (1, 1), (0,)])
    )
    output = torch.full(shape, draw(VALUES), dtype=torch.float64)
    if output.numel():
        output.view(-1)[draw(st.integers(0, output.numel() - 1))] = draw(VALUES)
    return draw(st.sampled_from(KINDS))(output.to(draw(st.sampled_from(DTYPES))))


def same(output: Tensor) -> Tensor:
    return output


def with_gradient(output: Tensor) -> Tensor:
    return output.requires_grad_() if output.is_floating_point() else output


def inference(output: Tensor) -> Tensor:
    with torch.inference_mode():
        return output.clone()


KINDS: list[Callable[[Tensor], object]] = [
    *[same] * 12,
    with_gradient,
    inference,
    lambda output: output.numpy() if output.dtype != torch.bfloat16 else output,
    lambda output: output.to_sparse(),
    lambda output: output.to("meta"),
    lambda output: output.expand(2, *output.shape),
]
JUNK = st.one_of(
    st.none(), st.integers(), st.text(max_size=5), st.floats(), st.booleans(), st.binary(max_size=3),
    st.lists(st.integers(), max_size=2), st.just(RuntimeError("why")), st.just(SystemExit(1)),
)  # fmt: skip
FIELDS = st.dictionaries(
    st.sampled_from(
        ["title", "capabilities", "image_size", "latent_dim", "semantic_dim", "fingerprint",
         "iterative", "reference", "learns_from_data", "trained_on", "describe"]
    ),
    st.one_of(JUNK, st.sets(st.sampled_from([*IN_WORDS, "fly"])), st.integers(0, 100)),
    max_size=2,
)  # fmt: skip


@st.composite
def stranger(draw) -> Stranger:
    method = draw(st.sampled_from([*METHODS, "encode"]))
    if method == "encode":
        parts = st.one_of(st.none(), tensor(CODES)), st.one_of(st.none(), tensor(IMAGES), JUNK)
        output = st.builds(Code, *parts)
    else:
        output = tensor(METHODS[method])
    fields = draw(st.one_of(*[st.just({})] * 4, FIELDS))
    return Stranger(method, draw(st.one_of(*[output] * 6, JUNK)), fields)


def measure(folder: Path, given: Stranger) -> None:
    """UserError, or what a benchmark may rely on."""
    system = checked.build("mine", _factory(given), None, CPU)
    x, z = torch.zeros(IMAGES), torch.zeros(CODES)
    arguments = {
        "encode": (x, 2),
        "encode_semantic": (x,),
        "encode_stochastic": (x, z, 2),
        "decode": (Code(z, x), 2),
        "sample_latents": (range(COUNT), 0, 2),
        "sample": (range(COUNT), 0, 2),
        "predict_x0": (x, 10, z),
        "add_noise": (x, 10, x),
        "random_x_T": (range(COUNT), 0),
    }[given.method]
    output = getattr(system, given.method)(*arguments)
    parts = {given.method: output} if isinstance(output, Tensor) else _parts(output, system)
    for name, part in parts.items():
        assert type(part) is Tensor and part.dtype == torch.float32 and not part.requires_grad
        assert not part.is_inference() and bool(torch.isfinite(part).all())
        assert tuple(part.shape) == METHODS[name] or given.fields, (part.shape, name)
        if name in ("decode", "sample", "predict_x0"):
            assert part.min() >= -1 and part.max() <= 1


def _parts(code: object, system: System) -> dict[str, Tensor]:
    assert isinstance(code, Code)
    assert (code.semantic is not None) or SEMANTIC not in system.capabilities
    assert (code.x_T is not None) or STOCHASTIC not in system.capabilities
    parts = {"encode_semantic": code.semantic, "encode_stochastic": code.x_T}
    return {name: part for name, part in parts.items() if part is not None}


def _factory(given: Stranger) -> type[System]:
    """A system that does everything as it should, but for what is given."""

    def returning(output: object):
        def method(self: System, *_: object) -> object:
            if isinstance(output, BaseException):
                raise output
            return output

        return method

    good = {name: returning(torch.zeros(shape)) for name, shape in METHODS.items()}
    good |= {"encode": returning(Code(torch.zeros(CODES), torch.zeros(IMAGES)))}
    fields = {
        "title": "mine", "capabilities": frozenset(IN_WORDS), "image_size": SIZE, "fingerprint": "1",
        "semantic_dim": DIM, "latent_dim": DIM + 3 * SIZE**2, "__init__": lambda self, *_: None,
    }  # fmt: skip
    return type(
        "Mine", (System,), good | fields | given.fields | {given.method: returning(given.output)}
    )
