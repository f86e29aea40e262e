"""Face identity: how alike two faces are to a network that distinguishes people (Appendix G).

The networks are in `arcface.py`, below (a network of our own for the drawn portraits) and in
`dlib_faces.py` (for photographs, without ArcFace's weights). Two embeddings are compared by
their cosine, or by their Euclidean distance where lower values of the metric are better.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from benchmarks import weights
from benchmarks.metrics.pixel import resize, seen
from benchmarks.runtime.calling import Batches
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
    preparation: Mapping[str, Any] = field(default_factory=lambda: AS_IT_IS)
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

    def describe(self) -> dict[str, Any]:
        """The protocol's description: two comparisons are comparable only if all of it is equal."""
        return {
            "identity_network": self.name,
            "identity_sha256": self.sha256,
            "identity_input_size": self.input_size,
            **self.preparation,
            **weights.unpublished("identity", self.published),
        }


def without_face(missing: int, count: int, what: str) -> str:
    """A note on images or pairs in which no face was found; empty if there are none."""
    return f"no face found in {missing:,} of {count:,} {what}" if missing else ""


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
    network = IdentityNet()
    network.load_state_dict({k: v.float() for k, v in load_file(path).items()})
    network = network.eval().requires_grad_(False).to(device)
    return FaceEmbedding(
        name="identity net (portraits)",
        metric_name=seen_through("arcface", PORTRAITS),
        input_size=NET_SIZE,
        sha256=weights.sha256(path),
        embed=lambda images: network(images.to(device)),
    )
