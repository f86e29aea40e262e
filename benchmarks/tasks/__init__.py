"""The benchmarks: one file each, found by these names. They are imported on use, so that `list` answers at once."""

from benchmarks.core.registry import REGISTRY, SHARED_SIZES
from benchmarks.runtime.registry import Own

REGISTRY.own.update(
    {
        "reconstruction": Own(
            "benchmarks.tasks.reconstruction:BENCHMARK",
            "SSIM, perceptual distance and MSE by system and T (Tables 1 and 2)",
        ),
        "probes": Own(
            "benchmarks.tasks.probes:BENCHMARK",
            "AUROC, AP and accuracy of linear probes for every attribute (Section 5.3, Appendix E)",
        ),
        "identity": Own(
            "benchmarks.tasks.identity:BENCHMARK",
            "face similarity before and after an edit, by attribute and strength (Appendix G)",
        ),
        "interpolation": Own(
            "benchmarks.tasks.interpolation:BENCHMARK",
            "path length between the codes of two images, and strips of pictures (Fig. 4, Appendix F)",
        ),
        "fewshot": Own(
            "benchmarks.tasks.fewshot.fewshot:BENCHMARK",
            "Frechet distance of few-shot class-conditional samples by rejection (Table 3)",
        ),
        "unconditional": Own(
            "benchmarks.tasks.unconditional:BENCHMARK",
            "Frechet distance of new samples by T (Table 4)",
        ),
        "variation": Own(
            "benchmarks.tasks.variation:BENCHMARK",
            "how much of an image z_sem and x_T decide (Fig. 3)",
        ),
        "denoising": Own(
            "benchmarks.tasks.denoising:BENCHMARK",
            "predicted x_0 by t, with and without z_sem (Fig. 6)",
        ),
        "memorisation": Own(
            "benchmarks.tasks.memorisation:BENCHMARK",
            "nearest training images of samples and of held-out images (Appendix C)",
        ),
        "cost": Own(
            "benchmarks.tasks.cost:BENCHMARK",
            "parameters, operations, network calls, and times (Section 5.5)",
        ),
    }
)

# The settings that several of them share.
SHARED_SIZES["data"] = "benchmarks.core.runner.setup:DataSizes"
SHARED_SIZES["samples"] = "benchmarks.tasks.shared.samples:Sizes"
