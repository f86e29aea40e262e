"""Random weights of metric networks under their published names, and a small face recogniser."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
import torchvision
from onnx import TensorProto, helper, numpy_helper

from benchmarks import weights
from benchmarks.metrics.networks.inception import _fid_inception_v3


def write_random_weights(folder: Path) -> Path:
    """Write seeded weights of Inception and of the trunks of AlexNet and VGG16 to `folder`, which
    is returned.

    The published files of the last two also hold a classifier, which is never read.
    """
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    torch.save(
        _random_state(_fid_inception_v3()), folder / weights.KNOWN["inception"].files[-1].filename
    )
    trunks = {"alexnet": alexnet_trunk(), "vgg16": vgg16_trunk()}
    for name, trunk in trunks.items():
        state = {f"features.{key}": value for key, value in _random_state(trunk).items()}
        torch.save(state, folder / weights.KNOWN[name].files[-1].filename)
    return folder


def alexnet_trunk() -> torch.nn.Module:
    """The convolutions of AlexNet, without the 59 M numbers of its classifier."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("torch.nn.Linear", lambda *sizes: torch.nn.Identity())
        return torchvision.models.alexnet(weights=None).features


def vgg16_trunk() -> torch.nn.Module:
    """The convolutions of VGG16 (configuration D), without the 120 M numbers of its classifier."""
    return torchvision.models.vgg.make_layers(torchvision.models.vgg.cfgs["D"])


def _random_state(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """He-initialised weights, so that the features neither vanish nor overflow."""
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
            torch.nn.init.kaiming_normal_(module.weight)
    return network.state_dict()


def filters(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((64, 3, 16, 16)).astype(np.float32) / 16


FILTERS = filters(0)


def write_onnx(
    path: Path, normalise: tuple[str, str] | None = None, size: int = 112, seed: int = 0
) -> Path:
    """One convolution and an average; `normalise` names nodes that do (x - 127.5) / 127.5."""
    nodes, source = [], "images"
    constants = {
        "filters": filters(seed),
        "mean": np.float32(127.5),
        "scale": np.float32(1 / 127.5),
    }
    if normalise:
        nodes.append(helper.make_node("Sub", [source, "mean"], ["centred"], name=normalise[0]))
        nodes.append(helper.make_node("Mul", ["centred", "scale"], ["scaled"], name=normalise[1]))
        source = "scaled"
    nodes += [
        helper.make_node("Conv", [source, "filters"], ["map"], name="Conv_0", strides=[16, 16]),
        helper.make_node("GlobalAveragePool", ["map"], ["pooled"], name="Pool_1"),
        helper.make_node("Flatten", ["pooled"], ["embedding"], name="Flatten_2"),
    ]
    graph = helper.make_graph(
        nodes,
        "recogniser",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [None, 3, size, size])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [None, 64])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.save(model, path)
    return path
