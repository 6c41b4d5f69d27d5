"""The learning-rate schedule and the optimiser of He et al. 2015 (arXiv 1512.03385), §4.2."""

import itertools
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.typing import ArrayLike
from ml_collections import ConfigDict, FrozenConfigDict

from vggres.networks.spec import NetworkSpec
from vggres.training import layerwise

OptimizerConfig = ConfigDict | FrozenConfigDict  # the `optimizer` part of a configuration


@partial(
    jax.tree_util.register_dataclass,
    data_fields=('warmup_steps', 'warmup_start', 'warmup_rise', 'decay_steps', 'rates'),
    meta_fields=(),
)
@dataclass(frozen=True)
class Schedule:
    """The learning rate against updates done, as numbers that a compiled program takes.

    It is registered with JAX as a container of five arrays, so that one program serves every rate
    and every length of the run. It is called as an `optax.Schedule` is.

    Attributes:
        warmup_steps: int32, the updates of the warm-up; 0 for none.
        warmup_start: float32, the rate that a linear warm-up rises from.
        warmup_rise: float32, what the rate gains with each update of the warm-up.
        decay_steps: [decays] int32, in ascending order, the updates done when the rate changes.
        rates: [decays + 1] float32, the rates before, between and after these changes.
    """

    warmup_steps: ArrayLike
    warmup_start: ArrayLike
    warmup_rise: ArrayLike
    decay_steps: ArrayLike
    rates: ArrayLike

    def __call__(self, step: ArrayLike) -> jax.Array:
        """The learning rate of the update that comes after `step` updates."""
        warm = self.warmup_start + (step + 1) * self.warmup_rise
        full = jnp.asarray(self.rates)[jnp.sum(step >= self.decay_steps)]
        return jnp.where(step < self.warmup_steps, warm, full)


def learning_rate_schedule(config: OptimizerConfig, total_steps: int, depth: int) -> Schedule:
    """The learning rate against updates done: a warm-up, then steps down from the full rate.

    Args:
        config: the `optimizer` part of a configuration.
        total_steps: the number of updates in the whole run; warm-up and decay are fractions of it.
        depth: the number of weighted layers; networks with fewer than `warmup_min_depth` do not
            warm up.
    """
    decay_steps = sorted(round(fraction * total_steps) for fraction in config.decay_at)
    rates = [np.float32(config.learning_rate)]
    for _, coinciding in itertools.groupby(decay_steps):
        count = len(list(coinciding))
        rates += [rates[-1] * np.float32(config.decay_factor**count)] * count
    warms_up = config.warmup != 'none' and depth >= config.warmup_min_depth
    warmup_steps = round(config.warmup_fraction * total_steps) if warms_up else 0
    low = config.warmup_learning_rate
    rise = config.learning_rate - low if config.warmup == 'linear' else 0.0
    return Schedule(
        warmup_steps=np.int32(warmup_steps),
        warmup_start=np.float32(low),
        warmup_rise=np.float32(rise) * (np.float32(1) / np.float32(max(1, warmup_steps))),
        decay_steps=np.array(decay_steps, np.int32),
        rates=np.array(rates, np.float32),
    )


def some_schedule(config: OptimizerConfig) -> Schedule:
    """A schedule with the right shapes, for what does not depend on its values.

    Args:
        config: the `optimizer` part of a configuration, of which `decay_at` alone is read.
    """
    decays = len(config.decay_at)
    return Schedule(
        warmup_steps=np.int32(0),
        warmup_start=np.float32(0),
        warmup_rise=np.float32(0),
        decay_steps=np.zeros(decays, np.int32),
        rates=np.zeros(decays + 1, np.float32),
    )


def optimizer(
    config: OptimizerConfig, schedule: optax.Schedule, network: NetworkSpec
) -> optax.GradientTransformation:
    """SGD with momentum; weight decay joins the gradient of every parameter before the momentum.

    The interventions that the configuration asks for stand around it: the gradient is clipped and
    rescaled before weight decay joins it, and what is frozen or keeps its norm is held last. The
    factor of a shortcut that fades is lowered by the same amount at each update.

    Args:
        config: the `optimizer` part of a configuration; its rates and its warm-up are not read.
        schedule: the learning rate against updates done.
        network: the network whose parameters are updated.
    """
    rescaling = {
        'none': [],
        'equal_gradients': [layerwise.equal_gradients()],
        'relative_updates': [layerwise.relative_updates()],
    }
    first, last = config.frozen_first, config.frozen_last
    shortcut = network.stages[-1].blocks[-1].shortcut
    return optax.chain(
        *([optax.clip_by_global_norm(config.clip_norm)] if config.clip_norm else []),
        *rescaling[config.layerwise],
        optax.add_decayed_weights(config.weight_decay),
        optax.sgd(schedule, momentum=config.momentum),
        *([layerwise.fixed_norms()] if config.fixed_norms else []),
        *([layerwise.frozen(network, first, last)] if first or last else []),
        *([layerwise.fading(shortcut)] if shortcut and shortcut.fade_steps else []),
    )
