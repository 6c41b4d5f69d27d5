"""Trains in a process of its own, on some simulated devices, and writes down what came of it.

python some_devices.py FILE FAMILY WAY [HOST:PORT,PROCESSES,INDEX]

The number of devices is that of XLA_FLAGS. WAY is how images get there: 'resident', 'stream', or a
folder of image files. FILE gets what `trained` returns, as arrays.
"""

import re
import sys
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from configs import digits
from vggres.config import program, steps_per_epoch
from vggres.data import stream
from vggres.training import devices, inputs, programs
from vggres.training.loops import next_batch
from vggres.training.optimizer import some_schedule
from vggres.training.trainer import described_run

UPDATES = 20
SEEDS = range(5)


def main(file, family, way, cluster=''):
    if cluster:
        address, count, index = cluster.split(',')
        jax.config.update('jax_cpu_collectives_implementation', 'gloo')
        jax.distributed.initialize(address, int(count), int(index))
    found = trained(family, way, SEEDS[:3] if cluster else SEEDS)  # they talk at length
    if jax.process_index() == 0:
        np.savez(file, **found)


def trained(family, way, seeds):
    """What networks of depth 8 came to after 20 updates, for each seed.

    In float32 they have silu, which is smooth, so that rounding stays rounding. With relu it does
    not where an activation is within rounding of 0, for which the gradient is another one; in
    float64, none is.
    """
    found = {}
    config = configuration(family, way)
    config.model.compute_dtype = jnp.zeros(()).dtype.name
    if config.model.compute_dtype == 'float32':
        nn.relu = nn.silu
    shared = program(config)
    data = inputs.load(shared, '')
    compiled = programs.build(shared, data)
    for seed in seeds:
        for name, value in after_some_updates(compiled, data, config, seed).items():
            found[f'{seed} {name}'] = value
    found |= where_a_batch_is(data, config)
    found['parts for CUDA'] = parts_for_cuda(data, shared)
    return found


def configuration(family, way):
    config = digits.get_config()
    config.model.family, config.model.depth, config.model.width = family, 8, 4
    config.data.flip, config.optimizer.warmup, config.train.batch_size = True, 'none', 64
    if Path(way).is_dir():
        config.data.name, config.data.dir, config.data.image_size = 'folder', way, 8
        config.data.train_split = config.data.validation_split = config.data.test_split = ''
        config.data.crop, config.data.normalisation, config.data.workers = 'area', 'imagenet', 1
        return config
    config.data.crop_padding, config.data.input = 1, way
    stream._CHUNK_BYTES = 3 * 64 * 64 + 1  # chunks of three updates: one has to be filled up
    return config


def after_some_updates(compiled, data, config, seed):
    """State, sums and errors of two splits, which fill no whole number of batches."""
    schedule = described_run(config, data.num_train).schedule
    assert steps_per_epoch(program(config), data.num_train) > UPDATES
    state, sums, key = compiled.init(seed)
    while (step := int(state.step)) < UPDATES:
        images, stop = data.training(key, step, UPDATES)
        state, sums = compiled.train(state, sums, key, images, schedule, stop)
    found = {'means': np.array([float(value) / UPDATES for value in sums.values()])}
    for name, tree in (('params', state.params), ('statistics', state.batch_stats)):
        found[name] = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])
    for split in ('train', 'test'):
        loss, wrong = programs.evaluate_split(compiled.evaluate, data, state, split)
        found[f'{split} loss'], found[f'{split} wrong'] = loss / data.num_images[split], wrong
    return found


def where_a_batch_is(data, config):
    """On which devices the images of an update are computed with, and how many on each."""
    key, batching = jax.random.key(0), programs.batching(program(config))
    images, _ = data.training(key, 0, 1)
    batch, _, _ = jax.jit(lambda images: next_batch(np.int32(0), key, images, batching))(images)
    parts = batch.addressable_shards
    return {
        'devices': devices.count(),
        'processes': jax.process_count(),
        'on': np.array(sorted(part.device.id for part in parts)),
        'rows': np.array([len(part.data) for part in parts]),
    }


def parts_for_cuda(data, shared):
    """Into how many parts the training program is divided for NVIDIA's devices."""
    init, train, _ = programs.functions(shared, data)
    state, sums, key = devices.shapes(jax.eval_shape(init, 0, 0))
    arguments = state, sums, key, data.training_shapes(), some_schedule(shared.optimizer), 0
    lowered = devices.jit(train).trace(*arguments).lower(lowering_platforms=('cuda',))
    return int(re.search(r'mhlo.num_partitions = (\d+)', lowered.as_text())[1])


if __name__ == '__main__':
    main(*sys.argv[1:])
