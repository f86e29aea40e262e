"""How many pictures does a direction need? Directions learnt from two folders, and the classifier's.

    python docs/results/few_pictures.py

The cosine between the direction that `learn --with --without` learns from so many pictures of each
kind and that of the packaged classifier: the mean over three draws from held-out portraits, and
their smallest and largest.
"""

import numpy as np
from measure import table

from diffae import DiffusionAutoencoder
from diffae.data import open_portraits
from diffae.images.classifier import classifier_of, codes_of, learn_from_two

COUNTS = (10, 50, 200)
ATTRIBUTES = ("Male", "Eyeglasses", "Smiling", "Young", "Wavy_Hair")
DRAWS = 3
POOL = 6_000  # of the test split of 40,000 portraits


def main() -> None:
    model = DiffusionAutoencoder.from_pretrained("portraits")
    known = classifier_of(model)
    data = open_portraits(40_000, 32)
    indices = np.asarray(data.indices("test"))[:POOL]
    z, labels = codes_of(model, data, indices), data.labels(indices)

    def cosine(name: str, count: int, draw: int) -> float:
        column = labels[:, data.attribute_names.index(name)]
        rng = np.random.default_rng([draw, count])
        having, lacking = (rng.choice(np.flatnonzero(of), count, False) for of in (column, ~column))
        found = learn_from_two(model, z[having], z[lacking], name)
        return float(found.probe.direction(0) @ known.probe.direction(known.index(name)))

    rows = []
    for count in COUNTS:
        of = [[cosine(name, count, draw) for draw in range(DRAWS)] for name in ATTRIBUTES]
        cells = [f"{np.mean(one):.2f} ({min(one):.2f} to {max(one):.2f})" for one in of]
        rows.append([str(count), *cells])
    print(table(rows, ["pictures of each kind", *ATTRIBUTES]))


if __name__ == "__main__":
    main()
