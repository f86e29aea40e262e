"""Count the operations of a computation with PyTorch's counter."""

from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

Shape = tuple[int, ...]


def flops(work: Callable[[], object]) -> int:
    """The floating-point operations of the matrix products and convolutions in `work`, 2 per multiply-add."""
    attention = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    with FlopCounterMode(display=False, custom_mapping={attention: _attention_flops}) as counter:
        work()
    return counter.get_total_flops()


def _attention_flops(query: Shape, key: Shape, value: Shape, *_: object, **__: object) -> int:
    """Operations of the CPU's fused attention, which PyTorch's counter does not support."""
    return sdpa_flop_count(query, key, value)
