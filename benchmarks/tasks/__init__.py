"""The benchmarks, one file each, found by these names.

They are imported on use, so that `list` is quick.
"""

from benchmarks.core.registry import REGISTRY, SHARED_SIZES
from benchmarks.runtime.registry import Own

LINES = {
    "reconstruction": "SSIM, perceptual distance and MSE by system and T (Tables 1 and 2)",
    "probes": "AUROC, AP and accuracy of linear probes for every attribute (Section 5.3, Appendix E)",
    "representation": "what a code is good for: few labels, nearest codes, regression, rank; with axes: TAD, DCI, MIG",
    "identity": "face similarity before and after an edit, by attribute and strength (Appendix G)",
    "edits": "edits beside the truth, where it can be drawn: how far they go, what else they move, what codes hold",
    "interpolation": "path length between the codes of two images, and strips of pictures (Fig. 4, Appendix F)",
    "latent": "codes halfway to others, moved by noise, rounded, and their spectrum (iFID, pFID)",
    "fewshot": "Frechet distance of few-shot class-conditional samples by rejection (Table 3)",
    "unconditional": "Frechet distance of new samples by T (Table 4)",
    "variation": "how much of an image z_sem and x_T decide (Fig. 3)",
    "denoising": "predicted x_0 by t, with and without z_sem (Fig. 6)",
    "memorisation": "nearest training images of samples and of held-out images (Appendix C)",
    "cost": "parameters, operations, network calls, and times (Section 5.5)",
}
FOLDERS = ("edits", "fewshot", "latent", "reconstruction")  # benchmarks of several modules

for name, line in LINES.items():
    module = f"{name}.{name}" if name in FOLDERS else name
    REGISTRY.own[name] = Own(f"benchmarks.tasks.{module}:BENCHMARK", line)
REGISTRY.accept = "benchmarks.core.benchmark:accepted"

# The settings that several of them share.
SHARED_SIZES["data"] = "benchmarks.core.runner.setup:DataSizes"
SHARED_SIZES["samples"] = "benchmarks.tasks.shared.samples:Sizes"
