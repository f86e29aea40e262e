"""PSNR and SSIM by the protocols that ship, against what their codes do with the same images, step
by step and with the libraries that they use.
"""

import numpy as np
import pytest
import reference_metrics
import torch
from skimage import data
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torchmetrics.functional.image import structural_similarity_index_measure
from torchmetrics.image import PeakSignalNoiseRatio, StructuralSimilarityIndexMeasure
from torchvision.transforms.functional import gaussian_blur, normalize, to_tensor

from benchmarks.metrics.protocols.pairs import estimate, scores_of
from benchmarks.metrics.protocols.schema import named
from benchmarks.metrics.units import Units

HALF = [0.5] * 3
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


@pytest.fixture(scope="module")
def originals() -> torch.Tensor:
    """Crops of a photograph, uint8 10 x 3 x 32 x 40."""
    crops = [torch.from_numpy(data.astronaut()[y : y + 32, 180:220]) for y in range(0, 320, 32)]
    return torch.stack(crops).permute(0, 3, 1, 2).contiguous()


@pytest.fixture(scope="module")
def decoded(originals) -> torch.Tensor:
    """What a decoder gives in [-1, 1] and beyond."""
    return gaussian_blur(originals / 127.5 - 1, 5, 1.0) * torch.linspace(0.8, 1.3, 10).view(
        10, 1, 1, 1
    )


def tensors(files: torch.Tensor) -> torch.Tensor:
    """By torchvision's ToTensor."""
    return torch.stack([to_tensor(x.permute(1, 2, 0).numpy()) for x in files])


def cast(images: torch.Tensor) -> torch.Tensor:
    """[-1, 1] to 8 bits by adding 128."""
    return torch.clamp(127.5 * images + 128.0, 0, 255).to(torch.uint8)


def by_scikit_image(made, originals, data_range) -> tuple[list[float], list[float]]:
    """PSNR and SSIM of each image in [0, 1], of pixels in float32."""
    pairs = [*zip(*(x.float().numpy() for x in (made, originals)), strict=True)]
    ssim = [structural_similarity(*x, data_range=data_range, channel_axis=0) for x in pairs]
    return [peak_signal_noise_ratio(y, x, data_range=1.0) for x, y in pairs], ssim


def by_torchmetrics(made, originals, batch, data_range) -> float:
    """Its SSIM of each update, averaged over the updates."""
    metric = StructuralSimilarityIndexMeasure(data_range=data_range)
    pairs = zip(made.double().split(batch), originals.double().split(batch), strict=True)
    return float(torch.stack([metric(*pair) for pair in pairs]).mean())


def of_peak_255(made, originals) -> float:
    squares = (made.double() - originals.double()).square().mean((1, 2, 3))
    return float((20 * torch.log10(255 / squares.sqrt())).mean())


def llamagen(decoded, files):
    originals = (normalize(tensors(files), HALF, HALF) + 1.0) / 2.0
    of_each = by_scikit_image(cast(decoded) / 255, originals, 2.0)
    return [np.mean(x) for x in of_each]


def seed_voken(decoded, files):
    originals = torch.from_numpy((files.numpy() / 127.5 - 1.0).astype(np.float32))
    made, truth = (
        ((x + 1) / 2 * 255.0).to(torch.uint8) / 255 for x in (decoded.clamp(-1, 1), originals)
    )
    of_each = by_scikit_image(made, truth, 1.0)
    batches = [(x[:4], x[4:8], x[8:]) for x in of_each]
    return [np.mean([np.mean(batch) for batch in x]) for x in batches]


def lightningdit(decoded, files):
    originals = normalize(tensors(files), HALF, HALF)
    psnr = of_peak_255(cast(decoded), cast(originals))
    return psnr, by_torchmetrics(decoded, originals, 8, (-1.0, 1.0))


def eq_vae(decoded, files):
    originals = normalize(tensors(files), HALF, HALF)
    psnr = of_peak_255(cast(decoded), cast(originals))
    # torchmetrics 0.7.3, of its environment: the same map of SSIM without a border of 5 pixels
    maps = [
        structural_similarity_index_measure(a[None], b[None], return_full_image=True)[1]
        for a, b in zip(decoded.double(), originals.double(), strict=True)
    ]
    return psnr, float(torch.cat(maps)[..., 5:-5, 5:-5].mean())


def eq_vae_unpinned(decoded, files):
    """By the torchmetrics that is installed, newer than 1.4.2."""
    originals = normalize(tensors(files), HALF, HALF)
    psnr = of_peak_255(cast(decoded), cast(originals))
    return psnr, by_torchmetrics(decoded, originals, 1, None)


def dc_ae(decoded, files):
    made = (255 * ((decoded + 1) / 2) + 0.5).clamp(0, 255).to(torch.uint8)
    return of_peak_255(made, files), by_torchmetrics(made, files, 1, (0.0, 255.0))


def maskbit(decoded, files):
    made, truth = ((decoded + 1) / 2).clamp(0, 1).double(), tensors(files).double()
    errors = (made - truth).square().mean((1, 2, 3))
    psnr = float((10 * torch.log10(1 / (errors + 1e-10))).mean())
    return psnr, by_torchmetrics(made, truth, 1, 1.0)


def rae(decoded, files):
    made = (((decoded + 1) / 2).clamp(0, 1) * 255).to(torch.uint8)
    return of_peak_255(made, files), by_torchmetrics(made / 255, tensors(files), 1, 1.0)


def vtp(decoded, files):
    back = [-m / s for m, s in zip(MEAN, STD, strict=True)], [1 / s for s in STD]
    originals = normalize(normalize(tensors(files), MEAN, STD), *back).clamp(0, 1)
    made = ((decoded + 1) / 2).clamp(0, 1)
    return of_peak_255(made * 255, originals * 255), by_torchmetrics(made, originals, 32, 1.0)


def torchmetrics(decoded, files):
    made, originals = ((decoded + 1) / 2).clamp(0, 1), tensors(files)
    metric = PeakSignalNoiseRatio(data_range=1.0)
    for pair in zip(made.split(4), originals.split(4), strict=True):
        metric.update(*pair)
    return float(metric.compute()), by_torchmetrics(made, originals, 1, None)


def diffae(decoded, files):
    made, originals = ((decoded + 1) / 2).clamp(0, 1).double(), tensors(files).double()
    ssim = reference_metrics.ssim(made, originals).mean()
    return of_peak_255(made * 255, originals * 255), float(ssim)


CODES = {
    "llamagen": llamagen,
    "seed-voken": seed_voken,
    "lightningdit": lightningdit,
    "eq-vae": eq_vae,
    "eq-vae-unpinned": eq_vae_unpinned,
    "dc-ae": dc_ae,
    "maskbit": maskbit,
    "rae": rae,
    "vtp": vtp,
    "torchmetrics-1.7": torchmetrics,
    "torchmetrics-1.8": torchmetrics,
    "diffae": diffae,
}


@pytest.mark.parametrize("name", CODES)
def test_a_protocol_is_what_its_code_does(originals, decoded, name):
    protocol, units = named(name), Units("pairs", np.arange(len(decoded)))
    found = {
        metric: estimate(
            metric, protocol, scores_of(metric, protocol, decoded, originals), units
        ).value
        for metric in ("psnr", "ssim")
    }
    psnr, ssim = CODES[name](decoded, originals)
    assert found["psnr"] == pytest.approx(psnr, rel=1e-6)
    assert found["ssim"] == pytest.approx(ssim, abs=1e-6)
