#!/usr/bin/env python3
"""Times one training step of PyTorch (CPU) on the nets that `hpdlf bench step` times, in the same setting.

usage: torch_bench.py NET MODE [--size N] [--batch B] [--seq T] [--threads P] [--steps K]
  NET   mlperf   MLPerf 3-D U-Net: 32-64-128-256-320-320, InstanceNorm, ReLU, stride-2 convolutions down, ConvTranspose k2 s2 up
        cicek    Cicek et al. 2016 3-D U-Net, same padding, BatchNorm, max-pooling: 32/64, 64/128, 128/256, 256/512
        unet3d   the step of apps/unet3d/unet3d.toml: 16-32-64-128, 5 classes, AdamW; 48 x 112 x 96 unless --size is given
        gpt2     GPT-2 124M (12 layers, 12 heads, 768), AdamW, tied embedding, causal attention; 4 x 64 tokens
        mlp      784-128-64-10, ReLU, batch 64 unless given: the worst case of a task runtime
  MODE  comma list of: eager, cl (channels last), bf16 (autocast), compile
Prints one JSON line: net, mode, ms a step (least, median), losses of the first steps, peak resident memory.
Needs torch (scripts/torch_venv.sh makes an environment); `compile` needs a C++ compiler.
"""
import argparse
import json
import resource
import statistics
import time
from dataclasses import dataclass
from typing import Callable, Optional

import torch
import torch.nn as nn
import torch.nn.functional as F

MODES = {"eager", "cl", "bf16", "compile"}
WARM_UP_STEPS = 2


class ConvBlock(nn.Sequential):
    def __init__(self, cin, cout, stride=1):
        super().__init__(nn.Conv3d(cin, cout, 3, stride, 1, bias=False), nn.InstanceNorm3d(cout, affine=True), nn.ReLU(inplace=True))


class MlperfUNet3d(nn.Module):
    def __init__(self, classes, filters):
        super().__init__()
        f = filters
        self.inp = nn.Sequential(ConvBlock(1, f[0]), ConvBlock(f[0], f[0]))
        self.down = nn.ModuleList(nn.Sequential(ConvBlock(a, b, 2), ConvBlock(b, b)) for a, b in zip(f, f[1:]))
        self.upc = nn.ModuleList(nn.ConvTranspose3d(b, a, 2, 2) for a, b in reversed(list(zip(f, f[1:]))))
        self.up = nn.ModuleList(nn.Sequential(ConvBlock(2 * a, a), ConvBlock(a, a)) for a in reversed(f[:-1]))
        self.head = nn.Conv3d(f[0], classes, 1)

    def forward(self, x):
        skips = [self.inp(x)]
        for down in self.down:
            skips.append(down(skips[-1]))
        x = skips.pop()
        for upc, up in zip(self.upc, self.up):
            x = up(torch.cat((upc(x), skips.pop()), 1))
        return self.head(x)


class BNBlock(nn.Sequential):
    def __init__(self, cin, cout):
        super().__init__(nn.Conv3d(cin, cout, 3, 1, 1, bias=False), nn.BatchNorm3d(cout), nn.ReLU(inplace=True))


class CicekUNet3d(nn.Module):
    """`filters` are those of each level's second convolution; on the way down the first has half of them."""

    def __init__(self, classes, filters):
        super().__init__()
        f = filters
        self.enc = nn.ModuleList(nn.Sequential(BNBlock(c, k // 2), BNBlock(k // 2, k)) for c, k in zip((1, *f), f))
        steps = list(reversed(list(zip(f, f[1:]))))
        self.upc = nn.ModuleList(nn.ConvTranspose3d(below, below, 2, 2) for _, below in steps)
        self.dec = nn.ModuleList(nn.Sequential(BNBlock(below + k, k), BNBlock(k, k)) for k, below in steps)
        self.head = nn.Conv3d(f[0], classes, 1)

    def forward(self, x):
        skips = []
        for i, enc in enumerate(self.enc):
            x = enc(x if i == 0 else F.max_pool3d(x, 2))
            skips.append(x)
        skips.pop()
        for upc, dec in zip(self.upc, self.dec):
            x = dec(torch.cat((upc(x), skips.pop()), 1))
        return self.head(x)


def segmentation_loss(logits, y, weight=None, over_batch=True, smooth=1.0, scale=1.0):
    """scale * (cross-entropy + Dice loss over classes 1 ..), Dice of each sample or over the batch."""
    p = torch.softmax(logits if logits.dtype == torch.float64 else logits.float(), 1)[:, 1:]
    t = F.one_hot(y, logits.shape[1]).movedim(-1, 1)[:, 1:].to(p.dtype)
    axes = (0, 2, 3, 4) if over_batch else (2, 3, 4)
    dice = 1 - ((2 * (p * t).sum(axes) + smooth) / (p.sum(axes) + t.sum(axes) + smooth)).mean()
    return (F.cross_entropy(logits, y, weight=weight) + dice) * scale


class Block(nn.Module):
    def __init__(self, c, heads):
        super().__init__()
        self.heads, self.ln1, self.ln2 = heads, nn.LayerNorm(c), nn.LayerNorm(c)
        self.qkv, self.proj, self.fc, self.out = nn.Linear(c, 3 * c), nn.Linear(c, c), nn.Linear(c, 4 * c), nn.Linear(4 * c, c)

    def forward(self, x):
        B, T, C = x.shape
        q, k, v = (t.view(B, T, self.heads, C // self.heads).transpose(1, 2) for t in self.qkv(self.ln1(x)).split(C, 2))
        x = x + self.proj(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(B, T, C))
        return x + self.out(F.gelu(self.fc(self.ln2(x)), approximate="tanh"))


class GPT2(nn.Module):
    def __init__(self, layers=12, c=768, heads=12, vocab=50257, t=1024):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(vocab, c), nn.Embedding(t, c)
        self.blocks, self.ln = nn.ModuleList(Block(c, heads) for _ in range(layers)), nn.LayerNorm(c)
        for p in self.parameters():
            if p.dim() > 1:
                nn.init.normal_(p, std=0.02)

    def forward(self, i):
        x = self.wte(i) + self.wpe.weight[: i.shape[1]]
        for b in self.blocks:
            x = b(x)
        return self.ln(x) @ self.wte.weight.T


@dataclass
class Case:
    """What a step needs: `layout` is the memory format of mode cl, if the net has one."""

    net: nn.Module
    x: torch.Tensor
    y: torch.Tensor
    loss: Callable
    optimizer: torch.optim.Optimizer
    layout: Optional[torch.memory_format] = None


def sgd(net):
    return torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, fused=True)


def volumes(a, default, classes):
    """Images and labels: cubes of --size, or `default` voxels."""
    generator, space = torch.Generator().manual_seed(1), [a.size] * 3 if a.size else default
    batch = a.batch or 1
    return torch.randn(batch, 1, *space, generator=generator), torch.randint(0, classes, (batch, *space), generator=generator)


def three_classes(a, net):
    def loss(logits, y):
        return segmentation_loss(logits, y, over_batch=False, smooth=1e-6, scale=0.5)

    return Case(net, *volumes(a, [64, 64, 64], 3), loss, sgd(net), torch.channels_last_3d)


def make_mlperf(a):
    return three_classes(a, MlperfUNet3d(3, (32, 64, 128, 256, 320, 320)))


def make_cicek(a):
    return three_classes(a, CicekUNet3d(3, (64, 128, 256, 512)))


def make_unet3d(a):
    net, weight = MlperfUNet3d(5, (16, 32, 64, 128)), torch.tensor([0.4, 0.8, 1.1, 1.6, 1.3])
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=0.01, fused=True)
    return Case(net, *volumes(a, [48, 112, 96], 5), lambda o, y: segmentation_loss(o, y, weight), optimizer, torch.channels_last_3d)


def make_gpt2(a):
    net, generator = GPT2(), torch.Generator().manual_seed(1)
    x, y = (torch.randint(0, 50257, (a.batch or 4, a.seq), generator=generator) for _ in range(2))
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-4, weight_decay=0.1, fused=True)
    return Case(net, x, y, lambda o, t: F.cross_entropy(o.view(-1, o.shape[-1]), t.view(-1)), optimizer)


def make_mlp(a):
    net = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10))
    generator, batch = torch.Generator().manual_seed(1), a.batch or 64
    x, y = torch.randn(batch, 784, generator=generator), torch.randint(0, 10, (batch,), generator=generator)
    return Case(net, x, y, F.cross_entropy, sgd(net))


NETS = {"mlperf": make_mlperf, "cicek": make_cicek, "unet3d": make_unet3d, "gpt2": make_gpt2, "mlp": make_mlp}


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("net", choices=NETS)
    parser.add_argument("mode")
    parser.add_argument("--size", type=int, default=0)
    parser.add_argument("--batch", type=int, default=0)
    parser.add_argument("--seq", type=int, default=64)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--steps", type=int, default=5)
    arguments = parser.parse_args()
    if not set(arguments.mode.split(",")) <= MODES:
        parser.error(f"unknown mode in {arguments.mode}: {', '.join(sorted(MODES))}")
    return arguments


def main():
    a = parse_arguments()
    modes = set(a.mode.split(","))
    if a.threads:
        torch.set_num_threads(a.threads)
    torch.manual_seed(0)
    case = NETS[a.net](a)
    net, x = case.net.train(), case.x
    if "cl" in modes and case.layout:
        net, x = net.to(memory_format=case.layout), x.to(memory_format=case.layout)
    forward = torch.compile(net) if "compile" in modes else net

    def step():
        start = time.perf_counter()
        case.optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled="bf16" in modes):
            loss = case.loss(forward(x), case.y)
        loss.backward()
        case.optimizer.step()
        return loss.item(), time.perf_counter() - start

    losses, times = zip(*(step() for _ in range(WARM_UP_STEPS + a.steps)))
    timed = times[WARM_UP_STEPS:]
    print(json.dumps({"net": a.net, "mode": a.mode, "size": x.shape[-1], "batch": x.shape[0], "seq": a.seq, "threads": torch.get_num_threads(),
                      "params": sum(p.numel() for p in net.parameters()), "first_step_s": round(times[0], 2),
                      "min_ms": round(min(timed) * 1e3, 3), "median_ms": round(statistics.median(timed) * 1e3, 3),
                      "losses": [round(loss, 6) for loss in losses[:4]],
                      "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, "torch": torch.__version__}))


if __name__ == "__main__":
    main()
