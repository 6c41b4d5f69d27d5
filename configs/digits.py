"""The default: scikit-learn's digits, embedded real data, for a laptop without network.

    python launch.py --sweep depth

The data are 1,797 handwritten digits of 8×8 pixels: 1,437 to train on, 180 to validate and 180 to
test. The protocol is that of He et al. 2015 (arXiv 1512.03385, §4.2), shortened to 20 epochs (220
updates), with a linear warm-up and without augmentation.

Time: 3 to 9 minutes for the 30 cells on two cores. Expected result: at this rate and budget the
plain network of depth 56 fails to train (error 0 % at depths 8 and 20, above 70 % at depth 56) and
residual networks do not (0 % at every depth). `--sweep rate` reproduces the choice of the rate.
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    """What differs from `base`."""
    config = base.get_config()
    config.model.vgg.stages = 3  # an image of 8×8 pixels can be halved three times
    config.optimizer.warmup = 'linear'
    config.optimizer.warmup_fraction = 0.1  # without it, ResNet-56 fails to train as well
    return config
