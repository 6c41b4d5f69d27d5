"""Street View House Numbers, cropped to single digits of 32×32 pixels, without augmentation.

    python launch.py --config configs/svhn.py --sweep depth

The data are 73,257 images, of which 7,257 validate, and 26,032 to test, without the 531,131 easier
ones of the split 'extra'; they are downloaded once (246 MB), or `--config.data.archive` names a
folder that holds the two files. Digits are not mirrored. The protocol is that of `base` with a
linear warm-up: 20 epochs (10,300 updates).

Time: not measured; 22,503 TFLOPs for the 30 cells. Expected result: not measured.
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    """What differs from `base`."""
    config = base.get_config()
    config.data.name = 'svhn_cropped'
    config.data.train_split = 'train[:66000]'
    config.data.validation_split = 'train[66000:]'
    config.optimizer.warmup = 'linear'
    config.optimizer.warmup_fraction = 0.1
    return config
