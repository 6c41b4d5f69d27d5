"""MNIST at its own 28×28 pixels, without augmentation.

    python launch.py --config configs/mnist.py --sweep depth

The data are 60,000 handwritten digits, of which 5,000 validate, and 10,000 to test; they are
downloaded once (12 MB), or `--config.data.archive` names a folder that holds the four files. The
protocol is that of `digits`, over 10 epochs (4,290 updates).

Time: not measured; 7,110 TFLOPs for the 30 cells. Expected result: not measured.
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    """What differs from `base`."""
    config = base.get_config()
    config.data.name = 'mnist'
    config.data.train_split = 'train[:55000]'
    config.data.validation_split = 'train[55000:]'
    config.model.vgg.stages = 4  # an image of 28×28 pixels can be halved four times
    config.train.epochs = 10
    config.optimizer.warmup = 'linear'
    config.optimizer.warmup_fraction = 0.1
    return config
