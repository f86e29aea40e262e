"""The values of --precision and --batch-size. Nothing here needs PyTorch."""

PRECISIONS = ("float32", "tf32", "bfloat16")  # see precision.py
AUTO = "auto"
# images at once, `AUTO`, or None: a chunk of the store; see batches.py
BatchSize = int | str | None
