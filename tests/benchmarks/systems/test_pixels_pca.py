"""Pixels + PCA: the components of the images, equal in every run, and part of the store's keys."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import IncrementalPCA
from threadpoolctl import threadpool_limits

from benchmarks.systems.protocol.base import Code
from benchmarks.systems.references import PixelsPCA

SIZE = 16


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    """Noise whose variance falls with the pixel's number, so that no two components are alike."""
    noise = torch.randn(600, 3 * SIZE**2, generator=torch.Generator().manual_seed(0))
    scale = 0.97 ** torch.arange(3 * SIZE**2)
    return (0.5 * noise * scale).clamp(-1, 1).reshape(-1, 3, SIZE, SIZE)


def fitted(images: torch.Tensor, latent_dim: int = 32) -> PixelsPCA:
    system = PixelsPCA(None, torch.device("cpu"))
    system.latent_dim = latent_dim
    system.fit(images.split(350))
    return system


def test_components_are_those_of_the_images(images):
    """The subspace of an eigendecomposition in float64; codes decode to the nearest image in it."""
    system = fitted(images)
    flat = images.flatten(1).double().numpy()
    vectors = np.linalg.eigh(np.cov(flat.T))[1][:, ::-1][:, :8]
    kept = system.components.double().numpy()
    np.testing.assert_allclose(np.linalg.norm(kept @ vectors, axis=0), 1, atol=1e-3)
    code = system.encode_semantic(images[:4])
    decoded = system.decode(Code(semantic=code)).flatten(1).double().numpy()
    centred = flat[:4] - flat.mean(0)
    np.testing.assert_allclose(decoded, flat.mean(0) + centred @ kept.T @ kept, atol=1e-5)


def test_number_of_threads_changes_nothing():
    """White noise has components that lie close together, so that the last digits of LAPACK show."""
    noise = torch.randn(700, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    systems = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            systems.append(fitted(noise, latent_dim=100))
    assert torch.equal(systems[0].components, systems[1].components)
    assert systems[0].fingerprint == systems[1].fingerprint


def test_other_components_have_another_fingerprint(images, monkeypatch):
    """The same images, and the last digit of one component: as LAPACK gives it on another processor."""
    first = fitted(images)
    fit = IncrementalPCA.partial_fit

    def elsewhere(self, flat):
        fit(self, flat)
        self.components_[0, 0] *= 1 + 1e-6

    monkeypatch.setattr(IncrementalPCA, "partial_fit", elsewhere)
    second = fitted(images)
    assert not torch.equal(first.components, second.components)
    assert first.fingerprint != second.fingerprint


def test_components_of_many_batches_are_nearly_the_best_there_are():
    """As many as the code has, of batches that each show a part: 98 % of the variance that PCA of
    all images would keep, where a fit that carried no more from batch to batch than it keeps has 94
    %.
    """
    shares = []
    for seed in range(8):
        noise = torch.randn(240, 12, generator=torch.Generator().manual_seed(seed))
        images = (noise * torch.linspace(1, 1.6, 12)).reshape(-1, 3, 2, 2)
        system = PixelsPCA(None, torch.device("cpu"))
        system.latent_dim = 2
        system.fit(images.split(24))
        flat = images.flatten(1).double().numpy()
        best = np.linalg.eigvalsh(np.cov(flat.T))[-2:].sum()
        shares.append(
            np.var(flat @ system.components.double().numpy().T, axis=0, ddof=1).sum() / best
        )
    assert np.mean(shares) > 0.965
