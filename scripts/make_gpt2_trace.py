#!/usr/bin/env python3
"""Makes tests/fixtures/gpt2_torch.safetensors: five training losses of a small GPT-2 in PyTorch, with its weights and data.

usage: make_gpt2_trace.py [OUTPUT]        needs torch and numpy (scripts/torch_venv.sh makes an environment)

Tensors are stored in HP-DLF's layouts: qkv.weight [heads, 3, features, channels], proj.weight [channels, heads, features].
`losses` are those of steps 0..4; `grad.NAME` are float64 gradients of step 0 of a few parameters.
"""
import sys

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from fixture_file import save

LAYERS, HEADS, CHANNELS, VOCABULARY, CONTEXT, BATCH, TOKENS = 2, 2, 32, 101, 20, 3, 17
STEPS, LR, WEIGHT_DECAY = 5, 3e-3, 0.1
CHECKED_GRADIENTS = ("wte.weight", "wpe.weight", "blocks.0.ln1.weight", "blocks.0.qkv.weight", "blocks.0.proj.weight", "blocks.1.fc.bias",
                     "ln.bias")


class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.ln1, self.ln2 = nn.LayerNorm(c), nn.LayerNorm(c)
        self.qkv, self.proj, self.fc, self.out = nn.Linear(c, 3 * c), nn.Linear(c, c), nn.Linear(c, 4 * c), nn.Linear(4 * c, c)

    def forward(self, x):
        n, t, c = x.shape
        q, k, v = (y.view(n, t, HEADS, c // HEADS).transpose(1, 2) for y in self.qkv(self.ln1(x)).split(c, 2))
        x = x + self.proj(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(n, t, c))
        return x + self.out(F.gelu(self.fc(self.ln2(x)), approximate="tanh"))


class Gpt2(nn.Module):
    def __init__(self):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(VOCABULARY, CHANNELS), nn.Embedding(CONTEXT, CHANNELS)
        self.blocks, self.ln = nn.ModuleList(Block(CHANNELS) for _ in range(LAYERS)), nn.LayerNorm(CHANNELS)
        for p in self.parameters():
            if p.dim() > 1:
                nn.init.normal_(p, std=0.2)  # ten times GPT-2's: scores far from uniform

    def forward(self, tokens):
        x = self.wte(tokens) + self.wpe.weight[: tokens.shape[1]]
        for block in self.blocks:
            x = block(x)
        return self.ln(x) @ self.wte.weight.T


def loss_fn(logits, targets):
    return F.cross_entropy(logits.view(-1, logits.shape[-1]), targets.view(-1))


def stored(name, t):
    """Heads before the three parts. A copy: training changes the parameters in place."""
    t = t.detach()
    if ".qkv." in name:
        t = t.view(3, HEADS, CHANNELS // HEADS, *t.shape[1:]).transpose(0, 1)
    if name.endswith("proj.weight"):
        t = t.view(CHANNELS, HEADS, CHANNELS // HEADS)
    return t.contiguous().numpy().copy()


def main():
    path = sys.argv[1] if len(sys.argv) > 1 else "tests/fixtures/gpt2_torch.safetensors"
    torch.manual_seed(11)
    torch.set_num_threads(2)
    net = Gpt2()
    for name, p in net.named_parameters():  # affine parameters away from 1 and 0, so that mixing them up is noticed
        if ".ln" in name or name.startswith("ln"):
            nn.init.uniform_(p, 0.5, 1.5)
    tokens, targets = (torch.randint(0, VOCABULARY, (BATCH, TOKENS)) for _ in range(2))
    tensors = {"tokens": tokens.to(torch.uint8).numpy(), "targets": targets.to(torch.uint8).numpy()}
    tensors |= {name: stored(name, p) for name, p in net.named_parameters()}

    exact = Gpt2().double()
    exact.load_state_dict({k: v.double() for k, v in net.state_dict().items()})
    loss_fn(exact(tokens), targets).backward()
    tensors |= {"grad." + n: stored(n, p.grad) for n, p in exact.named_parameters() if n in CHECKED_GRADIENTS}

    optimizer = torch.optim.AdamW(net.parameters(), LR, weight_decay=WEIGHT_DECAY)
    losses = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = loss_fn(net(tokens), targets)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    tensors["losses"] = np.array(losses, np.float64)
    save(path, tensors, {"net": "gpt2", "layers": str(LAYERS), "heads": str(HEADS), "context": str(CONTEXT), "lr": str(LR),
                         "weight_decay": str(WEIGHT_DECAY), "torch": torch.__version__})
    print(path, "losses", losses)


if __name__ == "__main__":
    main()
