"""Every choice of a run as frozen dataclasses; TensorFlow is never imported here."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

IGNORE = 255
"""Class id of pixels that count in no loss and no metric."""

PresetName = Literal["demo", "carvana", "isbi", "hela", "mobile"]
Reading = Literal["auto", "levels", "indices", "colours", "alpha"]


@dataclass(frozen=True)
class DataConfig:
    """Where the images come from and how they are read.

    Attributes:
        data: folder in a layout that is known (images/ and masks/, Kaggle's Carvana,
            CamVid, VOC, COCO, ...), or written by ``keras_unet.data records``.
        images: folder of images, where they lie elsewhere; needs --masks.
        masks: folder of masks, matched to the images by name; or a table of run
            lengths (.csv), or COCO's annotations (.json).
        pairs: CSV file instead of folders: columns image, mask, and if wanted group
            and part (train, validation, test); paths are relative to its folder.
        validation: folder or such a file with the validation pairs, instead of a tenth
            of --data.
        test: the same for the test pairs.
        run_lengths: order of masks that are run lengths; auto looks at them.
        group_by: regular expression; what its first group (or the whole match) finds
            in a file name is the image's group. Groups are never split.
        image_size: height and width in pixels of the images the network sees.
        mask_reading: what of a mask's pixels its values are: grey levels, indices into
            a palette, colours, or alpha; auto looks at all files.
        mask_kind: what a mask's values mean; auto looks at them.
        foreground_above: binary and instances: foreground is every value above it.
        class_values: classes: the mask value of class 0, 1, ...; colours as 0xRRGGBB.
        class_names: names of the classes, background first.
        ignore_values: mask values that count in no loss and no metric.
        snap_values: classes: any other value counts as the nearest one, because masks
            have soft edges or were compressed as JPEG.
        bands: channels of the images that are read, from 1: three or one; by default
            grey or RGB, without alpha.
        white: 16-bit images: the value that counts as white; by default the largest of
            the number of bits that the whole set uses.
        max_pixels: the largest image that is opened (decompression bombs).
        cache: where decoded, resized images are kept after they were read once.
    """

    data: Path | None = None
    images: Path | None = None
    masks: Path | None = None
    pairs: Path | None = None
    validation: Path | None = None
    test: Path | None = None
    run_lengths: Literal["auto", "rows", "columns"] = "auto"
    group_by: str | None = None
    image_size: tuple[int, int] = (256, 384)
    mask_reading: Reading = "auto"
    mask_kind: Literal["auto", "binary", "instances", "classes"] = "auto"
    foreground_above: int | None = None
    class_values: tuple[int, ...] = ()
    class_names: tuple[str, ...] = ()
    ignore_values: tuple[int, ...] = ()
    snap_values: bool = False
    bands: tuple[int, ...] = ()
    white: int | None = None
    max_pixels: int = 178_956_970
    cache: Literal["none", "memory", "disk"] = "memory"

    def __post_init__(self) -> None:
        """Refuses sizes below one pixel and half a pair of folders."""
        _require(min(self.image_size) >= 1, "--image-size", "at least 1 1", self)
        _require(self.max_pixels >= 1, "--max-pixels", "at least 1", self)
        if self.bands:
            fits = len(self.bands) in (1, 3) and min(self.bands) >= 1
            _require(fits, "--bands", "three numbers from 1 on, or one", self)
        if self.white is not None:
            _require_between(self, "white", 255, 65535)
        if (self.images is None) != (self.masks is None):
            raise ValueError("--images and --masks go together: give both or neither")
        sources = [
            f for f in ("data", "images", "pairs") if getattr(self, f) is not None
        ]
        if len(sources) > 1:
            one, other = map(_flag, sources[:2])
            raise ValueError(f"{one} and {other} name two sources: give one of them")


@dataclass(frozen=True)
class AugmentConfig:
    """How far training images are moved, bent and recoloured at random.

    Attributes:
        flip: axes along which an image is mirrored, each with probability 1/2.
        rotation_degrees: largest angle, either way.
        scale: largest relative change of size, either way.
        shear_degrees: largest shear angle, either way.
        translation: largest shift, as a share of height and width.
        elastic_pixels: standard deviation of the paper's displacements on a 3×3 grid.
        brightness: largest shift, as a share of the full range.
        contrast: largest relative change.
        hue: largest shift, as a share of the colour circle.
        noise: standard deviation of Gaussian noise, as a share of the full range.
    """

    flip: Literal["none", "horizontal", "vertical", "both"] = "horizontal"
    rotation_degrees: float = 0.0
    scale: float = 0.0
    shear_degrees: float = 0.0
    translation: float = 0.0
    elastic_pixels: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    hue: float = 0.0
    noise: float = 0.0

    def __post_init__(self) -> None:
        """Refuses negative amplitudes and shares of one and more."""
        for name, top in [
            ("rotation_degrees", 180.0),
            ("scale", 0.9),
            ("shear_degrees", 80.0),
            ("translation", 1.0),
            ("elastic_pixels", math.inf),
            ("brightness", 1.0),
            ("contrast", 1.0),
            ("hue", 0.5),
            ("noise", 1.0),
        ]:
            _require_between(self, name, 0.0, top)


@dataclass(frozen=True)
class UNetConfig:
    """The shape of the network.

    Attributes:
        channels: channels of the image: 3 (RGB) or 1 (grey).
        classes: logits per pixel: 1 for foreground or background, else one a class.
        filters: channels of the first level; each level below has twice as many.
        depth: number of poolings.
        padding: "same" keeps the size; "valid" is the paper's network.
        normalization: what follows each 3×3 convolution.
        upsampling: the paper's 2×2 up-convolution, or bilinear and a convolution.
        stem_stride: 2 halves the image before the U and doubles the logits after it.
        dropout: share of features dropped at the bottom of the U.
    """

    channels: Literal[1, 3] = 3
    classes: int = 1
    filters: int = 64
    depth: int = 4
    padding: Literal["same", "valid"] = "same"
    normalization: Literal["none", "batch", "group"] = "none"
    upsampling: Literal["transposed", "bilinear"] = "transposed"
    stem_stride: Literal[1, 2] = 1
    dropout: float = 0.5

    def __post_init__(self) -> None:
        """Refuses networks that cannot be built."""
        _require_between(self, "classes", 1, IGNORE)
        _require_between(self, "filters", 1, math.inf)
        _require_between(self, "depth", 1, 8)
        _require(0 <= self.dropout < 1, "--dropout", "0 to below 1", self)
        if self.padding == "valid" and self.stem_stride != 1:
            raise ValueError(
                "--padding valid is the paper's network: it has no --stem-stride 2; "
                "take --padding same"
            )


@dataclass(frozen=True)
class LossConfig:
    """What is minimised: the weighted sum of these losses.

    Attributes:
        cross_entropy: weight of the (binary) cross-entropy.
        dice: weight of 1 − soft Dice, per image.
        focal: weight of the focal loss.
        tversky: weight of 1 − soft Tversky index, per image.
        lovasz: weight of the Lovász hinge / softmax, per image.
        focal_gamma: exponent of the focal loss.
        tversky_alpha: weight of false positives in the Tversky index.
        tversky_beta: weight of false negatives in the Tversky index.
        class_weights: weight of each class's pixels in the cross-entropy and focal
            loss, background first.
    """

    cross_entropy: float = 1.0
    dice: float = 1.0
    focal: float = 0.0
    tversky: float = 0.0
    lovasz: float = 0.0
    focal_gamma: float = 2.0
    tversky_alpha: float = 0.3
    tversky_beta: float = 0.7
    class_weights: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Refuses a loss of nothing and negative weights."""
        names = ["cross_entropy", "dice", "focal", "tversky", "lovasz"]
        for name in [*names, "focal_gamma", "tversky_alpha", "tversky_beta"]:
            _require_between(self, name, 0.0, math.inf)
        if not any(getattr(self, name) for name in names):
            raise ValueError(
                "at least one loss needs a weight above 0: "
                + ", ".join(map(_flag, names))
            )
        _require(
            all(0 <= weight < math.inf for weight in self.class_weights),
            "--class-weights",
            "finite and 0 or more each",
            self,
        )


@dataclass(frozen=True)
class FitConfig:
    """How the network is trained.

    Attributes:
        epochs: passes over the training images.
        batch_size: images per step, over all devices together.
        optimizer: AdamW, or RMSprop or SGD with the momentum below.
        learning_rate: its peak, after the warm-up.
        schedule: course of the learning rate after the warm-up.
        warmup: share of all steps over which the learning rate rises from near 0.
        weight_decay: AdamW's decay of kernels; biases and norms are left alone.
        momentum: of SGD and RMSprop; the paper has 0.99.
        clip_norm: gradients longer than this are shortened to it; 0 switches it off.
        ema: momentum of the moving average of the weights that is scored and kept;
            0 switches it off.
        precision: number format of the layers; auto takes what the device is fast in.
        xla: compile the training step; auto does so on GPUs.
        deterministic: the same bits on every run, at some cost in speed; on CPUs in
            float32 alone, which --precision auto then takes.
        seed: of the initial weights, the order, the augmentation and the dropout.
        checkpoint_minutes: time between two checkpoints within an epoch.
    """

    epochs: int = 20
    batch_size: int = 4
    optimizer: Literal["adamw", "rmsprop", "sgd"] = "adamw"
    learning_rate: float = 1e-3
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup: float = 0.1
    weight_decay: float = 1e-4
    momentum: float = 0.9
    clip_norm: float = 1.0
    ema: float = 0.0
    precision: Literal["auto", "float32", "mixed_float16", "mixed_bfloat16"] = "auto"
    xla: Literal["auto", "on", "off"] = "auto"
    deterministic: bool = False
    seed: int = 0
    checkpoint_minutes: float = 10.0

    def __post_init__(self) -> None:
        """Refuses numbers with which nothing would be trained."""
        _require_between(self, "epochs", 1, math.inf)
        _require_between(self, "batch_size", 1, math.inf)
        _require_positive(self, "learning_rate")
        _require_between(self, "warmup", 0.0, 1.0)
        _require_between(self, "weight_decay", 0.0, math.inf)
        _require(0 <= self.momentum < 1, "--momentum", "0 to below 1", self)
        _require_between(self, "clip_norm", 0.0, math.inf)
        _require(0 <= self.ema < 1, "--ema", "0 to below 1", self)
        _require_between(self, "seed", 0, 2**31 - 1)
        _require_positive(self, "checkpoint_minutes")


@dataclass(frozen=True)
class ExportConfig:
    """What a finished run is turned into.

    Attributes:
        formats: the artefacts made from the trained network: the SavedModel, and
            TFLite files by the type of their numbers.
        serve_max_pixels: the largest image that the SavedModel reads.
    """

    formats: tuple[
        Literal["saved_model", "float32", "float16", "dynamic", "int8"], ...
    ] = ("saved_model", "float32", "float16")
    serve_max_pixels: int = 25_000_000

    def __post_init__(self) -> None:
        """Refuses a server that would read nothing."""
        _require_between(self, "serve_max_pixels", 1, math.inf)


@dataclass(frozen=True)
class Config:
    """A whole run: data, augmentation, network, loss, training and export.

    Attributes:
        preset: the set of defaults that the other flags change.
        output: the run folder; by default exports/<preset>.
        resume: go on with the run in the run folder.
        overwrite: replace the run in the run folder.
    """

    preset: PresetName = "demo"
    output: Path | None = None
    resume: bool = False
    overwrite: bool = False
    data: DataConfig = field(default_factory=DataConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    model: UNetConfig = field(default_factory=UNetConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    fit: FitConfig = field(default_factory=FitConfig)
    export: ExportConfig = field(default_factory=ExportConfig)

    def __post_init__(self) -> None:
        """Refuses two ways with one run folder."""
        if self.resume and self.overwrite:
            raise ValueError("--resume and --overwrite exclude each other: give one")


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _require(holds: bool, flag: str, wanted: str, config: Any) -> None:
    if not holds:
        came = getattr(config, flag.removeprefix("--").replace("-", "_"))
        came = " ".join(map(str, came)) if isinstance(came, tuple) else came
        raise ValueError(f"{flag} must be {wanted}, not {came}")


def _require_positive(config: Any, name: str) -> None:
    holds = 0 < getattr(config, name) < math.inf
    _require(holds, _flag(name), "above 0 and finite", config)


def _require_between(config: Any, name: str, low: float, high: float) -> None:
    wanted = f"{low:g} to {high:g}"
    if high == math.inf:
        wanted = f"{low:g} or more" + ", and finite" * isinstance(low, float)
    value = getattr(config, name)
    _require(low <= value <= high and value < math.inf, _flag(name), wanted, config)
