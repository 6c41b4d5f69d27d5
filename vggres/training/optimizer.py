"""The learning-rate schedule and the optimiser of He et al. 2015 (arXiv 1512.03385), §4.2."""

import jax.numpy as jnp
import optax
from ml_collections import ConfigDict, FrozenConfigDict

OptimizerConfig = ConfigDict | FrozenConfigDict  # the `optimizer` part of a configuration


def learning_rate_schedule(config: OptimizerConfig, total_steps: int, depth: int) -> optax.Schedule:
    """The learning rate against updates done: a warm-up, then steps down from the full rate.

    Args:
        config: the `optimizer` part of a configuration.
        total_steps: the number of updates in the whole run; warm-up and decay are fractions of it.
        depth: the number of weighted layers; networks with fewer than `warmup_min_depth` do not
            warm up.
    """
    factors: dict[int, float] = {}
    for fraction in config.decay_at:
        step = round(fraction * total_steps)
        factors[step] = factors.get(step, 1.0) * config.decay_factor
    decay = optax.piecewise_constant_schedule(config.learning_rate, factors)
    warmup_steps = round(config.warmup_fraction * total_steps)
    if config.warmup == 'none' or depth < config.warmup_min_depth or warmup_steps == 0:
        return decay

    low = config.warmup_learning_rate
    rise = config.learning_rate - low if config.warmup == 'linear' else 0.0

    def schedule(step: int) -> jnp.ndarray:
        warm = low + rise * (step + 1) / warmup_steps
        return jnp.where(step < warmup_steps, warm, decay(step))

    return schedule


def optimizer(config: OptimizerConfig, schedule: optax.Schedule) -> optax.GradientTransformation:
    """SGD with momentum; weight decay joins the gradient of every parameter before the momentum.

    Args:
        config: the `optimizer` part of a configuration.
        schedule: the learning rate against updates done.
    """
    return optax.chain(
        optax.add_decayed_weights(config.weight_decay),
        optax.sgd(schedule, momentum=config.momentum),
    )
