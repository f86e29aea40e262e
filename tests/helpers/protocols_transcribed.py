"""The fields of every protocol, transcribed a second time from the evaluation codes.

Each row was written from the code at the commit that the protocol names, without the protocol's
file. `tests/benchmarks/test_protocols_transcribed.py` compares the two.

    "uniform 7"          the code says so
    Open("alexnet")      the code does not decide: what is taken here
"""

from dataclasses import dataclass
from typing import Any

FIELDS = {
    "pixels": ("crop", "scaling", "posterior"),
    "rfid": ("reference", "rounding", "rounded", "resize", "dtype"),
    "psnr": ("rounding", "rounded", "of", "error", "equal_images", "batch"),
    "ssim": (
        *("rounding", "rounded", "pixels", "clamped", "window"),
        *("padding", "range", "covariance", "batch"),
    ),
    "lpips": ("rounding", "rounded", "trunk", "clamped", "batch"),
}


@dataclass(frozen=True)
class Open:
    """A field that the code leaves open."""

    value: Any


NORMALIZED = "(x / 255 - 0.5) / 0.5"  # ToTensor and Normalize(0.5, 0.5)
NUMPY = "x / 127.5 - 1"
TO_TENSOR = "x / 255"
PIXELS = "of pixels in [0, 1]"
CROPS = "the same crops"
GAUSS, UNIFORM = "gaussian 11", "uniform 7"

Rows = dict[str, tuple[Any, ...]]
TABLE: dict[str, Rows] = {
    # FoundationVision/LlamaGen reconstruction_vq_ddp.py. `clamp(127.5 * x + 128, 0, 255)` and a
    # cast round half up, of what was decoded alone: the original stays float for PSNR and SSIM.
    # The reference of rFID (validation/val_ddp.py) goes through the same expression.
    "llamagen": {
        "pixels": ("adm", NORMALIZED, "mean"),
        "rfid": (CROPS, "half up", "both", "tensorflow", "float32"),
        "psnr": ("half up", "reconstruction", "image", PIXELS, "infinite", 1),
        "ssim": (
            *("half up", "reconstruction", "[0, 1]", True, UNIFORM),  # scikit-image's window
            *("valid", "2", "sample", 1),  # data_range=2.0; it cuts the edge off
        ),
    },
    # TencentARC/SEED-Voken evaluation_image.py. PSNR and SSIM are means of means of batches
    # (`ssim_temp / B`, `/ num_iter`), of 4 by the argument's default; LPIPS is a sum over images.
    "seed-voken": {
        "pixels": ("center", NUMPY, "mean"),
        "rfid": (CROPS, "none", "both", "pytorch-fid", "float32"),
        "psnr": ("truncated", "both", "image", PIXELS, "infinite", 4),
        "ssim": (
            *("truncated", "both", "[0, 1]", True, UNIFORM),
            *("valid", "1", "sample", 4),
        ),
        "lpips": ("none", "both", Open("alexnet"), True, 1),  # it prints AlexNet's and VGG's
    },
    # mit-han-lab/efficientvit aecore/evaluator.py, apps/metrics/{fid,psnr}; torchmetrics 1.4.2
    "dc-ae": {
        "pixels": ("adm", NORMALIZED, "mean"),
        "rfid": (CROPS, "half up", "both", "pytorch-fid", "float32"),
        "psnr": ("half up", "both", "image", PIXELS, "infinite", 1),
        "ssim": (
            *("half up", "both", "[0, 1]", True, GAUSS),  # of 0 to 255, range 255: the same number
            *("reflect", "1", "population", 1),
        ),
        "lpips": ("half up", "both", "alexnet", True, 1),
    },
    # bytedance/1d-tokenizer evaluator/evaluator.py, utils/train_utils.py: torch.round of what was
    # decoded, then a cast of both, which finds levels already: originals are not rounded, and
    # rounding them changes nothing.
    "titok": {
        "pixels": ("center-bicubic", TO_TENSOR, "mean"),
        "rfid": (CROPS, "half to even", Open("both"), "tensorflow", "float64"),
    },
    # markweberdev/maskbit evaluator/evaluator.py, scripts/eval_tokenizer.py
    "maskbit": {
        "pixels": ("center", TO_TENSOR, "mean"),
        "rfid": (CROPS, "truncated", "both", "tensorflow", "float64"),
        "psnr": ("none", "both", "image", PIXELS, "100 dB, 1e-10 added", 1),
        "ssim": (
            *("none", "both", "[0, 1]", True, GAUSS),
            *("reflect", "1", "population", 1),
        ),
        "lpips": ("none", "both", "vgg16", True, 1),
    },
    # hustvl/LightningDiT evaluate_tokenizer.py; torchvision 0.17
    "lightningdit": {
        "pixels": ("center-tensor", NORMALIZED, "sample"),
        "rfid": (CROPS, "half up", "both", "pytorch-fid", "float32"),
        "psnr": ("half up", "both", "image", PIXELS, "infinite", 1),
        "ssim": (
            *("none", "both", "[-1, 1]", True, GAUSS),  # data_range=(-1, 1) clamps
            *("reflect", "2", "population", 8),
        ),
        "lpips": ("none", "both", "vgg16", False, 8),
    },
    # bytetriper/RAE src/stage1_sample_ddp.py, src/eval/{ref_iqa,fid}.py, of arrays of 8 bits
    "rae": {
        "pixels": ("adm", TO_TENSOR, "mean"),
        "rfid": (CROPS, "truncated", "reconstruction", "tensorflow", "float32"),
        "psnr": ("truncated", "reconstruction", "image", PIXELS, "100 dB", 1),
        "ssim": (
            *("truncated", "reconstruction", "[0, 1]", True, GAUSS),
            *("reflect", "1", "population", 1),
        ),
        "lpips": ("truncated", "reconstruction", "vgg16", True, 1),
    },
    # zelaki/eqvae eval.py, with torchvision 0.8.1 and torchmetrics 0.7.3 (env.yaml): no
    # antialiasing of tensors, and the padded edge is cut off again.
    "eq-vae": {
        "pixels": ("center-tensor-aliased", NORMALIZED, "sample"),
        "rfid": (CROPS, "half up", "both", "pytorch-fid", "float32"),
        "psnr": ("half up", "both", "image", PIXELS, "infinite", 1),
        "ssim": (
            *("none", "both", "[-1, 1]", False, GAUSS),
            *("valid", "of the batch", "population", 1),
        ),
        "lpips": ("none", "both", "vgg16", False, 1),
    },
    # the same with libraries of today
    "eq-vae-unpinned": {
        "pixels": ("center-tensor", NORMALIZED, "sample"),
        "rfid": (CROPS, "half up", "both", "pytorch-fid", "float32"),
        "psnr": ("half up", "both", "image", PIXELS, "infinite", 1),
        "ssim": (
            *("none", "both", "[-1, 1]", False, GAUSS),
            *("reflect", "of the batch", "population", 1),
        ),
        "lpips": ("none", "both", "vgg16", False, 1),
    },
    # MiniMax-AI/VTP tools/test_reconstruction_hf.py; batches of 32 by the argument's default
    "vtp": {
        "pixels": ("adm", "ImageNet's mean and std", "mean"),
        "rfid": (CROPS, "truncated", "both", "pytorch-fid", "float32"),
        "psnr": ("none", "both", "image", PIXELS, "infinite", 1),
        "ssim": (
            *("none", "both", "[0, 1]", True, GAUSS),
            *("reflect", "1", "population", 32),
        ),
        "lpips": ("none", "both", "vgg16", True, 32),
    },
    # phizaz/diffae metrics.py, ssim.py, dataset.py. Its sampler clips x_0 (clip_denoised=True). Its
    # images for validation are those for training (experiment.py l.131-134): a shuffled subset of
    # them is decoded and compared with the first of them.
    "diffae": {
        "pixels": ("center", NORMALIZED, "mean"),
        "rfid": ("training images", "half up", "both", "pytorch-fid", "float32"),
        "psnr": ("none", "both", "image", PIXELS, "infinite", 1),
        "ssim": (
            *("none", "both", "[0, 1]", True, GAUSS),
            *("zero", "1", "population", 1),
        ),
        "lpips": ("none", "both", "alexnet", True, 1),
    },
    # CompVis/taming-transformers README.md l.50, taming/data/base.py: no script, only "torch-fidelity"
    # and columns "vs train" and "vs val". Its other scripts truncate what they save.
    "taming": {
        "pixels": ("cv2", NUMPY, "mean"),
        "rfid": (Open(CROPS), Open("truncated"), Open("reconstruction"), "tensorflow", "float32"),
    },
    # openai/guided-diffusion evaluations/evaluator.py, scripts/image_sample.py, image_datasets.py
    "adm": {
        "pixels": ("adm", NUMPY, "mean"),
        "rfid": ("ADM's statistics", "truncated", "reconstruction", "tensorflow", "float32"),
    },
    # Libraries: they are given files or arrays of 8 bits, and know neither crop nor model. A
    # decoded image is written by the caller, here as this project writes pictures.
    "pytorch-fid": {
        "pixels": (Open("center"), Open(TO_TENSOR), Open("mean")),
        "rfid": (Open(CROPS), Open("half to even"), Open("both"), "pytorch-fid", "float32"),
    },
    "torch-fidelity": {
        "pixels": (Open("center"), Open(TO_TENSOR), Open("mean")),
        "rfid": (Open(CROPS), Open("half to even"), Open("both"), "tensorflow", "float32"),
    },
    "clean-fid": {
        "pixels": (Open("center"), Open(TO_TENSOR), Open("mean")),
        "rfid": (Open(CROPS), Open("half to even"), Open("both"), "clean-fid", "float32"),
    },
    # torchmetrics: FrechetInceptionDistance(normalize=True) casts both sides; PSNR has one error of
    # everything seen (dim=None); SSIM takes its range from what one update is given, and cuts
    # nothing off; LPIPS refuses what is beyond its range. One image an update, in [0, 1].
    "torchmetrics-1.7": {
        "pixels": (Open("center"), Open(TO_TENSOR), Open("mean")),
        "rfid": (Open(CROPS), "truncated", "both", "tensorflow", "float32"),
        "psnr": ("none", "both", "all", PIXELS, "infinite", Open(1)),
        "ssim": (
            *("none", "both", Open("[0, 1]"), Open(True), GAUSS),
            *("reflect", "of the batch", "population", Open(1)),
        ),
        "lpips": ("none", "both", "alexnet", Open(True), 1),
    },
    "torchmetrics-1.8": {
        "pixels": (Open("center"), Open(TO_TENSOR), Open("mean")),
        "rfid": (Open(CROPS), "truncated", "both", "antialiased", "float32"),
        "psnr": ("none", "both", "all", PIXELS, "infinite", Open(1)),
        "ssim": (
            *("none", "both", Open("[0, 1]"), Open(True), GAUSS),
            *("reflect", "of the batch", "population", Open(1)),
        ),
        "lpips": ("none", "both", "alexnet", Open(True), 1),
    },
    # The project's own, from its design: the paper's SSIM, AlexNet's LPIPS, pytorch-fid's Inception
    # and resize, one PSNR for each image. The rest is its own choice.
    "plain": {
        "pixels": (Open("center"), Open(NUMPY), Open("mean")),
        "rfid": (Open(CROPS), Open("half to even"), Open("both"), "pytorch-fid", "float32"),
        "psnr": (Open("none"), Open("both"), "image", PIXELS, Open("infinite"), 1),
        "ssim": (
            *(Open("none"), Open("both"), "[0, 1]", Open(True), GAUSS),
            *("zero", "1", "population", 1),
        ),
        "lpips": (Open("none"), Open("both"), "alexnet", Open(True), 1),
    },
}
