"""ArcFace: face embeddings by insightface, from a local .onnx file.

Deng et al., "ArcFace: additive angular margin loss for deep face recognition", 2019. Its pretrained
weights are for non-commercial research only.

No face is detected or aligned: an image is taken to be one face crop, as in CelebA's aligned images
and FFHQ.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks import weights
from benchmarks.metrics.networks.faces import FaceEmbedding
from benchmarks.metrics.pixel import resize, to_unit
from diffae.system.errors import UserError

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


def _bgr_images(images: Tensor) -> list[Any]:
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
