"""Reading and moving codes that are maps: whole if they are small, else by the means over cells."""

import pytest
import torch

from benchmarks.systems.shared.quantised import Maps, cells_of

MAPS = Maps()


@pytest.mark.parametrize(
    ("channels", "side", "cells"),
    [
        (4, 32, 32),  # Stable Diffusion's at 256 px: all of it
        (256, 16, 4),  # VQ-GAN's
        (64, 32, 8),  # VQ-VAE-2's top
        (64, 64, 8),  # and bottom
        (16, 6, 6),
        (5000, 8, 1),
    ],
)
def test_as_many_cells_as_give_4096_numbers(channels, side, cells):
    assert cells_of(torch.zeros(1, channels, side, side)) == cells


def test_a_cell_is_read_as_its_mean():
    maps = torch.zeros(1, 1024, 4, 4)  # cells of 2 x 2
    maps[0, 7] = torch.arange(16.0).reshape(4, 4)
    found = MAPS.read(maps).reshape(1024, 2, 2)
    assert found[7].tolist() == [[2.5, 4.5], [10.5, 12.5]]  # (0 + 1 + 4 + 5) / 4, ...
    assert found.abs().sum() == 30


def test_cells_of_a_map_that_is_wider_than_high():
    maps = torch.arange(8.0).reshape(1, 1, 2, 4)  # cells of 1 x 2
    assert Maps().read(maps.repeat(1, 1024, 1, 1))[0, :4].tolist() == [0.5, 2.5, 4.5, 6.5]


def test_what_is_moved_reads_as_far_away_and_is_moved_alike_within_a_cell():
    code = (torch.randn(2, 1024, 4, 4), torch.randn(2, 3, 2, 2))
    delta = torch.randn(2, 1024 * 4 + 3 * 4)
    moved = MAPS.move(code, delta)
    assert torch.allclose(MAPS.read(moved) - MAPS.read(code), delta, atol=1e-5)
    by = moved[0] - code[0]
    assert torch.allclose(by[:, :, 0, 0], by[:, :, 1, 1], atol=1e-6)
    assert torch.allclose(moved[1] - code[1], delta[:, 4096:].reshape(2, 3, 2, 2), atol=1e-6)
