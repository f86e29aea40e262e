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
    from diffae.images.classifier import Classifier as Classifier
    from diffae.images.classifier import classifier_of as classifier_of
    from diffae.images.classifier import learn as learn
    from diffae.images.classifier import learn_from_two as learn_from_two
    from diffae.images.marks import read_mark as read_mark
    from diffae.images.marks import save as save
    from diffae.images.reading import read as read
    from diffae.images.verbs import Accepted as Accepted
    from diffae.images.verbs import CodePair as CodePair
    from diffae.images.verbs import decode as decode
    from diffae.images.verbs import edit as edit
    from diffae.images.verbs import encode as encode
    from diffae.images.verbs import interpolate as interpolate
    from diffae.images.verbs import reconstruct as reconstruct
    from diffae.images.verbs import sample as sample
    from diffae.images.verbs import sample_class as sample_class
    from diffae.images.verbs import to_pil as to_pil
    from diffae.images.verbs import vary as vary

# By their modules, which are imported on use: they need PyTorch, and `--help` answers at once.
NAMES = {
    "classifier": "Classifier classifier_of learn learn_from_two",
    "marks": "read_mark save",
    "reading": "read",
    "verbs": "Accepted CodePair decode edit encode interpolate reconstruct sample sample_class to_pil vary",
}
__all__ = [name for names in NAMES.values() for name in names.split()]


def __getattr__(name: str) -> Any:
    for place, names in NAMES.items():
        if name in names.split():
            return getattr(importlib.import_module(f"{__name__}.{place}"), name)
    raise AttributeError(f"module 'diffae.images' has no attribute {name!r}")
