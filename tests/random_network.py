"""A small network with random weights and statistics, none of which are those of a fresh one."""

import jax
import jax.numpy as jnp
import numpy as np

from vggres.networks import grammar
from vggres.networks.network import Network


def random_network(seed=0, depth=14, family='resnet', **options):
    """A network of width 4 and three classes, its variables, and an image for it."""
    described = grammar.network_spec(family=family, depth=depth, width=4, **options)
    network = Network(described, num_classes=3)
    generator = np.random.default_rng(seed)

    def normal(leaf):
        return generator.normal(size=leaf.shape).astype('f4')

    image = jnp.asarray(normal(jnp.zeros((8, 8, 3))))
    fresh = jax.jit(lambda: network.init(jax.random.key(seed), image[None], train=False))()
    params = jax.tree.map(lambda leaf: leaf + 0.2 * normal(leaf), fresh['params'])
    statistics = jax.tree.map(lambda leaf: leaf + abs(0.3 * normal(leaf)), fresh['batch_stats'])
    return network, {'params': params, 'batch_stats': statistics}, image
