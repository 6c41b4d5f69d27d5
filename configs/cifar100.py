"""CIFAR-100 by the protocol for CIFAR-10 of He et al. 2015 (arXiv 1512.03385), §4.2.

    python launch.py --config configs/cifar100.py --sweep depth

The data are 50,000 photographs of 32×32 pixels in 100 classes, of which 5,000 validate, and 10,000
to test; they are downloaded once (169 MB), or `--config.data.archive` names a file that is there.
See `cifar10` for the protocol; the paper itself does not report CIFAR-100.

Time: not measured; GPU-days for the 30 cells, as for CIFAR-10. Expected result: not measured.
"""

from ml_collections import ConfigDict

from configs import cifar10


def get_config() -> ConfigDict:
    """What differs from `cifar10`."""
    config = cifar10.get_config()
    config.data.name = 'cifar100'
    return config
