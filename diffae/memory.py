"""Errors that say that there is too little memory, on a CPU or a GPU."""

import torch

# Parts of the text of a RuntimeError.
REFUSALS = (
    "out of memory",  # CUDA itself: AcceleratorError, which is no torch.OutOfMemoryError
    "ALLOC_FAILED",  # cuBLAS and cuDNN
    "ALLOCATION_FAILED",  # cuDNN 9
    "can't allocate memory",  # PyTorch's allocator on CPUs
    "not enough memory",
    "bad_alloc",
    "could not create a memory",  # oneDNN
    # A tensor of 2^31 elements or more, which kernels of a GPU cannot index: half as many would do.
    "canUse32BitIndexMath",
    "less than INT_MAX elements",
)


def is_refusal(error: BaseException | None) -> bool:
    """Whether an error, or what it was raised from, says that fewer examples at once may do."""
    if error is None:
        return False
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    told = isinstance(error, RuntimeError) and any(words in str(error) for words in REFUSALS)
    return told or is_refusal(error.__cause__)
