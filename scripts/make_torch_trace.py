#!/usr/bin/env python3
"""Makes the fixtures of tests/e2e/torch_trace_test.cc: training losses of small 3-D U-Nets in PyTorch, with their weights and data.

usage: make_torch_trace.py [FOLDER]        needs torch and numpy (scripts/torch_venv.sh makes an environment)

  unet3d_torch.safetensors   the app's net, weighted loss over the batch, AdamW
  cicek_torch.safetensors    the Cicek net, loss as `hpdlf bench` has it, SGD

Tensors are stored in HP-DLF's layouts: activations [N, D, H, W, C], convolution weights [K, D, H, W, C], transposed ones
[C, D, H, W, K]. `losses` are those of the first steps; `grad.NAME` are float64 gradients of step 0 of a few parameters. The metadata
says which net, loss and optimizer.
"""
import pathlib
import sys
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn as nn
from fixture_file import save
from torch_bench import CicekUNet3d, MlperfUNet3d, segmentation_loss


@dataclass
class Trace:
    file: str
    net: str
    seed: int
    filters: tuple
    weight: list  # of the classes in the cross-entropy
    loss: dict  # arguments of segmentation_loss
    optimizer: str
    lr: float
    weight_decay: float
    extents: tuple  # [N, 1, D, H, W]
    steps: int
    gradients: tuple  # parameters whose float64 gradients are kept

    def make_net(self):
        return {"mlperf": MlperfUNet3d, "cicek": CicekUNet3d}[self.net](len(self.weight), self.filters)

    def make_optimizer(self, parameters):
        if self.optimizer == "sgd":
            return torch.optim.SGD(parameters, self.lr, momentum=0.9, weight_decay=self.weight_decay)
        return torch.optim.AdamW(parameters, self.lr, weight_decay=self.weight_decay)

    def metadata(self):
        return {"net": self.net, "filters": ",".join(map(str, self.filters)), "optimizer": self.optimizer, "lr": str(self.lr),
                "weight_decay": str(self.weight_decay), "dice_over_batch": str(int(self.loss["over_batch"])),
                "dice_smooth": str(self.loss["smooth"]), "loss_scale": str(self.loss["scale"]), "torch": torch.__version__}


TRACES = (
    Trace("unet3d_torch.safetensors", "mlperf", seed=7, filters=(4, 8, 16), weight=[0.4, 0.8, 1.1, 1.6, 1.3],
          loss={"over_batch": True, "smooth": 1.0, "scale": 1.0}, optimizer="adamw", lr=2e-3, weight_decay=0.01,
          extents=(2, 1, 16, 24, 8), steps=10,
          gradients=("inp.0.0.weight", "inp.1.1.weight", "down.1.0.0.weight", "upc.0.weight", "up.1.0.0.weight", "head.bias")),
    Trace("cicek_torch.safetensors", "cicek", seed=11, filters=(4, 8, 16), weight=[1.0, 1.0, 1.0],
          loss={"over_batch": False, "smooth": 1e-6, "scale": 0.5}, optimizer="sgd", lr=0.01, weight_decay=0.0,
          extents=(2, 1, 8, 16, 16), steps=5,
          gradients=("enc.0.0.0.weight", "enc.1.1.1.weight", "enc.2.0.0.weight", "upc.0.bias", "dec.1.0.0.weight", "head.bias")),
)


def channels_last(t):
    """[A, B, ...space] -> [A, ...space, B]; vectors stay. A copy: training changes the parameters in place."""
    t = t.detach()
    return (t.movedim(1, -1) if t.dim() == 5 else t).contiguous().numpy().copy()


def train(trace):
    """name -> tensor of one fixture."""
    torch.manual_seed(trace.seed)
    net = trace.make_net()
    for name, p in net.named_parameters():  # affine parameters away from 1 and 0, so that mixing them up is noticed
        if p.dim() == 1 and name.split(".")[-2] == "1":
            nn.init.uniform_(p, 0.5, 1.5)
    x = torch.randn(*trace.extents) * 1.5 + 0.3
    n, _, *space = trace.extents
    y = (torch.randn(n, *space).cumsum(1).abs() % len(trace.weight)).long()
    weight = torch.tensor(trace.weight)
    tensors = {"x": channels_last(x), "labels": y.to(torch.uint8).numpy(), "class_weights": weight.numpy()}
    tensors |= {name: channels_last(p) for name, p in net.named_parameters()}

    exact = trace.make_net().double()
    exact.load_state_dict({k: v.double() if v.is_floating_point() else v for k, v in net.state_dict().items()})
    segmentation_loss(exact(x.double()), y, weight.double(), **trace.loss).backward()
    tensors |= {"grad." + n: channels_last(p.grad) for n, p in exact.named_parameters() if n in trace.gradients}

    optimizer = trace.make_optimizer(net.parameters())
    losses = []
    for _ in range(trace.steps):
        optimizer.zero_grad()
        loss = segmentation_loss(net(x), y, weight, **trace.loss)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    tensors["losses"] = np.array(losses, np.float64)
    return tensors


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "tests/fixtures")
    torch.set_num_threads(2)
    for trace in TRACES:
        tensors = train(trace)
        save(folder / trace.file, tensors, trace.metadata())
        print(folder / trace.file, "losses", tensors["losses"].tolist())


if __name__ == "__main__":
    main()
