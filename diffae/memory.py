"""Errors that are raised when there is too little memory, on a CPU or a GPU."""

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
    """Whether an error, or its cause, says that memory was too small for so many examples at once."""
    if error is None:
        return False
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    if isinstance(error, RuntimeError) and any(words in str(error) for words in REFUSALS):
        return True
    return is_refusal(error.__cause__)
