"""The speed-up of a network call over a plain implementation, in float32, on the same weights.

    python docs/results/network_call.py [--rounds 15] [--threads 1,2] [--clock wall|processor] [--networks NAME:BATCH,...] [--over plain|float32]

The plain network is the paper's, written out below with PyTorch's standard layers, in contiguous
memory, with attention as a softmax of products. Each round times every way of computing one call,
in turn, in one process; a ratio is the median over rounds of the plain network's time over that of
ours, with its quartiles. `processor` counts the time of this process only, which another process on
the machine does not stretch (take it for one thread; over several it is their sum). It fails if the
outputs in float32 differ by more than 10^-5 of themselves.

NAME is a packaged autoencoder, a layout of the authors' (random weights), or a metric network,
`inception` (random weights) or `efficientnet-lite0`: those always compute in float32, and the plain
one keeps its batch norms. NAME.encoder is the encoder of an autoencoder, which has no plain one:
`--over float32` gives the speed-up of bfloat16 over float32 instead.
"""

import argparse
import copy
import math
import sys
import time
from collections.abc import Callable
from functools import partial

import torch
from measure import in_turn, ratio, table
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks import weights
from benchmarks.metrics.networks import features, inception
from benchmarks.metrics.networks.features import without_batch_norms
from benchmarks.runtime.precision import of_networks, precision
from diffae.model import DiffusionAutoencoder
from diffae.networks.config import ARCHITECTURES, ModelConfig
from diffae.networks.nn import AttentionBlock, ResBlock, resample, timestep_embedding
from reports.records.metrics import EFFNET

CLOSE = 1e-5  # of float32: what the order of sums may change
METRIC = {"inception": inception.INCEPTION_SIZE, EFFNET: features.EFFNET_SIZE}
PRECISIONS = ("float32", "bfloat16")
CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}

NETWORKS = f"portraits:64,ffhq128_autoenc_130M:2,inception:8,{EFFNET}:16"

Call = Callable[[], Tensor]


class Plain(nn.Module):
    """The UNet of the paper and of the authors' code with the weights of `unet`, formula by formula."""

    def __init__(self, unet: nn.Module):
        super().__init__()
        self.unet = copy.deepcopy(unet).to(memory_format=torch.contiguous_format)

    def forward(self, x: Tensor, t: Tensor, z: Tensor) -> Tensor:
        unet = self.unet
        emb = unet.time_embed(timestep_embedding(t, unet.config.model_channels))
        laterals = []
        for stage in unet.input_blocks:
            x = through(stage, x, emb, z)
            laterals.append(x)
        x = through(unet.middle_block, x, emb, z)
        for stage in unet.output_blocks:
            x = through(stage, torch.cat([x, laterals.pop()], dim=1), emb, z)
        return unet.out[2](F.silu(normalised(x, unet.out[0])))


def through(stage: nn.Module, x: Tensor, emb: Tensor, z: Tensor) -> Tensor:
    for block in stage:
        if isinstance(block, ResBlock):
            x = residual(block, x, emb, z)
        else:
            x = attention(block, x) if isinstance(block, AttentionBlock) else block(x)
    return x


def normalised(x: Tensor, norm: nn.GroupNorm) -> Tensor:
    return F.group_norm(x, norm.num_groups, norm.weight, norm.bias, norm.eps)


def residual(block: ResBlock, x: Tensor, emb: Tensor, z: Tensor) -> Tensor:
    """AdaGN(h, t, z) = (1 + z_s) ((1 + t_s) GroupNorm(h) + t_b) between two convolutions (paper,
    Eq. 7).
    """
    h = F.silu(normalised(x, block.in_layers[0]))
    h = block.in_layers[2](resample(h, block.direction))
    t_scale, t_shift = block.emb_layers(emb)[:, :, None, None].chunk(2, dim=1)
    h = normalised(h, block.out_layers[0]) * (1 + t_scale) + t_shift
    h = h * (1 + block.cond_emb_layers(z)[:, :, None, None])
    h = block.out_layers[3](F.silu(h))
    return block.skip_connection(resample(x, block.direction)) + h


def attention(block: AttentionBlock, x: Tensor) -> Tensor:
    """softmax(q k / sqrt(C)) v over all pixels, one head."""
    q, k, v = block.qkv(normalised(x.flatten(2), block.norm)).chunk(3, dim=1)
    weights = torch.softmax(q.transpose(1, 2) @ k / math.sqrt(q.shape[1]), dim=-1)
    return x + block.proj_out(v @ weights.transpose(1, 2)).reshape(x.shape)


# ----------------------------------------------------------------------------------------------


def random_model(config: ModelConfig) -> DiffusionAutoencoder:
    """A model with random weights, none of them zero."""
    torch.manual_seed(0)
    model = DiffusionAutoencoder(config)
    for parameter in model.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.02)
    return model


def model_of(name: str) -> DiffusionAutoencoder:
    """A packaged model, or one of the authors' layouts with random weights."""
    if name not in ARCHITECTURES:
        return DiffusionAutoencoder.from_pretrained(name)
    model = random_model(ARCHITECTURES[name]).eval().requires_grad_(False)
    return model.to(memory_format=torch.channels_last)


def metric_network(name: str) -> nn.Module:
    """A metric network as its file has it, with batch norms."""
    if name == "inception":
        torch.manual_seed(0)
        network = inception._fid_inception_v3()
        network.fc = nn.Identity()
        return network
    network = features.effnet_lite0(weights.load_path(name, None, allow_unknown=False))
    network.reset_classifier(0)  # type: ignore[operator]
    return network


def metric_ways(name: str, batch: int) -> dict[str, Call]:
    """One call of a metric network as its file has it, and as the metrics call it, on images of its
    size.
    """
    plain = metric_network(name).eval().requires_grad_(False)
    ours = features.frozen(without_batch_norms(copy.deepcopy(plain)), torch.device("cpu"))
    x = torch.rand(batch, 3, METRIC[name], METRIC[name])
    rows_last = x.contiguous(memory_format=torch.channels_last)
    return {"plain": lambda: plain(x), "float32": lambda: ours(rows_last)}


def ways(name: str, batch: int) -> dict[str, Call]:
    """One call of the plain network in float32, and of ours in each precision, on the same images
    and codes.
    """
    if name in METRIC:
        return metric_ways(name, batch)
    of, _, part = name.partition(".")
    model = model_of(of)
    torch.manual_seed(1)
    x = torch.randn(batch, 3, model.image_size, model.image_size)
    z, t = torch.randn(batch, model.latent_dim), torch.full((batch,), 300)

    def call(network: nn.Module, how: str, *given: Tensor) -> Tensor:
        with precision(how), of_networks():
            return network(*given)

    if part == "encoder":
        return {how: partial(call, model.encoder, how, x.clamp(-1, 1)) for how in PRECISIONS}
    ours = {how: partial(call, model.unet, how, x, t, z) for how in PRECISIONS}
    return {"plain": partial(call, Plain(model.unet), "float32", x, t, z)} | ours


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument("--networks", default=NETWORKS)
    parser.add_argument("--over", choices=("plain", "float32"), default="plain")
    args = parser.parse_args()
    rows = []
    for name, batch in (network.split(":") for network in args.networks.split(",")):
        calls = ways(name, int(batch))
        outputs = {how: call().float() for how, call in calls.items()}
        base = outputs.pop(args.over)
        apart = {how: float((x - base).norm() / base.norm()) for how, x in outputs.items()}
        if args.over == "plain" and apart["float32"] > CLOSE:
            sys.exit(f"{name}: outputs in float32 differ by {apart['float32']:.1e} of themselves")
        for threads in map(int, args.threads.split(",")):
            torch.set_num_threads(threads)
            times = in_turn(calls, args.rounds, CLOCKS[args.clock])
            for how, differs in apart.items():
                faster = ratio(times[args.over], times[how])
                rows.append([name, batch, threads, how, faster, f"{differs:.0e}"])
                print(*rows[-1], file=sys.stderr)
    headers = ["network", "batch", "threads", "ours in", "times as fast", "outputs differ by"]
    print(table(rows, headers))


if __name__ == "__main__":
    main()
