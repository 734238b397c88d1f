"""``python -m benchmarks.script_torch LISTING MASKS MINUTES SCALE FILTERS``.

The straightforward training script in PyTorch, to be compared with (see ``carvana``). A
line of the listing is an image and its mask, with a tab between them, to train on, or
an image alone, whose mask is written.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional

from benchmarks.unet_torch import UNet, segmentation_loss


def main(listing: str, masks: str, minutes: str, scale: str, filters: str) -> int:
    """Trains for the minutes and writes a mask for each image that has none."""
    began = time.monotonic()
    lines = Path(listing).read_text("utf-8").splitlines()
    pairs = [line.split("\t") for line in lines]
    network = UNet(filters=int(filters), eps=1e-5, momentum=0.1)
    # PyTorch's types lack the memory format of a module.
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    train = [(image, mask) for image, mask in pairs if mask]
    steps = _train(network, train, float(scale), began + 60 * float(minutes))
    print(f"{steps} steps, {steps / len(train):.2f} epochs in {minutes} minutes")
    network.eval()
    for image, _ in (pair for pair in pairs if not pair[1]):
        _write_mask(network, Path(image), float(scale), Path(masks))
    return 0


def _train(
    network: UNet, pairs: list[tuple[str, str]], scale: float, until: float
) -> int:
    """Trains until the clock says so and returns the number of steps."""
    torch.manual_seed(0)
    optimizer = torch.optim.RMSprop(
        network.parameters(), lr=1e-5, weight_decay=1e-8, momentum=0.999, foreach=True
    )
    steps = 0
    while True:
        for index in torch.randperm(len(pairs)).tolist():
            if time.monotonic() > until:
                return steps
            image, mask = pairs[index]
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast("cpu", torch.bfloat16):
                logits = network(_image(Path(image), scale))
            loss = segmentation_loss(logits.float(), _mask(Path(mask), scale))
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            steps += 1


def _image(file: Path, scale: float) -> torch.Tensor:
    """Returns the image (1, 3, h, w) in 0..255, its sides multiples of 16."""
    image = Image.open(file).convert("RGB")
    small = image.resize(_size(image, scale), Image.Resampling.BICUBIC)
    tensor = torch.from_numpy(np.array(small)).permute(2, 0, 1)[None].float()
    return tensor.to(memory_format=torch.channels_last)


def _mask(file: Path, scale: float) -> torch.Tensor:
    mask = Image.open(file).convert("L")
    small = mask.resize(_size(mask, scale), Image.Resampling.NEAREST)
    return torch.from_numpy(np.array(small) > 0)[None, None].float()


def _size(image: Image.Image, scale: float) -> tuple[int, int]:
    width, height = (max(16, round(side * scale / 16) * 16) for side in image.size)
    return width, height


@torch.no_grad()
def _write_mask(network: UNet, file: Path, scale: float, masks: Path) -> None:
    width, height = Image.open(file).size
    with torch.autocast("cpu", torch.bfloat16):
        logits = network(_image(file, scale)).float()
    whole = functional.interpolate(logits, (height, width), mode="bilinear")
    pixels = (whole[0, 0] > 0).numpy().astype(np.uint8) * 255
    Image.fromarray(pixels).save(masks / f"{file.stem}.png")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
