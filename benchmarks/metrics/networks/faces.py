"""Face identity: how alike two faces are to a network that distinguishes people (Appendix G).

The networks are in `arcface.py`, in `portraits.py` (a network of our own for the drawn portraits)
and in `dlib_faces.py` (for photographs, without ArcFace's weights). Two embeddings are compared by
their cosine, or by their Euclidean distance where lower values of the metric are better.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from benchmarks import weights
from benchmarks.metrics.pixel import seen
from benchmarks.runtime.calling import Batches
from reports.records.metrics import METRICS
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
