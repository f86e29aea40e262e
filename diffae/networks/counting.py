"""Count the operations of a computation with PyTorch's counter."""

from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

Shape = tuple[int, ...]


def flops(work: Callable[[], object]) -> int:
    """Floating-point operations of matrix products and convolutions, 2 per multiply-add."""
    attention = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    with FlopCounterMode(display=False, custom_mapping={attention: _of_attention}) as counter:
        work()
    return counter.get_total_flops()


def _of_attention(query: Shape, key: Shape, value: Shape, *_: object, **__: object) -> int:
    """Operations of the CPU's fused attention, which PyTorch's counter does not know."""
    return sdpa_flop_count(query, key, value)
