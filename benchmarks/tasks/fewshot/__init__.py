"""Few-shot conditional samples (Table 3): `fewshot` measures, `classes` says of which class and by which rule."""
