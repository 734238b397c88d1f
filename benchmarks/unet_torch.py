"""The network of ``keras_unet.model`` and its training step, in PyTorch.

The other side of ``train_step.py``: padding "same", batch normalisation, one logit.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch import nn
from torch.nn import functional


class UNet(nn.Module):
    """Images (b, c, h, w) in 0..255 to logits (b, 1, h, w), modules named as in Keras.

    Height and width are multiples of 2^depth.
    """

    def __init__(
        self,
        channels: int = 3,
        filters: int = 64,
        depth: int = 4,
        eps: float = 1e-3,
        momentum: float = 0.05,
    ) -> None:
        """Builds the way down, the bottom and the way up."""
        super().__init__()
        self.depth, self.eps, self.momentum = depth, eps, momentum
        widths = [filters * 2**level for level in range(depth)]
        for level, width in enumerate(widths):
            self._add_convolutions(f"down{level}", channels, width)
            channels = width
        self._add_convolutions("bottom", channels, 2 * channels)
        for level, width in reversed(list(enumerate(widths))):
            up = nn.ConvTranspose2d(2 * width, width, 2, stride=2)
            self.add_module(f"up{level}_upconv", up)
            self._add_convolutions(f"up{level}", 2 * width, width)
        self.add_module("logits", nn.Conv2d(filters, 1, 1))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Returns the logits."""
        x, skips = image / 127.5 - 1, []
        for level in range(self.depth):
            x = self._convolve_twice(f"down{level}", x)
            skips.append(x)
            x = functional.max_pool2d(x, 2)
        x = self._convolve_twice("bottom", x)
        for level in reversed(range(self.depth)):
            x = self.get_submodule(f"up{level}_upconv")(x)
            x = self._convolve_twice(f"up{level}", torch.cat([skips[level], x], 1))
        logits: torch.Tensor = self.get_submodule("logits")(x)
        return logits

    def _add_convolutions(self, name: str, channels: int, width: int) -> None:
        for step, inputs in (("1", channels), ("2", width)):
            convolution = nn.Conv2d(inputs, width, 3, padding=1, bias=False)
            self.add_module(f"{name}_conv{step}", convolution)
            normalization = nn.BatchNorm2d(width, self.eps, self.momentum)
            self.add_module(f"{name}_conv{step}_norm", normalization)

    def _convolve_twice(self, name: str, x: torch.Tensor) -> torch.Tensor:
        for step in ("1", "2"):
            x = self.get_submodule(f"{name}_conv{step}")(x)
            x = self.get_submodule(f"{name}_conv{step}_norm")(x)
            x = functional.relu(x, inplace=True)
        return x


def make_step(
    image_size: tuple[int, int],
    batch_size: int,
    filters: int,
    bfloat16: bool,
    compiled: bool = False,
) -> Callable[[], float]:
    """Returns a function that trains on one batch in memory and returns the loss.

    As its users write it: channels_last, autocast and ``torch.compile`` where asked,
    AdamW with all parameters in one kernel, gradients clipped by their norm, no scores.
    """
    torch.manual_seed(0)
    network = UNet(filters=filters)
    # PyTorch's types lack the memory format of a module, and backward().
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=1e-4, fused=True)
    image = 255 * torch.rand(batch_size, 3, *image_size)
    image = image.to(memory_format=torch.channels_last)
    mask = (image[:, :1] > 128).float()
    forward = torch.compile(network) if compiled else network

    def step() -> float:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16) if bfloat16 else nullcontext():
            logits = forward(image)
        loss = segmentation_loss(logits.float(), mask)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        return loss.item()

    return step


def segmentation_loss(logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Returns cross-entropy + 1 − soft Dice per image, as ``keras_unet.losses``."""
    entropy = functional.binary_cross_entropy_with_logits(logits, mask)
    probability, pixels = torch.sigmoid(logits), (1, 2, 3)
    hit = (probability * mask).sum(pixels)
    dice = (2 * hit + 1) / (probability.sum(pixels) + mask.sum(pixels) + 1)
    return entropy + 1 - dice.mean()
