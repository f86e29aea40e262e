"""The pretend GPU as `torch.cuda`. Imported before PyTorch, whose C++ part is told of it first."""

import contextlib
import ctypes
import threading
import types
from collections.abc import Callable
from typing import Any

from pretend_gpu import library, torch_folder

for name in (torch_folder() / "lib/libc10.so", torch_folder() / "lib/libtorch_cpu.so", library()):
    ctypes.CDLL(str(name), mode=ctypes.RTLD_GLOBAL)

import torch  # noqa: E402

from pretend_gpu.counts import SYNCHRONIZE, count  # noqa: E402
from pretend_gpu.tensor import Memory, OnGPU  # noqa: E402

GIB = 2**30
PROPERTIES = types.SimpleNamespace(
    name="Pretend GPU", total_memory=80 * GIB, major=9, minor=0, multi_processor_count=132
)


def install() -> None:
    """Give this process a pretend GPU until it ends."""
    for name, value in _functions().items():
        setattr(torch.cuda, name, value)
    torch._C._set_only_lift_cpu_tensors(True)  # torch.tensor(..., device="cuda")
    torch.__future__.set_swap_module_params_on_conversion(True)  # module.to("cuda")
    torch.Tensor.pin_memory = lambda self, device=None: self.clone()
    # An inference tensor cannot be a view of a GPUTensor.
    torch.inference_mode = lambda on=True: torch.no_grad() if on else contextlib.nullcontext()
    _in_every_thread()
    OnGPU().__enter__()


def _index(device: Any = None) -> int:
    index = torch.device(device).index if isinstance(device, str | torch.device) else device
    if index not in (None, -1, 0):
        raise AssertionError("Invalid device id")
    return 0


def _of_device(value: Any) -> Callable[..., Any]:
    """A function of a device with that result."""

    def found(device: Any = None) -> Any:
        _index(device)
        return value() if callable(value) else value

    return found


def _functions() -> dict[str, Any]:
    """What takes the place of functions of torch.cuda."""
    state = torch.Generator("cuda")
    return {
        "is_available": lambda: True,
        "is_initialized": lambda: True,
        "init": lambda: None,
        "_lazy_init": lambda: None,
        "_lazy_call": lambda call, **options: None,
        "_is_in_bad_fork": lambda: False,
        "is_bf16_supported": lambda including_emulation=True: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "set_device": _index,
        "device": _of_device(contextlib.nullcontext),
        "_exchange_device": _index,
        "_maybe_exchange_device": _index,
        "get_device_name": _of_device(PROPERTIES.name),
        "get_device_capability": _of_device((PROPERTIES.major, PROPERTIES.minor)),
        "get_device_properties": _of_device(PROPERTIES),
        "mem_get_info": _of_device(lambda: (70 * GIB - Memory.reserved, 80 * GIB)),
        "memory_allocated": _of_device(lambda: Memory.allocated),
        "memory_reserved": _of_device(lambda: Memory.reserved),
        "max_memory_allocated": _of_device(lambda: Memory.most),
        "reset_peak_memory_stats": _of_device(Memory.reset_peak),
        "empty_cache": Memory.empty_cache,
        "synchronize": _of_device(lambda: count(SYNCHRONIZE)),
        "manual_seed": state.manual_seed,
        "manual_seed_all": state.manual_seed,
        "get_rng_state": _of_device(state.get_state),
        "set_rng_state": lambda new, device=None: state.set_state(new),
        "get_rng_state_all": lambda: [state.get_state()],
        "set_rng_state_all": lambda states: state.set_state(states[0]),
    }


def _in_every_thread() -> None:
    """`OnGPU` holds for the thread that enters it: let new ones enter it too."""
    started = threading.Thread.run

    def run(self: threading.Thread) -> None:
        with OnGPU():
            started(self)

    threading.Thread.run = run  # type: ignore[method-assign]
