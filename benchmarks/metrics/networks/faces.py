"""Face identity: how alike two faces are to a network that distinguishes people (Appendix G).

The networks are below (a network of our own for the drawn portraits, and ArcFace) and in
`dlib_faces.py` (for photographs, without ArcFace's weights). Two embeddings are compared by
their cosine, or by their Euclidean distance where lower values of the metric are better.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn

from benchmarks import weights
from benchmarks.metrics.pixel import resize, seen, to_unit
from benchmarks.metrics.units import Units
from benchmarks.runtime.calling import Batches
from diffae.networks.nn import without_weights
from diffae.system.errors import UserError
from reports.records.estimate import Estimate, Influence
from reports.records.metrics import METRICS, seen_through
from reports.records.record import LOWER

AS_IT_IS = {"identity_resize": "bilinear, antialiased", "identity_alignment": "none"}
BLOCK = 64  # embeddings that are compared with all at once


@dataclass(frozen=True)
class FaceEmbedding:
    """Maps faces to embeddings: float32 N x 3 x H x W in [-1, 1] -> float32 [N, dim].

    Images are clamped first, as for every metric (`pixel.seen`). The embedding of an image in which
    no face is found is NaN, and so is every comparison with it. Comparisons are only reported under
    `metric_name`. `preparation` describes how an image becomes the network's input. `sides`, of one
    that looks for the face, gives the side of the square in which it found one, in pixels: [N], NaN
    without a face.
    """

    name: str
    metric_name: str
    input_size: int
    sha256: str
    embed: Callable[[Tensor], Tensor]
    published: bool = True
    preparation: Mapping[str, str] = field(default_factory=lambda: AS_IT_IS)
    sides: Callable[[Tensor], Tensor] | None = None
    batches: Batches = field(default_factory=Batches, compare=False)

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        parts = self.batches.each(
            self.metric_name, len(images), lambda place: self.embed(seen(images[place]))
        )
        return torch.cat(parts)

    @property
    def is_distance(self) -> bool:
        """Whether embeddings are compared by their distance, so that lower is more alike."""
        return METRICS[self.metric_name].direction == LOWER

    def compare(self, a: Tensor, b: Tensor) -> Tensor:
        """The cosine, or the Euclidean distance, of embeddings [N, dim] twice: [N]."""
        if self.is_distance:
            return (a - b).norm(dim=-1)
        return torch.cosine_similarity(a, b, dim=-1)

    def with_others(self, embeddings: Tensor) -> Tensor:
        """The mean comparison of each of K embeddings [K, dim] with the K - 1 others: [K]."""
        if self.is_distance:
            exact = "donot_use_mm_for_euclid_dist"
            sums = [
                torch.cdist(part, embeddings, compute_mode=exact).sum(1)
                for part in embeddings.split(BLOCK)
            ]
            return torch.cat(sums) / (len(embeddings) - 1)
        unit = torch.nn.functional.normalize(embeddings, dim=1)
        return (unit @ unit.sum(0) - 1) / (len(embeddings) - 1)

    def describe(self) -> dict[str, str | int]:
        """The protocol's description: two comparisons are comparable only if all of it is equal."""
        return {
            "identity_network": self.name,
            "identity_sha256": self.sha256,
            "identity_input_size": self.input_size,
            **self.preparation,
            **weights.unpublished("identity", self.published),
        }


def without_face(missing: int, count: int, unit: str) -> str:
    """A note on images or pairs in which no face was found; empty if there are none."""
    return f"no face found in {missing:,} of {count:,} {unit}" if missing else ""


def mean_of_faces(scores: NDArray[np.floating], units: Units) -> Estimate:
    """The mean of comparisons [n] over the pairs with a face in both images; a note counts the others."""
    has_faces = ~np.isnan(scores)
    missing = without_face(int((~has_faces).sum()), len(scores), "pairs")
    if not has_faces.any():
        return Estimate(None, why=missing)
    mean = units.at(has_faces).mean(scores[has_faces])
    return replace(mean, notes=(missing,) if missing else ())


def mean_of_different_people(values: NDArray[np.float64], units: Units) -> Estimate:
    """The mean over pairs of people, from the mean comparison of each with the others [K].

    Each pair counts for both of its people, so the influence of a person is twice that on the mean.
    """
    mean = units.mean_of("persons, a picture each", values)
    influences = (Influence(source.units, 2 * source.values) for source in mean.influences)
    return Estimate(mean.value, tuple(influences), n=mean.n)


# ----------------------------------------------------------------------------------------------
# A face embedding of our own for the drawn portraits, which stands in for ArcFace there: a small network, trained with
# ArcFace's loss on the identities of the procedural portraits (`commands/train_identity.py`). It cannot judge photographs and
# is offered for the portraits only. On people that it was not trained on it separates one person from two with an AUROC of
# 0.998, by cosines of 0.98 (the same person, another picture) and 0.01 (different people)

PORTRAITS = "portraits"
PACKAGED = Path(__file__).with_name("id_portraits.safetensors")
NET_SIZE, NET_DIM = 32, 64


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions with a shortcut; halves the image where `stride` is 2."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.shortcut = nn.Conv2d(in_channels, channels, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.norm1(self.conv1(x)))
        return torch.relu(self.norm2(self.conv2(h)) + self.shortcut(x))


class IdentityNet(nn.Module):
    """Faces to unit vectors: float32 N x 3 x H x W in [-1, 1], resized to 32 px -> [N, 64].

    0.44 M parameters. The last map is flattened, not pooled: where a feature lies in the face distinguishes
    people.
    """

    def __init__(self, widths: tuple[int, ...] = (32, 64, 128)) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, widths[0], 3, 1, 1)
        channels = [widths[0], *widths]
        self.blocks = nn.Sequential(
            *(ResidualBlock(channels[i], channels[i + 1], stride=2) for i in range(len(widths)))
        )
        side = NET_SIZE // 2 ** len(widths)
        self.head = nn.Linear(widths[-1] * side**2, NET_DIM)

    def forward(self, images: Tensor) -> Tensor:
        h = self.blocks(self.stem(resize(images, NET_SIZE)))
        return F.normalize(self.head(h.flatten(1)), dim=1)


def id_portraits(path: Path, device: torch.device) -> FaceEmbedding:
    """The embedding trained on the portraits, from a safetensors file."""
    return _id_portraits(path, weights.sha256(path), device)


@cache  # `evaluate` may be called many times in a process
def _id_portraits(path: Path, sha256: str, device: torch.device) -> FaceEmbedding:
    with without_weights("cpu"):
        network = IdentityNet()
    network.load_state_dict({k: v.float() for k, v in load_file(path).items()})
    network = network.eval().requires_grad_(False).to(device)
    return FaceEmbedding(
        name="identity net (portraits)",
        metric_name=seen_through("arcface", PORTRAITS),
        input_size=NET_SIZE,
        sha256=sha256,
        embed=lambda images: network(images.to(device)),
    )


# ----------------------------------------------------------------------------------------------
# ArcFace (Deng et al., 2019): face embeddings by insightface, from a local .onnx file. Its pretrained weights are for
# non-commercial research only. No face is detected or aligned: an image is taken to be one face crop, as in CelebA's aligned
# images and FFHQ

ARCFACE_SIZE = 112

# Arithmetic that an ONNX graph applies to its input before the first layer when it normalises by
# itself.
ARITHMETIC = {"Sub", "Add", "Mul", "Div"}


def arcface(path: Path, device: torch.device) -> FaceEmbedding:
    """An insightface recogniser from a local .onnx file. Raises UserError if it is not one."""
    recogniser = _recogniser(path, device)

    def embed(images: Tensor) -> Tensor:
        return torch.from_numpy(recogniser.get_feat(_bgr_images(images))).to(images.device)

    return FaceEmbedding(
        name=f"insightface ({path.name})",
        metric_name="arcface",
        input_size=ARCFACE_SIZE,
        sha256=weights.sha256(path),
        published=weights.is_published(path),
        embed=embed,
    )


def _bgr_images(images: Tensor) -> list[np.ndarray]:
    """The input of `get_feat`: 112 px uint8 H x W x 3 arrays, in the order BGR as in OpenCV."""
    images = to_unit(resize(images, ARCFACE_SIZE)).mul(255).round().byte()
    return list(images.flip(1).permute(0, 2, 3, 1).cpu().contiguous().numpy())


def _recogniser(path: Path, device: torch.device) -> Any:
    """insightface's ArcFaceONNX, after checks that insightface does not make itself."""
    import onnxruntime
    from insightface.model_zoo import ArcFaceONNX

    wanted = ["CUDAExecutionProvider"] if device.type == "cuda" else []
    available = onnxruntime.get_available_providers()
    providers = [p for p in [*wanted, "CPUExecutionProvider"] if p in available]
    normalises = _normalises_inside(path)
    session = onnxruntime.InferenceSession(str(path), providers=providers)
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if len(inputs) != 1 or inputs[0].shape[1:] != [3, ARCFACE_SIZE, ARCFACE_SIZE]:
        raise UserError(f"{path}: not a face recogniser: it must take N x 3 x 112 x 112 images")
    if len(outputs) != 1 or [type(size) for size in outputs[0].shape[1:]] != [int]:
        raise UserError(f"{path}: not a face recogniser: it must give one N x d embedding")
    recogniser = ArcFaceONNX(model_file=str(path), session=session)
    if normalises != (recogniser.input_mean == 0):
        raise UserError(
            f"{path}: the graph {'normalises' if normalises else 'does not normalise'} its input, "
            "but insightface guesses the opposite from the names of its nodes: "
            "export it without normalisation inside"
        )
    return recogniser


def _normalises_inside(path: Path) -> bool:
    """Whether the graph applies arithmetic to its input before anything else.

    insightface guesses this from node names and would otherwise normalise twice, or not at all.
    """
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(str(path))
        onnx.checker.check_model(model)
    except (DecodeError, onnx.checker.ValidationError):
        raise UserError(f"{path}: not readable as ONNX") from None
    graph = model.graph
    constants = {tensor.name for tensor in graph.initializer}
    inputs = {value.name for value in graph.input} - constants
    first = next((node for node in graph.node if inputs & set(node.input)), None)
    return first is not None and first.op_type in ARITHMETIC
