"""Every choice of a run as frozen dataclasses; TensorFlow is never imported here."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from keras_unet.data_config import IGNORE, AugmentConfig, DataConfig
from keras_unet.errors import (
    BadUsage,
    as_paths,
    flag_of,
    require,
    require_between,
    require_positive,
)

PresetName = Literal["demo", "carvana", "isbi", "hela", "mobile"]
Format = Literal["saved_model", "float32", "float16", "dynamic", "int8", "onnx", "web"]


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
        stem_stride: 2 halves the image before the U and doubles the logits after it, in
            the way of --upsampling.
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
        require_between(self, "classes", 1, IGNORE)
        require_between(self, "filters", 1, math.inf)
        require_between(self, "depth", 1, 8)
        require(0 <= self.dropout < 1, "dropout", "0 to below 1", self)
        if self.padding == "valid" and self.stem_stride != 1:
            raise BadUsage(
                "--padding valid is the paper's network: it has no --stem-stride 2; "
                "take --padding same"
            )

    @property
    def halvings(self) -> int:
        """How often images are halved on the way down, by the stem too."""
        return self.depth + (self.stem_stride == 2)

    @property
    def margin(self) -> int:
        """How many pixels at each side of an image have no logits."""
        # Six a level without padding, but for two of the lowest.
        return 6 * 2**self.depth - 4 if self.padding == "valid" else 0


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
        outline_weight: what pixels near an outline weigh more in the cross-entropy and
            the focal loss, where all others weigh 1; their mean stays 1.
        outline_pixels: how near, at the size that the network sees.
        weight_map: weigh each pixel of the cross-entropy and focal loss as the paper
            does (equation 2): gaps between two cells most, and background and cells
            of an image the same in total.
        border_weight: the paper's w0, what a pixel between two cells weighs more at
            most; where they touch, w0 · exp(−9 / 2σ²).
        border_sigma: the paper's σ, the width of such gaps in pixels.
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
    outline_weight: float = 0.0
    outline_pixels: int = 3
    weight_map: bool = False
    border_weight: float = 10.0
    border_sigma: float = 5.0

    def __post_init__(self) -> None:
        """Refuses a loss of nothing, negative weights, and weights of nothing."""
        names = ["cross_entropy", "dice", "focal", "tversky", "lovasz"]
        for name in [*names, "focal_gamma", "tversky_alpha", "tversky_beta"]:
            require_between(self, name, 0.0, math.inf)
        if not any(getattr(self, name) for name in names):
            raise BadUsage(
                "at least one loss needs a weight above 0: "
                + ", ".join(map(flag_of, names))
            )
        require(
            all(0 <= weight < math.inf for weight in self.class_weights),
            "class_weights",
            "finite and 0 or more each",
            self,
        )
        require_between(self, "outline_weight", 0.0, math.inf)
        require_between(self, "outline_pixels", 1, 100)
        # Above 100, a weight would not fit into the byte in which it is kept.
        require_between(self, "border_weight", 0.0, 100.0)
        require_positive(self, "border_sigma")
        for name in ("weight_map", "outline_weight"):
            if getattr(self, name) and not self.cross_entropy + self.focal:
                raise BadUsage(
                    f"{flag_of(name)} weighs the pixels of the cross-entropy and the "
                    "focal loss, and both are 0: give --cross-entropy 1, or leave it "
                    "out"
                )

    def require_weights(self, classes: int) -> None:
        """Refuses class weights that are not one for each class.

        Raises:
            BadUsage: ``classes`` logits per pixel have another number of them.
        """
        wanted, came = max(classes, 2), len(self.class_weights)
        if came not in (0, wanted):
            raise BadUsage(
                f"--class-weights needs {wanted} numbers, background first, not {came}"
            )


@dataclass(frozen=True)
class FitConfig:
    """How the network is trained.

    Attributes:
        epochs: passes over the training images.
        minutes: instead of --epochs, the time after which the training ends, its
            learning rate's course done; counted from the start of the command, scores
            and exports come on top. 0: the epochs decide.
        fit_image_size: with --minutes and without --image-size, time beyond --epochs
            epochs buys larger images and more epochs alike; too little, smaller ones.
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
        xla: whether the training step is compiled; auto does so on GPUs.
        deterministic: the same bits on every run, at some cost in speed; on CPUs in
            float32 alone, which --precision auto then takes.
        seed: of the initial weights, the order, the augmentation and the dropout.
        checkpoint_minutes: time between two checkpoints within an epoch.
        log: where scores, validation images and this config are logged beside the run
            folder's own files: TensorBoard by default, where it is installed, and
            nowhere with --log alone. MLflow takes MLFLOW_TRACKING_URI, else the run
            folder; W&B is offline without WANDB_API_KEY or WANDB_MODE.
    """

    epochs: int = 20
    minutes: float = 0.0
    fit_image_size: bool = True
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
    log: tuple[Literal["tensorboard", "mlflow", "wandb"], ...] | None = None

    def __post_init__(self) -> None:
        """Refuses numbers with which nothing would be trained."""
        require_between(self, "epochs", 1, math.inf)
        require_between(self, "minutes", 0.0, math.inf)
        require_between(self, "batch_size", 1, math.inf)
        require_positive(self, "learning_rate")
        require_between(self, "warmup", 0.0, 1.0)
        require_between(self, "weight_decay", 0.0, math.inf)
        require(0 <= self.momentum < 1, "momentum", "0 to below 1", self)
        require_between(self, "clip_norm", 0.0, math.inf)
        require(0 <= self.ema < 1, "ema", "0 to below 1", self)
        require_between(self, "seed", 0, 2**31 - 1)
        require_positive(self, "checkpoint_minutes")


@dataclass(frozen=True)
class PredictConfig:
    """How probabilities become masks.

    Attributes:
        threshold: foreground is what is more probable than this; networks of one
            foreground only.
        test_time_flips: the probability is the mean over the image and its mirrored
            forms along the axes that --flip of the training names; with both of them,
            --rotation-degrees of 90 and more and square inputs, over all eight forms.
        boundary_threshold: what touches is one of the --instances only if the mean
            probability along the boundary is above this (foreground and background;
            extra science); with 0, all that touches is one.
    """

    threshold: float = 0.5
    test_time_flips: bool = False
    boundary_threshold: float = 0.0

    def __post_init__(self) -> None:
        """Refuses what makes all pixels alike."""
        require(0 < self.threshold < 1, "threshold", "above 0 and below 1", self)
        boundary = self.boundary_threshold
        require(0 <= boundary < 1, "boundary_threshold", "0 to below 1", self)


@dataclass(frozen=True)
class ExportConfig:
    """What a finished run is turned into.

    Attributes:
        formats: the artefacts made from the trained network: the SavedModel, TFLite
            files by the type of their numbers, ONNX (extra "onnx"), and a page for the
            browser (web).
        serve_max_pixels: pixels of the largest image that the SavedModel reads.
    """

    formats: tuple[Format, ...] = ("saved_model", "float32", "float16")
    serve_max_pixels: int = 25_000_000

    def __post_init__(self) -> None:
        """Refuses a server that would read nothing."""
        require_between(self, "serve_max_pixels", 1, math.inf)


@dataclass(frozen=True)
class Config:
    """A whole run: data, augmentation, network, loss, training and export.

    Attributes:
        preset: the set of defaults that the other flags change.
        output: the run folder; by default exports/<preset>.
        resume: go on with the run in the run folder; where its images have moved, say
            where to: --data DIR, or the flags that it has.
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
    predict: PredictConfig = field(default_factory=PredictConfig)
    export: ExportConfig = field(default_factory=ExportConfig)

    def __post_init__(self) -> None:
        """Refuses two ways with one run folder, and what does not fit together."""
        as_paths(self, "output")
        if self.resume and self.overwrite:
            raise BadUsage("--resume and --overwrite exclude each other: give one")
        classes = 3 if self.data.targets == "borders" else self.model.classes
        for name, usual in (("threshold", 0.5), ("boundary_threshold", 0.0)):
            if getattr(self.predict, name) != usual and classes > 2:
                raise BadUsage(
                    f"{flag_of(name)} is for foreground and background: the "
                    f"{classes} classes are told by the most probable one. Presets "
                    f"have others: {flag_of(name)} {usual:g}"
                )
        if self.loss.weight_map and self.model.classes > 2:
            raise BadUsage(
                "--weight-map is for foreground and background, not for "
                f"{self.model.classes} classes: leave it out"
            )
        if self.data.targets == "borders":
            _require_three(self)
        _require_multiples(self.data.tiles, self.model)

    @property
    def fits_image_size(self) -> bool:
        """Whether --minutes choose the size of the images."""
        fitted = self.fit.minutes > 0 and self.fit.fit_image_size
        return fitted and not self.data.tiles


def _require_three(config: Config) -> None:
    """Refuses what does not go with background, cell and border."""
    if config.model.classes not in (1, 3):
        raise BadUsage(
            "--targets borders has three classes, background, cell and border: leave "
            f"--classes {config.model.classes} out"
        )
    if config.loss.weight_map:
        raise BadUsage(
            "--targets borders and --weight-map are two ways to keep cells apart: "
            "give one of them (--no-weight-map, where a preset has it)"
        )


def _require_multiples(tile_size: tuple[int, int] | None, model: UNetConfig) -> None:
    """Refuses tiles that the poolings would not divide, so that seams would show."""
    step = 2**model.halvings
    if tile_size is None or not any(side % step for side in tile_size):
        return
    fits = [max(1, round(side / step)) * step for side in tile_size]
    raise BadUsage(
        f"--tile-size {tile_size[0]} {tile_size[1]} must be multiples of {step}, which "
        f"the network's poolings divide: {fits[0]} {fits[1]} for example"
    )
