"""The tables of the reconstruction benchmark: Tables 1 and 2 of the paper, and those beside them."""

from benchmarks.metrics.pairs import PIXEL_METRICS
from benchmarks.metrics.sets import groups
from benchmarks.metrics.sets.groups import shown_in
from benchmarks.plugin import TableSpec
from benchmarks.tasks.reconstruction.by_protocol import SPEC as BY_PROTOCOL

TABLE1, TABLE2, BY_CALLS = groups.RECONSTRUCTION, "table2_ablation", "table2_by_calls"
CODEBOOKS, BY_LENGTH = "codebooks", "reconstruction_by_length"
NATIVE = "reconstruction_native"
SIZES = ("latent_dim", "compression", "code_bits", "bits_per_pixel")  # of a code
SCORES = ("ssim", "ssim_valid", "lpips", "mse", "psnr")  # of an image
OF_PAIRS = tuple(dict.fromkeys((*SCORES, *PIXEL_METRICS)))  # those of Table 1
OF_SETS = (*shown_in(TABLE1), "precision", "recall")  # of reconstructions and originals

TABLES = (
    TableSpec(
        name=TABLE1,
        title="Table 1: reconstruction",
        caption=(
            "Autoencoding of held-out images, inverted and decoded with the same T. SSIM is the "
            "paper's (zero padding); SSIM (valid) leaves out the border. The distances (rKID, rFID, or rkd_, rfd_ with "
            "the name of another network) are of the reconstructions and their originals as two sets: perfect ones have 0, "
            "at any n. Precision: the share of reconstructions among their originals (in a ball that reaches to the third "
            "nearest); recall: the share of originals among the reconstructions."
        ),
        rows=("system", "setting", "steps", "solver", "calls"),
        columns=("metric",),
        metrics=(*SIZES, *OF_SETS, *OF_PAIRS),
        largest_steps=True,
        headline=("ssim", "lpips", "mse"),
        plots=(("ssim", "latent_dim"), ("lpips", "latent_dim")),
        order=10,
    ),
    BY_PROTOCOL,
    TableSpec(
        name=NATIVE,
        title="Reconstruction at native size",
        caption=(
            "Autoencoding of held-out images, each at its own size and aspect: its middle, cut to multiples of the "
            "system's stride. Scores are means over images, whatever their size; the distances are of the "
            "reconstructions and their originals as two sets, each resized to the input of the feature network."
        ),
        rows=("system",),
        columns=("metric",),
        metrics=(*OF_SETS, *SCORES),
        headline=("psnr", "ssim", "lpips"),
        order=14,
    ),
    TableSpec(
        name=BY_LENGTH,
        title="Reconstruction by length of the code",
        caption=(
            "As Table 1, from the first tokens or numbers of each code alone, with x_T drawn at random. Worse with more: "
            "the share of images whose squared error is larger at the next length."
        ),
        rows=("system", "setting"),
        columns=("metric",),
        alike=("setting",),
        setting_header="kept",
        metrics=("latent_dim", "code_bits", "psnr", "ssim", "lpips", "mse", "worse_with_more"),
        plots=(("psnr", "latent_dim"), ("lpips", "latent_dim"), ("psnr", "code_bits")),
        order=13,
    ),
    TableSpec(
        name=CODEBOOKS,
        title="Codebooks",
        caption=(
            "How quantised codes use their codebooks on the images of Table 1: bits of one code, the share of codes that "
            "occur (it grows with the images), and the perplexity of their shares."
        ),
        rows=("system", "setting"),
        columns=("metric",),
        metrics=("code_bits", "codebook_use", "perplexity"),
        order=95,
    ),
    TableSpec(
        name=TABLE2,
        title="Table 2: reconstruction by number of steps",
        caption="As Table 1, at each T, with the stochastic code inverted or drawn at random.",
        rows=("system", "setting"),
        columns=("steps",),
        metrics=("latent_dim", "code_bits", *SCORES),
        plots=(("ssim", "steps"), ("lpips", "steps")),
        panels=True,
        order=20,
    ),
    TableSpec(
        name=BY_CALLS,
        title="Table 2 by network calls",
        caption=(
            "As Table 2, by network calls per image for inversion and decoding (x_T random: decoding only). ddim is the "
            "paper's solver; rows with a different solver are ours and have no counterpart in the paper."
        ),
        rows=("system", "setting", "solver"),
        columns=("calls",),
        metrics=("ssim", "lpips", "mse"),
        plots=(("ssim", "calls"), ("lpips", "calls")),
        panels=True,
        order=21,
    ),
)
