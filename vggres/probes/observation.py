"""Builds the observer that a configuration asks for, which training then calls.

An observation looks at the update that comes next, without doing it. Its program is compiled apart
from that of training, so that training is the same to the last bit with and without it.
"""

from collections.abc import Callable, Mapping

import jax
from ml_collections import FrozenConfigDict

from vggres.config import network_spec, observed_names
from vggres.probes import (
    collapse,
    curvature,
    effective_rate,
    jacobian,
    landscape,
    layers,
    lesion,
    paths,
    response,
    shattering,
)
from vggres.training import devices, programs
from vggres.training.compiling import compile_well
from vggres.training.loops import DeviceData, next_batch
from vggres.training.optimizer import Schedule, optimizer, some_schedule
from vggres.training.programs import Images
from vggres.training.train_step import TrainState
from vggres.training.trainer import Observer

# (state, order key, schedule) → the values of each quantity by name, in the update that comes next.
Measure = Callable[[TrainState, jax.Array, Schedule], Mapping[str, Mapping[str, float]]]

# The probes of `probes.also` by name: each is built from the arguments of `build`.
FURTHER: dict[str, Callable[[FrozenConfigDict, Images], Measure]] = {
    'paths': paths.build,
    'lesion': lesion.build,
    'effective_rate': effective_rate.build,
    'shattering': shattering.build,
    'collapse': collapse.build,
    'response': response.build,
    'landscape': landscape.build,
    'curvature': curvature.build,
}


def build(config: FrozenConfigDict, data: Images) -> Observer | None:
    """Compiles the observer of a network, which serves each of its seeds, rates and budgets.

    Args:
        config: the part of a configuration that `vggres.config.program` selects.
        data: the data set that the network trains on.

    Returns:
        The observer, or None where `config.probes` asks for none. Its `observe` measures the
        quantities that `quantities.names(config.probes.jacobians, config.probes.also)` names.
    """
    if not config.probes.every_epochs:
        return None
    described, names = network_spec(config), observed_names(config)
    init = programs.functions(config, data).init
    state, _, order_key = devices.shapes(jax.eval_shape(init, 0, 0))
    arguments = state, order_key, data.training_shapes(), some_schedule(config.optimizer)
    lowered = devices.jit(function(config, data)).lower(*arguments)
    compiled = compile_well(lowered)
    further = [FURTHER[name](config, data) for name in config.probes.also]

    def observe(
        state: TrainState, order_key: jax.Array, schedule: Schedule
    ) -> dict[str, dict[str, float]]:
        step = int(state.step)
        images, _ = data.training(order_key, step, step + 1)
        found = layers.by_name(compiled(state, order_key, images, schedule), described, names)
        for measure in further:
            found |= measure(state, order_key, schedule)
        return found

    return Observer(observe, config.probes.every_epochs, config.probes.draws)


def function(
    config: FrozenConfigDict, data: Images
) -> Callable[[TrainState, jax.Array, DeviceData, Schedule], layers.Stacked]:
    """The function that measures, not compiled yet.

    Args:
        config: the part of a configuration that `vggres.config.program` selects.
        data: the data set that the network trains on.

    Returns:
        (state, order key, images, schedule) → the measurements of `layers` and `jacobian`.
    """
    network = programs.described_network(config, data.num_classes)
    batching = programs.batching(config)

    def observe_next(
        state: TrainState, order_key: jax.Array, images: DeviceData, schedule: Schedule
    ) -> layers.Stacked:
        batch = next_batch(state.step, order_key, images, batching)
        sgd = optimizer(config.optimizer, schedule, network.spec)
        found = layers.observe(state, *batch, network=network, optimizer=sgd)
        if config.probes.jacobians:
            found |= jacobian.observe(state, *batch, network=network)
        return found

    return observe_next
