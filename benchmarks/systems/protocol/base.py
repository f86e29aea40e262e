"""What a system is: any model behind one protocol, so that every benchmark measures all of them alike.

A system offers what it can and says so in `capabilities`; a benchmark states what it needs. The fifteen
lines of a system of your own: subclass `System`, set the fields, and write the methods it is capable of.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from benchmarks.systems.protocol import parts
from benchmarks.systems.protocol.parts import Part, Semantic
from diffae.checkpoints.trained_on import TrainedOn
from diffae.diffusion import noise
from diffae.diffusion.gaussian import add_noise, linear_alphas
from diffae.diffusion.scheme import Scheme
from diffae.system.errors import UserError

ENCODE, DECODE, SEMANTIC, STOCHASTIC, SAMPLE, SAMPLE_LATENTS, PREDICT_X0 = (
    "encode",  # images -> code
    "decode",  # code -> images
    "semantic",  # the code has a part that a probe can read and an edit can move
    "stochastic",  # the code has x_T, which can be inverted from an image or drawn at random
    "sample",  # new images
    "sample_latents",  # new semantic codes
    "predict_x0",  # noised images -> what they were, in one network call
)
IN_WORDS = {
    ENCODE: "encode an image fully",
    DECODE: "decode",
    SEMANTIC: "encode a semantic code",
    STOCHASTIC: "encode a stochastic code",
    SAMPLE: "sample",
    SAMPLE_LATENTS: "sample semantic codes",
    PREDICT_X0: "predict an image from a noised one",
}


@dataclass(frozen=True)
class Code:
    """A code of N images: what the system says of them (`semantic`) and the rest (`x_T`), where it has it.

    `semantic` is a tensor N x ... in the model's own shape, whole numbers (int64) where it is tokens; or a tuple of
    such, of the levels of a hierarchy.
    """

    semantic: Semantic | None = None
    x_T: Tensor | None = None


def needed(part: Semantic | None, what: str) -> Tensor:
    """A part of a code that a method cannot do without. Raises UserError if it is not there, or not one tensor."""
    if part is None:
        raise UserError(f"the code has no {what}, which is needed here")
    if not isinstance(part, Tensor):
        raise UserError(f"the {what} of the code is {len(part)} tensors; one is needed here")
    return part


def several(part: Semantic | None, what: str) -> tuple[Tensor, ...]:
    """The tensors of a part that a method cannot do without. Raises UserError if it is not there."""
    return (needed(part, what),) if part is None or isinstance(part, Tensor) else part


class System:
    """Base class of systems. Images are N x 3 x S x S in [-1, 1].

    name          the name it is asked for by, e.g. "diffae"; a plug-in's is that of its entry point
    title         its name in tables, the paper's where it has one, e.g. "DiffAE"
    capabilities  what it can do, see above
    image_size    S, or None if any size will do
    stride        where its `image_size` is only that which it is for: any multiple of this will do
    latent_dim    numbers in a code, in all, as papers count them
    semantic_dim  numbers in its semantic part; 0: none, or, without x_T, all of `latent_dim`
    semantic_parts   the shapes of the semantic part's tensors, and how a probe reads them (parts.py); None: it is a
                  vector N x semantic_dim. With them `semantic_dim` need not be given
    code_bits     bits in the code of a system that quantises; None: what its tokens have, if it is made of such
    fingerprint   changes whenever its outputs may change: results are filed under it. A plug-in's need only tell
                  its weights apart, its source is added
    iterative     whether `steps` (network calls a direction) means anything to it
    solver        what takes the steps of a system that has several (see `solving`); None: it has one way, its own
    computes_in_float64  whether `decode` of float64 codes is float64 throughout once its `networks()` are;
                         path lengths then are exact where float32 is wrong in the third digit
    reference     whether it is a row that gives a scale, and no contender
    random        whether it gives another result for the same images on purpose; else a note on its rows says so
    trained_on    the record of its training, where there is one
    live          a module that belongs to the caller and may go on learning: it is in evaluation mode during calls
                  only, and a digest of its state is added to `fingerprint`

    `systems.load` puts every system behind `checked.Checked`: methods are called without gradients, with copies
    of tensors on the device that `__init__` was given (`fit`: on the CPU), and what they return is checked.
    """

    name: str
    title: str
    capabilities: frozenset[str]
    image_size: int | None = None
    stride: int | None = None
    latent_dim: int
    semantic_dim: int = 0
    semantic_parts: tuple[Part, ...] | None = None
    code_bits: float | None = None
    fingerprint: str
    iterative: bool = False
    solver: Scheme | None = None
    computes_in_float64: bool = False
    reference: bool = False
    random: bool = False
    trained_on: TrainedOn | None = None
    live: nn.Module | None = None

    @property
    def learns_from_data(self) -> bool:
        """Whether `fit` does anything, and the system is of no use before it."""
        return type(self).fit is not System.fit

    def describe(self) -> Mapping[str, Any]:
        """What of the model decides how its numbers are to be read, by name: recorded as "model" in protocols."""
        return {}

    def solving(self, solver: str) -> "System":
        """The same system with its steps taken by the solver of that name (diffae.diffusion.scheme), the same weights
        and all; the system itself where it has only a way of its own."""
        return self

    def fit(self, batches: Iterable[Tensor]) -> None:
        """See training images once before anything else, in batches of which one fits in memory.

        Only systems that learn from them do.
        """

    def encode(self, images: Tensor, steps: int = 100) -> Code:
        """The full code of `images`."""
        semantic = self.encode_semantic(images) if SEMANTIC in self.capabilities else None
        x_T = None
        if STOCHASTIC in self.capabilities:
            x_T = self.encode_stochastic(images, semantic, steps)
        return Code(semantic, x_T)

    def encode_semantic(self, images: Tensor) -> Semantic:
        """The semantic code alone: N x d, or as `semantic_parts` say."""
        raise self._cannot("encode a semantic code")

    def read(self, semantic: Semantic) -> Tensor:
        """What a probe sees of a semantic code: N x d, each part as its `reading` says."""
        return parts.read(parts_of(self), semantic)

    def move(self, semantic: Semantic, delta: Tensor) -> Semantic:
        """The semantic code whose `read` is `delta` [N, d] further, in its own shape.

        Raises NotAvailable for tokens, between which there is no direction: a system that knows what they stand for
        may have a `read` and a `move` of its own.
        """
        return parts.move(parts_of(self), semantic, delta)

    @property
    def codebooks(self) -> Mapping[str, int]:
        """How many codes each codebook has, by its name; {} where nothing is quantised."""
        sizes = [part.codebook for part in self.semantic_parts or () if part.codebook]
        names = [f"part {i + 1}" if len(sizes) > 1 else "codebook" for i in range(len(sizes))]
        return dict(zip(names, sizes, strict=True))

    def tokens(self, code: Code) -> tuple[Tensor, ...]:
        """The numbers in the codebooks of what a code is made of, of each codebook N x ... int64."""
        found = several(code.semantic, "tokens")
        return tuple(part for part in found if not part.is_floating_point())

    def encode_stochastic(self, images: Tensor, semantic: Semantic | None, steps: int) -> Tensor:
        """The stochastic code x_T alone, given the semantic one: N x 3 x S x S."""
        raise self._cannot("encode a stochastic code")

    def decode(self, code: Code, steps: int = 100) -> Tensor:
        """Images of codes: N x 3 x S x S in [-1, 1]."""
        raise self._cannot("decode")

    def sample_latents(self, indices: Sequence[int], seed: int, steps: int) -> Semantic:
        """New semantic codes, the one of index i from noise of its own: as `encode_semantic` gives them."""
        raise self._cannot("sample semantic codes")

    def sample(self, indices: Sequence[int], seed: int, steps: int) -> Tensor:
        """New images, the one of index i from noise of its own: what new codes decode to."""
        semantic = self.sample_latents(indices, seed, steps)
        x_T = self.random_x_T(indices, seed) if STOCHASTIC in self.capabilities else None
        return self.decode(Code(semantic, x_T), steps)

    def add_noise(self, images: Tensor, t: int, eps: Tensor) -> Tensor:
        """x_t of images and noise (N x 3 x S x S each) by the system's schedule; here the paper's."""
        return add_noise(images, eps, linear_alphas()[t].repeat(len(images)))

    def predict_x0(self, images_noised: Tensor, t: int, semantic: Semantic | None) -> Tensor:
        """x_0 predicted from x_t in one network call, in [-1, 1]; `semantic` where the code has it."""
        raise self._cannot("predict an image from a noised one")

    def networks(self) -> dict[str, nn.Module]:
        """The networks by the part that each plays, for counting; empty: not applicable."""
        return {}

    def random_x_T(self, indices: Sequence[int], seed: int) -> Tensor:
        """x_T drawn from N(0, I), the one of index i from a generator of its own."""
        side: Any = self.image_size  # a system of any size draws its x_T itself
        return noise.normal(seed, "x_T", indices, (3, side, side))

    def _cannot(self, what: str) -> Exception:
        return UserError(f"{type(self).__name__} cannot {what}")


def parts_of(system: System) -> tuple[Part, ...]:
    """What a semantic code is made of: one vector, unless the system says otherwise."""
    return system.semantic_parts or (Part((system.semantic_dim,)),)


def reading_of(system: System) -> dict[str, str]:
    """How probes read the code, for a protocol; nothing of a vector that is read as it is."""
    if has_own(system, "read"):
        return {"reading": "the system's own"}
    if system.semantic_parts is None:
        return {}
    return {"reading": "; ".join(part.describe() for part in system.semantic_parts)}


def why_immovable(system: System) -> str:
    """Why no edit can move the semantic code; nothing where one can."""
    stuck = parts.has_tokens(parts_of(system)) and not has_own(system, "move")
    return parts.NO_DIRECTION if stuck else ""


def has_own(system: System, method: str) -> bool:
    """Whether a system, checked or not, has a method of its own in place of that of `System`."""
    kind = type(getattr(system, "inner", system))
    return getattr(kind, method) is not getattr(System, method)
