#!/usr/bin/env python3
"""Makes tests/fixtures/unet3d_torch.safetensors: ten training losses of a small 3-D U-Net in PyTorch, with its weights and data.

usage: make_torch_trace.py [OUTPUT]        needs torch and numpy (scripts/torch_venv.sh makes an environment)

Tensors are stored in HP-DLF's layouts: activations [N, D, H, W, C], convolution weights [K, D, H, W, C], transposed ones
[C, D, H, W, K]. `losses` are those of steps 0..9; `grad.NAME` are float64 gradients of step 0 of a few parameters.
"""
import sys

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from fixture_file import save

FILTERS, CLASSES, STEPS, LR, WEIGHT_DECAY = (4, 8, 16), 5, 10, 2e-3, 0.01
CHECKED_GRADIENTS = ("inp.0.0.weight", "inp.1.1.weight", "down.1.0.0.weight", "upc.0.weight", "up.1.0.0.weight", "head.bias")


class ConvBlock(nn.Sequential):
    def __init__(self, cin, cout, stride=1):
        super().__init__(nn.Conv3d(cin, cout, 3, stride, 1, bias=False), nn.InstanceNorm3d(cout, affine=True), nn.ReLU())


class UNet3d(nn.Module):
    def __init__(self):
        super().__init__()
        f = FILTERS
        self.inp = nn.Sequential(ConvBlock(1, f[0]), ConvBlock(f[0], f[0]))
        self.down = nn.ModuleList(nn.Sequential(ConvBlock(a, b, 2), ConvBlock(b, b)) for a, b in zip(f, f[1:]))
        self.upc = nn.ModuleList(nn.ConvTranspose3d(b, a, 2, 2) for a, b in reversed(list(zip(f, f[1:]))))
        self.up = nn.ModuleList(nn.Sequential(ConvBlock(2 * a, a), ConvBlock(a, a)) for a in reversed(f[:-1]))
        self.head = nn.Conv3d(f[0], CLASSES, 1)

    def forward(self, x):
        skips = [self.inp(x)]
        for d in self.down:
            skips.append(d(skips[-1]))
        x = skips.pop()
        for upc, up in zip(self.upc, self.up):
            x = up(torch.cat((upc(x), skips.pop()), 1))
        return self.head(x)


def loss_fn(logits, target, weight):
    prob = torch.softmax(logits, 1)[:, 1:]
    hot = F.one_hot(target, CLASSES).movedim(-1, 1)[:, 1:].to(prob.dtype)
    axes = (0, 2, 3, 4)
    dice = ((2 * (prob * hot).sum(axes) + 1) / (prob.sum(axes) + hot.sum(axes) + 1)).mean()
    return F.cross_entropy(logits, target, weight=weight) + 1 - dice


def channels_last(t):
    """[A, B, ...space] -> [A, ...space, B]; vectors stay. A copy: training changes the parameters in place."""
    t = t.detach()
    return (t.movedim(1, -1) if t.dim() == 5 else t).contiguous().numpy().copy()


def main():
    path = sys.argv[1] if len(sys.argv) > 1 else "tests/fixtures/unet3d_torch.safetensors"
    torch.manual_seed(7)
    torch.set_num_threads(2)
    net = UNet3d()
    for name, p in net.named_parameters():  # affine parameters away from 1 and 0, so that mixing them up is noticed
        if p.dim() == 1 and name.split(".")[-2] == "1":
            nn.init.uniform_(p, 0.5, 1.5)
    x = torch.randn(2, 1, 16, 24, 8) * 1.5 + 0.3
    y = (torch.randn(2, 16, 24, 8).cumsum(1).abs() % CLASSES).long()
    weight = torch.tensor([0.4, 0.8, 1.1, 1.6, 1.3])
    tensors = {"x": channels_last(x), "labels": y.to(torch.uint8).numpy(), "class_weights": weight.numpy()}
    tensors |= {name: channels_last(p) for name, p in net.named_parameters()}

    exact = UNet3d().double()
    exact.load_state_dict({k: v.double() for k, v in net.state_dict().items()})
    loss_fn(exact(x.double()), y, weight.double()).backward()
    tensors |= {"grad." + n: channels_last(p.grad) for n, p in exact.named_parameters() if n in CHECKED_GRADIENTS}

    optimizer = torch.optim.AdamW(net.parameters(), LR, weight_decay=WEIGHT_DECAY)
    losses = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = loss_fn(net(x), y, weight)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    tensors["losses"] = np.array(losses, np.float64)
    save(path, tensors, {"filters": ",".join(map(str, FILTERS)), "lr": str(LR), "weight_decay": str(WEIGHT_DECAY), "torch": torch.__version__})
    print(path, "losses", losses)


if __name__ == "__main__":
    main()
