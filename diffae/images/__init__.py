"""The functions behind the verbs of `python -m diffae.images`, for a notebook.

    from diffae import DiffusionAutoencoder, images
    model = DiffusionAutoencoder.from_pretrained("portraits")
    x = images.read(["me.jpg"], model.image_size)               # N x 3 x S x S in [-1, 1]
    smiling = images.edit(model, x, {"Smiling": 0.3})           # the same shape and range
    images.to_pil(smiling)[0].show()

`reconstruct`, `vary`, `interpolate`, `edit`, `sample` and `sample_class` take a model and tensors
and return tensors; they are built on `encode` and `decode`. All take `steps` and `solver`
(`diffae.diffusion`), by default the ones that are fast on a CPU, and their noise depends on `seed`
and the picture's number alone. `Classifier` has the direction of an attribute; it can be saved,
loaded and learnt. `save` writes a PNG that is marked as made by a model.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from diffae.images.classifier import Classifier, classifier_of, learn, learn_from_two
    from diffae.images.marks import read_mark, save
    from diffae.images.reading import read
    from diffae.images.verbs import (
        Accepted,
        Code,
        decode,
        edit,
        encode,
        interpolate,
        moved,
        reconstruct,
        sample,
        sample_class,
        to_pil,
        vary,
    )

__all__ = [
    "Accepted",
    "Classifier",
    "Code",
    "classifier_of",
    "decode",
    "edit",
    "encode",
    "interpolate",
    "learn",
    "learn_from_two",
    "moved",
    "read",
    "read_mark",
    "reconstruct",
    "sample",
    "sample_class",
    "save",
    "to_pil",
    "vary",
]


def __getattr__(name: str) -> Any:
    """Import torch only when something is used, so that `--help` answers at once."""
    if name in __all__:
        for place in ("classifier", "marks", "reading", "verbs"):
            module = importlib.import_module(f"{__name__}.{place}")
            if hasattr(module, name):
                return getattr(module, name)
    raise AttributeError(f"module 'diffae.images' has no attribute {name!r}")
