"""Inputs of `diffae.images`: files of classifiers."""

import json
from pathlib import Path

import numpy as np
import torch
from hypothesis import strategies as st
from safetensors.torch import save

from diffae.images.classifier import FORM, Classifier

COUNT, DIM = 2, 3
VALUES = st.one_of(st.floats(-10, 10, width=32), st.floats(width=32))
SHAPES = {"weight": (COUNT, DIM), "bias": (COUNT,), "mean": (DIM,), "std": (DIM,)}
NOTES = {"form": FORM, "names": json.dumps(["Male", "Young"]), "checkpoint": "", "made": "here"}
ODD = st.one_of(
    st.sampled_from(
        ['["A"]', "[1, 2]", "{}", "[" * 5000, "null", '["A", "A"]', '["\\ud800", "B"]']
    ),
    st.text(max_size=9),
)


@st.composite
def classifier_file(draw) -> bytes:
    """A classifier whose tensors and notes have up to two lies."""
    tensors = {
        name: torch.tensor(draw(st.lists(st.floats(-9, 9, width=32), min_size=n, max_size=n)))
        for name, n in ((name, int(np.prod(shape))) for name, shape in SHAPES.items())
    }
    tensors = {name: tensor.reshape(SHAPES[name]) for name, tensor in tensors.items()}
    notes = dict(NOTES)
    for _ in range(draw(st.sampled_from([0, 0, 1, 2]))):
        if draw(st.booleans()):
            name = draw(st.sampled_from(sorted(SHAPES)))
            shape = draw(st.lists(st.integers(0, 4), max_size=3))
            tensors[name] = torch.full(shape, draw(VALUES))
        else:
            notes[draw(st.sampled_from(sorted(NOTES)))] = draw(ODD)
    if draw(st.sampled_from([False, False, False, True])):
        tensors.pop(draw(st.sampled_from(sorted(SHAPES))))
    return save(tensors, notes)


def read_classifier(folder: Path, content: bytes) -> None:
    (folder / "c.safetensors").write_bytes(content)
    known = Classifier.load(folder / "c.safetensors")
    z = torch.zeros(1, len(known.probe.mean))
    assert known.probe.logits(z).shape == (1, len(known.names))
    assert known.move({known.names[0]: 0.5}).isfinite().all()
