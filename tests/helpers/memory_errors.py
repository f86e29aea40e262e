"""What PyTorch raises where memory ran out, or where a tensor is too long for a GPU's kernels."""

import torch

CPU = "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 64 bytes. Error code 12 (Cannot allocate memory)"
GPU = "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.11 GiB"
CUDA = "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported at some other API call"
INDICES = "Expected canUse32BitIndexMath(input) && canUse32BitIndexMath(output) to be true, but got false."
NEAREST = "upsample_nearest2d only supports output tensors with less than INT_MAX elements, but got [512, 256, 128, 128]"

OF_A_GPU = {
    "allocator": torch.OutOfMemoryError(GPU),
    "cuda": getattr(torch, "AcceleratorError", RuntimeError)(CUDA),  # since 2.8
    "cublas": RuntimeError(
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"
    ),
    "cudnn": RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
    "indices": RuntimeError(INDICES),
}
MEMORY_ERRORS = [
    MemoryError(),
    RuntimeError(CPU),
    RuntimeError("could not create a memory object"),
    *OF_A_GPU.values(),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError(NEAREST),
]
