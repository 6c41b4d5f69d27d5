"""vggres: why do plain networks get worse with depth, and what does a shortcut change?

network = vggres.create('resnet50', num_classes=1000)
variables = vggres.torch_weights.from_torch(network, state_dict)
logits = network.apply(variables, images, train=False)
"""

import importlib

__all__ = ['create', 'torch_weights']


def __getattr__(name: str) -> object:
    """Imports on first use: the launcher and command-line tools must not wait for jax."""
    if name == 'create':
        return importlib.import_module('vggres.networks.network').create
    if name == 'torch_weights':
        return importlib.import_module('vggres.networks.torch_weights')
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
