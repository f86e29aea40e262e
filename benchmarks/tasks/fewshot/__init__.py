"""Few-shot conditional samples (Table 3).

`fewshot` measures them, `classes` defines the classes and rules.
"""
