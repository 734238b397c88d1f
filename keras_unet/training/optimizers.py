"""The optimizer of a run, its learning rate's course, and the weights' average."""

from __future__ import annotations

import contextlib
import math
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_unet.config import FitConfig
from keras_unet.types import Tensor


def make_optimizer(
    fit: FitConfig, total_steps: int, model: keras.Model
) -> keras.optimizers.Optimizer:
    """Returns the optimizer for ``total_steps`` steps with a model.

    AdamW decays kernels only, not what has one number per channel. Gradients are
    clipped by their global norm over all replicas. For a mixed_float16 model there is
    a loss scale around the optimizer, which clips what has been unscaled.
    """
    optimizer = _plain_optimizer(fit, total_steps, model)
    if model.dtype_policy.name == "mixed_float16":
        return _with_loss_scale(optimizer)
    return optimizer


def _plain_optimizer(
    fit: FitConfig, total_steps: int, model: keras.Model
) -> keras.optimizers.Optimizer:
    # Of a training of some minutes the rate is set step by step (``Budget``).
    rate = fit.learning_rate if fit.minutes else make_schedule(fit, total_steps)
    options = {
        "learning_rate": rate,
        "global_clipnorm": fit.clip_norm or None,
    }
    if fit.optimizer == "sgd":
        return SGD(momentum=fit.momentum, **options)
    if fit.optimizer == "rmsprop":
        return RMSprop(momentum=fit.momentum, **options)
    optimizer = AdamW(weight_decay=fit.weight_decay, **options)
    optimizer.exclude_from_weight_decay(
        var_list=[v for v in model.trainable_variables if len(v.shape) < 2]
    )
    return optimizer


def make_schedule(
    fit: FitConfig, total_steps: int
) -> keras.optimizers.schedules.LearningRateSchedule:
    """Returns a rise in a straight line, then half a cosine to 0, or no change.

    No step has the rate 0, in which nothing would be learnt.
    """
    rise = round(fit.warmup * total_steps)
    return keras.optimizers.schedules.CosineDecay(
        fit.learning_rate / max(rise, 1),
        decay_steps=max(total_steps - rise, 1),
        alpha=1.0 if fit.schedule == "constant" else 0.0,
        warmup_target=fit.learning_rate if rise else None,
        warmup_steps=rise,
    )


def rate_after(share: float, fit: FitConfig) -> float:
    """Returns the learning rate of ``make_schedule`` after that share of a training."""
    if share < fit.warmup:
        return fit.learning_rate * share / fit.warmup
    if fit.schedule == "constant":
        return fit.learning_rate
    fallen = min(1.0, (share - fit.warmup) / max(1.0 - fit.warmup, 1e-9))
    return fit.learning_rate * (1.0 + math.cos(math.pi * fallen)) / 2


def learning_rate(optimizer: keras.optimizers.Optimizer) -> float:
    """Returns the learning rate of the optimizer's next step."""
    # A loss scale optimizer has it inside. Keras 2.15 keeps the rate of the last step
    # in optimizer.learning_rate, Keras 3 that of the next.
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    rate = optimizer.get_config()["learning_rate"]
    if isinstance(rate, dict):
        rate = keras.optimizers.schedules.deserialize(rate)(optimizer.iterations)
    return float(rate)


class _ClipsTheSum:
    """Clips the sum of the replicas' gradients, as Keras 2.15 does by itself.

    Keras 3 clips the part of each replica before it adds them up (read in 3.15), so
    that several devices would train otherwise than one.
    """

    global_clipnorm: float | None

    def apply(self, grads: list[Tensor], trainable_variables: Any = None) -> None:
        """Updates the variables; only Keras 3 calls this."""
        replicas = tf.distribute.get_replica_context()
        count = replicas.num_replicas_in_sync if replicas else 1
        if self.global_clipnorm and count > 1:
            grads = replicas.all_reduce(tf.distribute.ReduceOp.SUM, list(grads))
            grads, _ = tf.clip_by_global_norm(grads, self.global_clipnorm)
            # Keras adds up the replicas' gradients, which are all the same now.
            grads = [None if grad is None else grad / count for grad in grads]
        super().apply(grads, trainable_variables)  # type: ignore[misc]


@keras.saving.register_keras_serializable("keras_unet")
class AdamW(_ClipsTheSum, keras.optimizers.AdamW):
    """Keras' AdamW, which clips the same on any number of devices.

    Keras 3 goes over the memory of each variable some 18 times (read in 3.15);
    TensorFlow has one kernel for it, which takes half the time: on a CPU with bfloat16
    that is a twentieth of a step of the paper's 31 million parameters.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """Takes the arguments of ``keras.optimizers.AdamW``."""
        # Past Keras, which would look for what to save in it.
        self.__dict__["moments"] = defaultdict(list)
        super().__init__(*arguments, **options)

    def add_variable_from_reference(self, *arguments: Any, **options: Any) -> Any:
        """Returns a moment of the variable that is the first argument."""
        moment = super().add_variable_from_reference(*arguments, **options)
        reference, *_ = [*arguments, *options.values()]
        # In Keras 3 that is TensorFlow's variable, which ``update_step`` gets.
        self.moments[id(reference.value)].append(moment)
        return moment

    def update_step(self, gradient: Tensor, variable: Any, *rate: Tensor) -> None:
        """Moves a variable; in Keras 2.15, or under a strategy, in Keras's own way."""
        moments = self.moments.get(id(variable), ())
        if not rate or len(moments) != 2:
            super().update_step(gradient, variable, *rate)
            return
        first, second = moments
        step = tf.cast(self.iterations + 1, tf.float32)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=first.handle,
            v=second.handle,
            beta1_power=self.beta_1**step,
            beta2_power=self.beta_2**step,
            lr=tf.cast(rate[0], tf.float32),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=tf.cast(gradient, tf.float32),
        )


@keras.saving.register_keras_serializable("keras_unet")
class SGD(_ClipsTheSum, keras.optimizers.SGD):
    """Keras' SGD, which clips the same on any number of devices."""


@keras.saving.register_keras_serializable("keras_unet")
class RMSprop(_ClipsTheSum, keras.optimizers.RMSprop):
    """Keras' RMSprop, which clips the same on any number of devices."""


class _AgreesOnFinite:
    """Skips a step on every replica if the gradients overflow on any.

    The loss scale of Keras 3 asks the first replica alone (read in 3.15), and then
    weights become NaN. Keras 2.15 adds the gradients up before it looks at them.
    """

    def check_finite(self, grads: list[Tensor]) -> Tensor:
        """Returns whether all replicas' gradients are; only Keras 3 calls this."""
        finite = super().check_finite(grads)  # type: ignore[misc]
        overflows = tf.distribute.get_replica_context().all_reduce(
            tf.distribute.ReduceOp.SUM, tf.cast(~finite, tf.float32)
        )
        return tf.equal(overflows, 0.0)


def _with_loss_scale(
    optimizer: keras.optimizers.Optimizer,
) -> keras.optimizers.Optimizer:
    # In Keras 2.15 the public name makes an object of another class, from which one
    # has to derive.
    scaled = keras.mixed_precision.LossScaleOptimizer(keras.optimizers.SGD())
    return type("LossScale", (_AgreesOnFinite, type(scaled)), {})(optimizer)


class WeightAverage(keras.callbacks.Callback):
    """Follows the trainable weights and stands in for them while they are scored.

    Keras's optimizers can average too, but put the average into the network for good
    when ``fit`` ends, so that a training in two stretches would differ from one.

    Args:
        network: whose weights are followed.
        momentum: share of the average that each step keeps; less in the first steps,
            which start from noise.

    Attributes:
        state: the averages and the count of steps; belong into a checkpoint.
    """

    def __init__(self, network: keras.Model, momentum: float) -> None:
        """Starts the average at the weights as they are."""
        super().__init__()
        self.momentum = momentum
        self.weights = network.trainable_variables
        self.averages = [tf.Variable(w, trainable=False) for w in self.weights]
        self.steps = tf.Variable(0.0, trainable=False)
        self.state = [*self.averages, self.steps]
        self.kept: list[Any] = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Moves the average towards the weights."""
        self._follow()

    def on_test_begin(self, logs: Any = None) -> None:
        """Puts the average in place of the weights."""
        self.kept = [np.array(tf.convert_to_tensor(w)) for w in self.weights]
        _assign(self.weights, self.averages)

    def on_test_end(self, logs: Any = None) -> None:
        """Puts the weights back."""
        _assign(self.weights, self.kept)

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """Has the network hold the average within the block."""
        self.on_test_begin()
        try:
            yield
        finally:
            self.on_test_end()

    @tf.function
    def _follow(self) -> None:
        early = (1.0 + self.steps) / (10.0 + self.steps)
        kept = tf.minimum(self.momentum, early)
        for average, weight in zip(self.averages, self.weights, strict=True):
            average.assign(kept * average + (1.0 - kept) * weight)
        self.steps.assign_add(1.0)


def _assign(targets: list[Any], values: list[Any]) -> None:
    for target, value in zip(targets, values, strict=True):
        target.assign(value)
