"""Tensors on the pretend GPU, and what its operations refuse, wait for and compute.

Every operation comes to `run`: a tensor of the GPU's by `GPUTensor`, the making of a new one by
`OnGPU`. It is checked, counted, and computed on the CPU's memory within.
"""

from collections.abc import Callable
from copy import copy
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from pretend_gpu.counts import NO_MEMORY, NUMBER, SIZE, TO_CPU, TO_GPU, TO_GPU_LATER, count

aten = torch.ops.aten
GPU = torch.device("cuda:0")

COPYING = {aten.copy_.default, aten._to_copy.default}  # may have tensors of two devices
INDEXING = {"index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index"}
PRODUCTS = {"mm", "bmm", "addmm", "baddbmm", "addbmm", "dot", "mv", "addmv"}
RESIZING = ("upsample_bi", "_upsample_bi")
NOT_IN_CUDA = {"histogram", "histogramdd", "_histogramdd_bin_edges"}
WAITING = {
    "_local_scalar_dense": NUMBER,
    "equal": NUMBER,
    "_linalg_check_errors": NUMBER,
    "linalg_eig": NUMBER,
    "nonzero": SIZE,
    "masked_select": SIZE,
    "unique_dim": SIZE,
    "_unique2": SIZE,
    "unique_consecutive": SIZE,
    "bincount": SIZE,
}


class GPUTensor(Tensor):
    """A tensor on the pretend GPU; `inner` is the one on the CPU that has its numbers."""

    inner: Tensor
    held: "Memory"
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, inner: Tensor, requires_grad: bool = False) -> "GPUTensor":
        found = Tensor._make_wrapper_subclass(
            cls,
            inner.size(),
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=GPU,
            requires_grad=requires_grad,
        )
        found.inner = inner
        found.held = Memory(inner.untyped_storage())
        return found

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(func, args, kwargs or {})

    def __repr__(self) -> str:
        return f"{self.inner!r} on {GPU}"

    def __deepcopy__(self, memo: dict[int, Any]) -> "GPUTensor":
        if id(self) not in memo:
            found = GPUTensor(self.inner.detach().clone(), self.requires_grad)
            if isinstance(self, torch.nn.Parameter):
                found._is_param = True
            memo[id(self)] = found
        return memo[id(self)]

    def untyped_storage(self) -> torch.UntypedStorage:
        return self.inner.untyped_storage()

    def data_ptr(self) -> int:
        return self.inner.data_ptr()

    def tolist(self) -> Any:
        count(NUMBER)
        return self.inner.tolist()

    def numpy(self, *, force: bool = False) -> Any:
        if not force:
            raise TypeError(
                "can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() to copy the tensor to host memory first."
            )
        return self.detach().cpu().numpy()


class OnGPU(TorchDispatchMode):
    """Within it, operations with `device="cuda"` make tensors on the pretend GPU."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # would import the compiler

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(func, args, kwargs or {})


class Room:
    """What fits; more raises `error`.

    examples    of a batch, in a convolution
    bytes       of all tensors. A convolution takes as many bytes as its input from what is not
                reserved, as libraries do that know nothing of PyTorch's cache.
    """

    examples: int | None = None
    bytes: int | None = None
    error: Exception = torch.OutOfMemoryError()


class Memory:
    """A tensor's share of the GPU's memory, given back as it goes; and its bytes, as torch.cuda counts.

    What is freed stays cached, and so reserved, until `empty_cache`, or until a new tensor does not
    fit otherwise.
    """

    holders: dict[int, int] = {}  # storages by address: the tensors that have it
    allocated = reserved = most = 0

    def __init__(self, storage: torch.UntypedStorage):
        where, size = storage.data_ptr(), storage.nbytes()
        if where not in self.holders:
            self._allocate(size)
        self.holders[where] = self.holders.get(where, 0) + 1
        self.where, self.size = where, size

    def __del__(self) -> None:
        if (where := vars(self).get("where")) is None:
            return  # there was no room
        self.holders[where] -= 1
        if not self.holders[where]:
            del self.holders[where]
            Memory.allocated -= self.size

    @classmethod
    def _allocate(cls, size: int) -> None:
        if Room.bytes is not None and max(cls.reserved, cls.allocated + size) > Room.bytes:
            cls.empty_cache()
            if cls.allocated + size > Room.bytes:
                count(NO_MEMORY)
                raise copy(Room.error)  # which would keep the frames that it went through
        cls.allocated += size
        cls.reserved, cls.most = (max(one, cls.allocated) for one in (cls.reserved, cls.most))

    @classmethod
    def empty_cache(cls) -> None:
        cls.reserved = cls.allocated

    @classmethod
    def reset_peak(cls) -> None:
        cls.most = cls.allocated


def changed(kind: type, change: Callable[[Any], Any], value: Any) -> Any:
    """Arguments or results of an operation, with `change` of what is of a kind in them."""
    if isinstance(value, kind):
        return change(value)
    if isinstance(value, tuple | list):
        return type(value)(changed(kind, change, one) for one in value)
    if isinstance(value, dict):
        return {name: changed(kind, change, one) for name, one in value.items()}
    return value


def run(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """An operation of PyTorch, as on a computer with a GPU."""
    tensors: list[Tensor] = []
    changed(Tensor, tensors.append, (args, kwargs))
    inputs = [one for one in tensors if isinstance(one, GPUTensor)]
    name = func.name().removeprefix("aten::").partition(".")[0]
    device = kwargs.get("device")
    if name in ("_fused_sdp_choice", "is_pinned") and inputs:
        return 0  # attention written out; not pinned
    to_gpu = bool(inputs) if device is None else torch.device(device).type == "cuda"
    if func is aten.copy_.default:
        to_gpu = isinstance(args[0], GPUTensor)
    if inputs:
        _refuse(func, name, args, tensors)
    if inputs or to_gpu:
        _count(func, name, args, kwargs, to_gpu)
        _fit(name, tensors)
    result = _computed(func, args, kwargs, to_gpu)
    of_input = {id(one.inner): one for one in inputs}
    if any(one.shape != one.inner.shape for one in inputs):
        raise NotImplementedError(f"pretend GPU: {func} changes a shape in place")

    def outer(value: Tensor) -> Tensor:
        known = of_input.get(id(value))
        return known if known is not None else GPUTensor(value) if to_gpu else value

    return changed(Tensor, outer, result)


def _computed(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], to_gpu: bool) -> Any:
    """The result on the CPU. Generators of the GPU lend their state to one of the CPU."""
    lent: list[tuple[torch.Generator, torch.Generator]] = []

    def lend(of_gpu: torch.Generator) -> torch.Generator:
        if (of_gpu.device.type == "cuda") != to_gpu:
            kind = GPU.type if to_gpu else "cpu"
            raise RuntimeError(
                f"Expected a '{kind}' device type for generator but found '{of_gpu.device.type}'"
            )
        if not to_gpu:
            return of_gpu
        own = torch.Generator()
        own.set_state(of_gpu.get_state())
        lent.append((of_gpu, own))
        return own

    args, kwargs = changed(torch.Generator, lend, (args, kwargs))
    args, kwargs = changed(GPUTensor, lambda one: one.inner, (args, kwargs))
    if to_gpu and kwargs.get("device") is not None:
        if torch.device(kwargs["device"]).index not in (None, 0):
            raise RuntimeError("CUDA error: invalid device ordinal")
        kwargs |= {"device": torch.device("cpu")}
    result = func(*args, **kwargs | ({"pin_memory": False} if kwargs.get("pin_memory") else {}))
    for of_gpu, own in lent:
        of_gpu.set_state(own.get_state())
    return result


def _refuse(func: Any, name: str, args: tuple[Any, ...], tensors: list[Tensor]) -> None:
    """Raise what a GPU raises for operands that it does not take."""
    dtype = tensors[0].dtype
    if name in NOT_IN_CUDA:
        raise NotImplementedError(
            f"Could not run 'aten::{name}' with arguments from the 'CUDA' backend."
        )
    if name in PRODUCTS and not (dtype.is_floating_point or dtype.is_complex):
        raise RuntimeError(f'"addmm_cuda" not implemented for {dtype}')
    if name.startswith(RESIZING) and dtype == torch.uint8:
        raise RuntimeError(f"\"{name}_out_frame\" not implemented for 'Byte'")
    if func in COPYING:
        return
    if name in INDEXING:  # a tensor on the GPU may have indices on the CPU, which are copied
        if not isinstance(args[0], GPUTensor):
            raise RuntimeError(
                "indices should be either on cpu or on the same device as the indexed tensor (cpu)"
            )
        tensors = [one for one in args[2:3] if isinstance(one, Tensor)]
    # A number in a tensor without dimensions may be on the CPU.
    if any(one.ndim for one in tensors if not isinstance(one, GPUTensor)):
        raise RuntimeError(
            f"Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu! ({func})"
        )


def _count(
    func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], to_gpu: bool
) -> None:
    """Count what an operation waits for or copies."""
    if func in COPYING:
        source = args[1] if func is aten.copy_.default else args[0]
        if isinstance(source, GPUTensor) != to_gpu:
            later = kwargs.get("non_blocking") or (name == "copy_" and len(args) > 2 and args[2])
            count(TO_CPU if not to_gpu else TO_GPU_LATER if later else TO_GPU)
    elif name in INDEXING:
        for index in filter(lambda one: isinstance(one, Tensor), args[1]):
            if not isinstance(index, GPUTensor):
                count(TO_GPU)
            if index.dtype in (torch.bool, torch.uint8):
                count(SIZE)
    elif name in WAITING or func is aten.repeat_interleave.Tensor:
        count(WAITING.get(name, SIZE))


def _fit(name: str, tensors: list[Tensor]) -> None:
    if name != "convolution":
        return
    many = Room.examples is not None and len(tensors[0]) > Room.examples
    workspace = Memory.reserved + tensors[0].nbytes
    if many or (Room.bytes is not None and workspace > Room.bytes):
        count(NO_MEMORY)
        raise copy(Room.error)  # which would keep the frames that it went through
