"""The base class of systems: one interface, so that every benchmark measures all models alike.

A system lists what it can do in `capabilities`; a benchmark states what it needs. To write a system
of your own in fifteen lines, subclass `System`, set the fields, and write the methods that its
capabilities need.
"""

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from benchmarks.runtime.errors import NotAvailable
from benchmarks.systems.protocol import parts
from benchmarks.systems.protocol.parts import Part, Semantic
from diffae.checkpoints.trained_on import TrainedOn
from diffae.data import Dataset
from diffae.diffusion import noise
from diffae.diffusion.gaussian import add_noise, linear_alphas
from diffae.diffusion.scheme import Scheme
from diffae.system.errors import UserError

# The capabilities of systems, in words for messages.
IN_WORDS = {
    "encode": "encode an image fully",  # images -> code
    "decode": "decode",  # code -> images
    "semantic": "encode a semantic code",  # a part that a probe can read and an edit can change
    "stochastic": "encode a stochastic code",  # x_T, inverted from an image or drawn at random
    "sample": "sample",  # new images
    "sample_latents": "sample semantic codes",  # new ones
    "predict_x0": "predict an image from a noised one",  # in one network call
}
# The values of `System.describe` by name.
Description = Mapping[str, str | int | float | None]
ENCODE, DECODE, SEMANTIC, STOCHASTIC, SAMPLE, SAMPLE_LATENTS, PREDICT_X0 = IN_WORDS

Range = tuple[float, float]  # the lowest and the highest value of an image
HERE: Range = (-1.0, 1.0)  # that of all images, unless a system states its own


@dataclass(frozen=True)
class Code:
    """A code of N images: the semantic part and the stochastic part x_T, if the system has them.

    `semantic` is a tensor N x ... in the model's own shape, integers (int64) if it is tokens; or a
    tuple of such tensors, for the levels of a hierarchy.
    """

    semantic: Semantic | None = None
    x_T: Tensor | None = None

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """All tensors of the code."""
        semantic = self.semantic if isinstance(self.semantic, tuple) else (self.semantic,)
        return tuple(part for part in (*semantic, self.x_T) if part is not None)

    def each(self, change: Callable[[Tensor], Tensor]) -> "Code":
        """The code with every tensor changed."""
        semantic = None if self.semantic is None else parts.each(change, self.semantic)
        return Code(semantic, None if self.x_T is None else change(self.x_T))


def needed(part: Semantic | None, name: str) -> Tensor:
    """A part of a code that a method needs, as one tensor; messages call it `name`.

    Raises UserError if it is missing or several tensors.
    """
    if part is None:
        raise UserError(f"the code has no {name}, which is needed here")
    if not isinstance(part, Tensor):
        raise UserError(f"the {name} of the code is {len(part)} tensors; one is needed here")
    return part


def several(part: Semantic | None, name: str) -> tuple[Tensor, ...]:
    """A part of a code that a method needs, as its tensors. Raises UserError if it is missing."""
    return (needed(part, name),) if part is None or isinstance(part, Tensor) else part


class System:
    """Base class of systems. Images are N x 3 x S x S in [-1, 1], unless `range` says otherwise.

        name          its name in commands, such as "diffae"; a plug-in's is the name of its entry point
        title         its name in tables, such as "DiffAE"; the paper's name for it if there is one
        capabilities  what it can do: words of the list above
        image_size    S; None if it takes images of any size
        stride        if set, images may have any height and width that are multiples of it; the system is measured at
                      `image_size`
        latent_dim    numbers in a code in all, as papers count them. It need not be set if they follow from the
                      `semantic_parts` at `image_size`
        semantic_dim  numbers in the semantic part, 0 if there is none. A system without x_T need not set it: it is then
                      `latent_dim`
        semantic_parts  the shapes of the tensors of the semantic part, and how a probe reads them (parts.py). None: one
                      vector N x semantic_dim. If they are set, `semantic_dim` need not be
        code_bits     bits of a code, for a system that quantises. None: the bits of its tokens, if it has any
        lengths       of a code whose beginning can be decoded alone: how many of its tokens, or of its numbers along the
                      first axis, may be kept, ascending. `decode` then takes `keep`, one of them. None: all are needed
        fingerprint   a text that changes whenever the outputs may change: results are stored under it. For a plug-in a
                      hash of the weights is enough; a hash of its source is added
        iterative     whether its methods use their argument `steps` (T)
        solver        the solver, if it can use several (see `solving`). None: it has no choice
        computes_in_float64  True if `decode` computes in float64 once the modules of `networks()` have been converted.
                      Path lengths are then computed in float64; in float32 their third digit is wrong
        reference     whether its rows are only for reference, and never the best of a table
        range         the lowest and the highest value of an image, if they are others than -1 and 1: (0, 1) or (0, 255).
                      The methods are then given images in it, and what they return is taken to be in it. (-1, 1) says
                      that images are as they should be; None is the same, but the first decoded images are checked
        clamped       whether what it decodes is cut to [-1, 1] (see `unclamped`)
        random        True if results differ between calls by design. Otherwise the rows of such a system get a note
        trained_on    the record of its training, if there is one
        origin        set by `systems.load`: the address on the Hub that its checkpoint came from, with the commit
        live          a module that belongs to the caller and may be trained further. It is in evaluation mode during
                      calls only, and a digest of its state is added to `fingerprint`

    `systems.load` puts every system behind `checked.Checked`: methods are called without gradients,
    with copies of tensors on the device that `__init__` was given (`fit`: on the CPU), and what
    they return is checked and copied. Settings of the process that the code of a package changes
    (PyTorch's default dtype, the working directory) hold in its own calls only.
    """

    name: str
    title: str
    capabilities: frozenset[str]
    image_size: int | None = None
    stride: int | None = None
    latent_dim: int = 0
    semantic_dim: int = 0
    semantic_parts: tuple[Part, ...] | None = None
    code_bits: float | None = None
    lengths: tuple[int, ...] | None = None
    fingerprint: str
    iterative: bool = False
    solver: Scheme | None = None
    computes_in_float64: bool = False
    reference: bool = False
    range: Range | None = None
    clamped: bool = True
    random: bool = False
    trained_on: TrainedOn | None = None
    live: nn.Module | None = None
    origin: str = ""

    @property
    def learns_from_data(self) -> bool:
        """Whether the system overrides `fit`, which must then be called before use."""
        return type(self).fit is not System.fit

    def describe(self) -> Description:
        """Properties of the model that its numbers depend on, by name: "model" in protocols."""
        return {}

    def solving(self, solver: str) -> "System":
        """A copy of the system, with the same weights, that uses this solver (diffae.diffusion.scheme).

        A system with its own sampler does not override this, and returns itself.
        """
        return self

    def unclamped(self) -> "System":
        """A copy of the system, with the same weights, that keeps what lies outside [-1, 1].

        For metrics whose published code does not clamp. A system that clamps itself does so by
        `cut`.
        """
        system = copy.copy(self)
        vars(system)["clamped"] = False  # works for a frozen dataclass too
        return system

    def cut(self, images: Tensor) -> Tensor:
        """Images cut to [-1, 1]; those of an `unclamped` system as they are."""
        return images.clamp(-1, 1) if self.clamped else images

    def fit(self, batches: Iterable[Tensor]) -> None:
        """Learn from training images, in batches; called before any other method.

        Only systems that learn from data override it.
        """

    def encode(self, images: Tensor, steps: int = 100) -> Code:
        """The full code of `images`."""
        semantic = self.encode_semantic(images) if SEMANTIC in self.capabilities else None
        x_T = None
        if STOCHASTIC in self.capabilities:
            x_T = self.encode_stochastic(images, semantic, steps)
        return Code(semantic, x_T)

    def encode_semantic(self, images: Tensor) -> Semantic:
        """The semantic code alone: N x d, or in the shapes of `semantic_parts`."""
        raise self._cannot("encode a semantic code")

    def codes_of(self, indices: Sequence[int], dataset: Dataset) -> Semantic:
        """The semantic codes of images by their indices in a data set.

        Only systems that have codes and no encoder override it. Raises NotAvailable for an image
        without a code.
        """
        raise self._cannot("give codes without an encoder")

    def encode_ranked(self, images: Tensor, ranks: Tensor) -> Semantic:
        """The semantic code with other tokens than the nearest, for pFID: of one codebook.

        `ranks` N x ..., int64, has one for each token: 0 takes the code nearest to the encoder's
        output, 1 the next one, and so on. Only systems with one codebook override it.
        """
        raise self._cannot("choose other codes of its codebook")

    def read(self, semantic: Semantic) -> Tensor:
        """The features that a probe reads from a semantic code: N x d, each part by its `reading`."""
        return parts.read(parts_of(self), semantic)

    def move(self, semantic: Semantic, delta: Tensor) -> Semantic:
        """The semantic code, in its own shape, with `delta` [N, d] added to its features (see `read`).

        Raises NotAvailable for tokens, which cannot be edited along a direction. A system that knows
        the vectors of its tokens may override `read` and `move`.
        """
        return parts.move(parts_of(self), semantic, delta)

    def edit(self, code: Code, attribute: str, target: bool, strength: float) -> Code:
        """The codes changed so that the images have the attribute, or lack it if `target` is false.

        Only systems with edits of their own override it. The benchmark `edits` chooses the strength.
        """
        raise self._cannot("edit a code")

    @property
    def codebooks(self) -> Mapping[str, int]:
        """The number of codes of each codebook by its name; {} if nothing is quantised."""
        sizes = [part.codebook for part in self.semantic_parts or () if part.codebook]
        names = [f"part {i + 1}" if len(sizes) > 1 else "codebook" for i in range(len(sizes))]
        return dict(zip(names, sizes, strict=True))

    def tokens(self, code: Code) -> tuple[Tensor, ...]:
        """The indices in each codebook that make up a code, N x ... int64 for each."""
        parts = several(code.semantic, "tokens")
        return tuple(part for part in parts if not part.is_floating_point())

    def encode_stochastic(self, images: Tensor, semantic: Semantic | None, steps: int) -> Tensor:
        """The stochastic code x_T alone, given the semantic one: N x 3 x S x S."""
        raise self._cannot("encode a stochastic code")

    def decode(self, code: Code, steps: int = 100) -> Tensor:
        """Decode codes to images: N x 3 x S x S in [-1, 1].

        A system with `lengths` takes a further `keep` by its name, and decodes the first `keep`
        tokens or numbers alone; None: all.
        """
        raise self._cannot("decode")

    def sample_latents(self, indices: Sequence[int], seed: int, steps: int) -> Semantic:
        """New semantic codes in the form of `encode_semantic`; index i has noise of its own."""
        raise self._cannot("sample semantic codes")

    def sample(self, indices: Sequence[int], seed: int, steps: int) -> Tensor:
        """New images, decoded from new codes; index i has noise of its own."""
        semantic = self.sample_latents(indices, seed, steps)
        x_T = self.random_x_T(indices, seed) if STOCHASTIC in self.capabilities else None
        return self.decode(Code(semantic, x_T), steps)

    def add_noise(self, images: Tensor, t: int, eps: Tensor) -> Tensor:
        """x_t from images and noise (N x 3 x S x S each) by the system's schedule; by default the paper's."""
        return add_noise(images, eps, linear_alphas()[t].repeat(len(images)))

    def predict_x0(self, images_noised: Tensor, t: int, semantic: Semantic | None) -> Tensor:
        """x_0 predicted from x_t in one network call, in [-1, 1]; `semantic` if the code has it."""
        raise self._cannot("predict an image from a noised one")

    def networks(self) -> dict[str, nn.Module]:
        """The networks by their role, to count parameters and calls: by default `modules_of` the system."""
        return modules_of(self)

    def random_x_T(self, indices: Sequence[int], seed: int) -> Tensor:
        """x_T drawn from N(0, I); index i has a generator of its own."""
        assert self.image_size is not None  # a system of any size draws its x_T itself
        return noise.normal(seed, "x_T", indices, (3, self.image_size, self.image_size))

    def _cannot(self, action: str) -> Exception:
        return UserError(f"{type(self).__name__} cannot {action}")


def modules_of(owner: object) -> dict[str, nn.Module]:
    """The modules among the attributes of an object by name, without those that are parts of others."""
    attributes = getattr(owner, "__dict__", {})
    names = {value: name for name, value in attributes.items() if isinstance(value, nn.Module)}
    inner = {part for module in names for part in module.modules() if part is not module}
    return {name: module for module, name in names.items() if module not in inner}


def parts_of(system: System) -> tuple[Part, ...]:
    """The parts of a semantic code: one vector, unless the system has `semantic_parts`.

    Raises NotAvailable for a system without a semantic code.
    """
    if system.semantic_parts or system.semantic_dim:
        return system.semantic_parts or (Part((system.semantic_dim,)),)
    if SEMANTIC not in system.capabilities:
        raise NotAvailable(f"{system.title} cannot {IN_WORDS[SEMANTIC]}")
    return (Part((system.latent_dim,)),)


def reading_of(system: System) -> dict[str, str]:
    """How probes read the code, for a protocol; nothing for a vector that is read as it is."""
    if has_own(system, "read"):
        return {"reading": "the system's own"}
    if system.semantic_parts is None:
        return {}
    return {"reading": "; ".join(part.describe() for part in system.semantic_parts)}


def why_immovable(system: System) -> str:
    """The reason why the semantic code cannot be edited; empty if it can."""
    stuck = parts.has_tokens(parts_of(system)) and not has_own(system, "move")
    return parts.NO_DIRECTION if stuck else ""


def has_no_encoder(system: System) -> bool:
    """Whether a system has the codes of some images alone (`codes_of`)."""
    return has_own(system, "codes_of")


def has_own(system: System, method: str) -> bool:
    """Whether a system, checked or not, overrides a method of `System`."""
    kind = type(getattr(system, "inner", system))
    return getattr(kind, method, None) not in (None, getattr(System, method))
