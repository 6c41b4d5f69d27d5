"""vggres: why do plain networks get worse with depth, and what exactly does a shortcut change?

import vggres
from configs import digits

outcome, variables = vggres.train(digits.get_config())        # one network, in this process
sweep = vggres.run_sweep('depth', digits.get_config(), 'runs')  # a whole grid of them
sweep = vggres.load_sweep('runs/depth')                       # its results, later

network = vggres.create('resnet50', num_classes=1000)         # a published network
variables = vggres.torch_weights.from_torch(network, state_dict)
logits = network.apply(variables, images, train=False)
"""

import importlib
from importlib.metadata import version

__version__ = version('vggres')

_PLACES = {
    'UserError': 'vggres.errors',
    'create': 'vggres.networks.network',
    'load_sweep': 'vggres.commands.python',
    'names': 'vggres.networks.published',
    'run_sweep': 'vggres.commands.python',
    'train': 'vggres.commands.python',
}
__all__ = [
    'UserError',
    '__version__',
    'create',
    'load_sweep',
    'names',
    'run_sweep',
    'torch_weights',
    'train',
]


def __getattr__(name: str) -> object:
    """Imports on first use: the launcher and command-line tools must not wait for jax."""
    if name in _PLACES:
        return getattr(importlib.import_module(_PLACES[name]), name)
    if name == 'torch_weights':
        return importlib.import_module('vggres.networks.torch_weights')
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
