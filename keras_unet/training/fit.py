"""Training: the compiled network, ``model.fit``, and going on where it stopped."""

from __future__ import annotations

import contextlib
import functools
import gc
import math
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import Any

import keras
import tensorflow as tf

from keras_unet.config import Config
from keras_unet.console import Say
from keras_unet.data import pipeline
from keras_unet.data.pair import Pair
from keras_unet.data.pair_cache import require_room
from keras_unet.data.pairs import Split, steps_per_epoch
from keras_unet.data.pieces import count_pieces, seen_sizes
from keras_unet.errors import BadData, BadUsage, quoted
from keras_unet.files import disk_error
from keras_unet.model.losses import SegmentationLoss
from keras_unet.model.metrics import segmentation_metrics
from keras_unet.model.unet import build_network, build_unet
from keras_unet.run_folder import RunFolder
from keras_unet.training import callbacks, checkpoint, cluster, devices
from keras_unet.training.budget import Budget, out_of_memory
from keras_unet.training.callbacks import StopOnInterrupt
from keras_unet.training.checkpoint import Recorder, TrainingProgress
from keras_unet.training.devices import Device
from keras_unet.training.logs import Trackers, describe
from keras_unet.training.optimizers import WeightAverage, make_optimizer

_MANY = 1_000_000
"""Images of which the order is laid out at a time, in whole epochs."""


@dataclass(frozen=True)
class Plan:
    """What one training is made of.

    Attributes:
        run: folder that is written to.
        source: folder whose checkpoint the training goes on from, if it has one; the
            same as ``run`` but on workers that do not write.
        config: of the run, its mask coding found.
        split: the pairs.
        device: what to compute with.
        verbose: Keras's progress bar (1) or none (0).
        say: prints a line.
        trackers: where the epochs are logged, beside the run's own files.
        began: ``time.monotonic()`` from which --minutes count.
    """

    run: RunFolder
    source: RunFolder
    config: Config
    split: Split
    device: Device
    verbose: int
    say: Say
    trackers: Trackers | None = None
    began: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        """Refuses a batch that nothing fills or shares, and a cache without room."""
        size, replicas = self.config.fit.batch_size, self.device.replicas
        steps_per_epoch(self.split.train, self.config)
        if size % replicas:
            raise BadUsage(
                f"--batch-size {size} cannot be shared evenly by {replicas} devices: "
                f"take a multiple of {replicas}"
            )
        parts = (self.split.train, self.split.validation)
        sizes = [seen_sizes(pairs, self.config.data) for pairs in parts]
        require_room(sizes, self.config)

    @property
    def resume_command(self) -> str:
        """What to type to go on after an interrupt."""
        return (
            f"python -m keras_unet.train --output {quoted(self.source.path)} --resume"
        )

    @functools.cached_property
    def steps(self) -> int:
        """Training steps per epoch."""
        return steps_per_epoch(self.split.train, self.config)


def compile_network(config: Config, steps: int, device: Device) -> keras.Model:
    """Returns the network with optimizer, loss and metrics, its seed set.

    Args:
        config: of the run.
        steps: training steps per epoch, for the schedule.
        device: its strategy holds the variables.
    """
    keras.utils.set_random_seed(config.fit.seed)
    classes, names = config.model.classes, config.data.class_names
    with device.strategy.scope():
        network = _network(config)
        network.compile(
            optimizer=make_optimizer(config.fit, config.fit.epochs * steps, network),
            loss=SegmentationLoss(config.loss, classes),
            metrics=segmentation_metrics(classes, names),
            jit_compile=device.xla,
        )
        network.optimizer.build(network.trainable_variables)
    return network


def _network(config: Config) -> keras.Model:
    if config.data.tiles and config.model.padding == "valid":
        # Pieces bring what the paper's network sees around them.
        return build_unet(config.model)
    return build_network(config.model)


def fit(plan: Plan) -> TrainingProgress:
    """Trains, writing the run folder's weights, history and checkpoint.

    With a checkpoint in the folder it goes on from there.

    Raises:
        BadData: an image cannot be read, the loss is no number, memory runs out.
        KeyboardInterrupt: after Ctrl-C, or Terminated after SIGTERM, once the step is
            done and its state saved.
    """
    try:
        return _fit(plan)
    except BaseException as error:
        _end_readers(error)
        raise


def _end_readers(error: BaseException | None) -> None:
    """Drops the batches that an error cut off, whose threads are reading ahead.

    TensorFlow ends these threads when nothing holds the batches any more, and waits for
    them. Left to the end of the interpreter, that is for ever: Python stops the threads
    which it finds in one of its functions.
    """
    while error:
        for frame, _ in traceback.walk_tb(error.__traceback__):
            _clear(frame)
        error = error.__cause__ or error.__context__
    gc.collect()


def _clear(frame: FrameType | None) -> None:
    """Drops the variables of a function that has ended, and of those that called it."""
    # Keras takes its own functions out of the traceback, but not out of this chain.
    while frame:
        with contextlib.suppress(RuntimeError):  # It is still running.
            frame.clear()
        frame = frame.f_back


def _fit(plan: Plan) -> TrainingProgress:
    network = compile_network(plan.config, plan.steps, plan.device)
    describe(plan.source, plan.config, plan.split, plan.device, network, plan.say)
    recorder = _recorder(network, plan)
    progress = recorder.progress
    budget = _budget(plan, progress)
    if progress.step:
        whole = "" if budget else f" of {plan.config.fit.epochs}"
        plan.say(
            f"going on after {progress.epoch}{whole} epochs (step {progress.step})"
        )
    alone = cluster.workers() == 1
    stop = StopOnInterrupt(recorder, alone, f"Go on with: {plan.resume_command}")
    try:
        beside = [*_callbacks(plan, recorder, budget), stop]
        beside = _with_whole_images(beside, plan)
        with stop:
            _fit_epochs(network, plan, progress, beside)
    except tf.errors.ResourceExhaustedError as error:
        full = disk_error(str(error), plan.run.path)
        raise full or BadData(out_of_memory(plan.config)) from error
    except (tf.errors.UnavailableError, tf.errors.AbortedError) as error:
        raise BadData(_worker_lost(plan)) from error
    except tf.errors.OpError as error:
        raise pipeline.reading_error(error) or error from None
    return progress


def _fit_epochs(
    network: keras.Model,
    plan: Plan,
    progress: TrainingProgress,
    beside: list[keras.callbacks.Callback],
) -> None:
    """Ends an epoch half done, and trains for all others."""
    if progress.step == (progress.epoch + 1) * plan.steps:
        _validate(network, plan, progress, beside)
    elif progress.step % plan.steps:
        _fit_until(progress.epoch + 1, network, plan, progress, beside)
    minutes, epochs = plan.config.fit.minutes, plan.config.fit.epochs
    more = max(1, _MANY // len(plan.split.train))
    while progress.seconds < 60 * minutes:
        _fit_until(progress.epoch + more, network, plan, progress, beside)
    while not minutes and progress.epoch < epochs:
        until = min(progress.epoch + more, epochs)
        _fit_until(until, network, plan, progress, beside)


def _budget(plan: Plan, progress: TrainingProgress) -> list[Budget]:
    """Returns what ends a training of --minutes, or nothing."""
    if not plan.config.fit.minutes:
        return []
    config, validation = plan.config, plan.split.validation
    count = len(validation)
    if config.data.tiles:
        count = int(count_pieces(validation, config.data).sum())
    images = (config.fit.batch_size, count)
    return [Budget(config, progress, plan.steps, images, plan.began)]


def _recorder(network: keras.Model, plan: Plan) -> Recorder:
    """Returns the recorder; a checkpoint of the run is put back first."""
    fit, device = plan.config.fit, plan.device
    # Several workers read the state together, which a clock of each cannot arrange.
    minutes = math.inf if cluster.workers() > 1 else fit.checkpoint_minutes
    share = devices.blank_batch(fit.batch_size // device.replicas, plan.config)
    devices.prepare(network, device.strategy, share)
    average = WeightAverage(network, fit.ema) if fit.ema else None
    file = plan.source.checkpoint / checkpoint.FILE
    if not file.is_file():
        return Recorder(plan.run, TrainingProgress(), minutes, (), average)
    # Keras makes the metrics' variables when it first needs them.
    network.test_on_batch(*devices.blank_batch(fit.batch_size, plan.config))
    progress = checkpoint.restore(file, network, average.state if average else ())
    if not 0 <= progress.step - progress.epoch * plan.steps <= plan.steps:
        raise BadData(
            f"{file} is no checkpoint of this run: step {progress.step} is not in "
            f"epoch {progress.epoch + 1} of {plan.steps} steps. "
            "Start again with --overwrite."
        )
    # At an epoch's end they are those of validation.
    within = progress.step > progress.epoch * plan.steps
    scores = checkpoint.metric_values(network) if within else []
    return Recorder(plan.run, progress, minutes, scores, average)


def _fit_until(
    epochs: int,
    network: keras.Model,
    plan: Plan,
    progress: TrainingProgress,
    beside: list[keras.callbacks.Callback],
) -> None:
    """Trains to the end of that epoch; the first one may be half done."""
    split, config = plan.split, plan.config
    config = replace(config, fit=replace(config.fit, epochs=epochs))
    validation = None
    if not config.data.tiles:
        validation = pipeline.validation_batches(split.validation, config)
    network.fit(
        pipeline.training_batches(split.train, config, progress.step),
        validation_data=validation,
        initial_epoch=progress.epoch,
        epochs=epochs,
        shuffle=False,
        steps_per_epoch=plan.steps - progress.step % plan.steps,
        callbacks=beside,
        verbose=plan.verbose,
    )


def _validate(
    network: keras.Model,
    plan: Plan,
    progress: TrainingProgress,
    beside: list[keras.callbacks.Callback],
) -> None:
    """Ends an epoch that was stopped in its validation, as ``model.fit`` would."""
    logs = dict(network.get_metrics_result())
    if plan.config.data.tiles:
        for callback in beside:
            callback.set_model(network)
    else:
        batches = pipeline.validation_batches(plan.split.validation, plan.config)
        scores = network.evaluate(
            batches, callbacks=beside, verbose=0, return_dict=True
        )
        logs |= {f"val_{name}": value for name, value in scores.items()}
    # The recorder raises it.
    epoch = progress.epoch
    for callback in beside:
        callback.on_epoch_end(epoch, logs)


def _callbacks(
    plan: Plan, recorder: Recorder, budget: list[Budget]
) -> list[keras.callbacks.Callback]:
    progress = recorder.progress
    spread = plan.split.validation[:: max(1, len(plan.split.validation) // 4)]
    images, masks = _strip(spread[:4], plan.config)
    strip = images, masks[..., 0]

    def files_of_step(step: int) -> list[Path]:
        pairs = pipeline.pairs_of_step(plan.split.train, plan.config, step)
        return [pair.image for pair in pairs]

    average = [recorder.average] if recorder.average else []
    return [
        *average,
        callbacks.StopOnNonFinite(progress, files_of_step),
        *budget,
        recorder,
        callbacks.EpochLines(plan.config.fit, progress, plan.say),
        callbacks.ValidationStrip(*strip, progress, plan.trackers, plan.say),
    ]


def _strip(pairs: Sequence[Pair], config: Config) -> tuple[Any, Any]:
    """Returns images (b, h, w, c) and masks (b, h, w, 1) as the network sees them."""
    if config.data.tiles:
        batches = pipeline.first_pieces(pairs, config)
    else:
        batches = pipeline.validation_batches(pairs, config).unbatch().batch(4)
    images, masks = next(batches.as_numpy_iterator())
    return images, masks


def _with_whole_images(
    beside: list[keras.callbacks.Callback], plan: Plan
) -> list[keras.callbacks.Callback]:
    """Returns the callbacks, before them what validates where pieces are trained."""
    if not plan.config.data.tiles:
        return beside
    batches = pipeline.validation_batches(plan.split.validation, plan.config)
    return [callbacks.WholeImages(batches, plan.config, beside), *beside]


def _worker_lost(plan: Plan) -> str:
    return (
        "another worker stopped answering, so this one stops too. Go on from the last "
        f"epoch by starting all of them again: {plan.resume_command}"
    )
