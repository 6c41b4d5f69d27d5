"""CIFAR-10 as in He et al. 2015 (arXiv 1512.03385), §4.2.

    python launch.py --config configs/cifar10.py --sweep depth

The data are downloaded once (170 MB), or `--config.data.archive` names a file that is there.

The protocol: 64,000 updates with batches of 128 images, learning rate 0.1 divided by 10 after
32,000 and 48,000 updates, momentum 0.9, weight decay 1e-4, random crops after 4 pixels of padding,
flips, option A, no dropout. Networks of depth 110 alone warm up, at 0.01, for the "about 400"
updates that the paper needed until the training error fell below 80 %; that error itself is not
watched.

The validation set is the 5,000 images on which the paper chose its schedule, so that the test set
is evaluated once. The paper's test errors come from training on all 50,000 images:
`--config.data.train_split=train --config.data.validation_split='train[45000:]'` (the validation
images are then trained on: read the test error).

Time: GPU-days for the 30 cells; `--dry_run` prints their FLOPs. Expected result, by published
reproductions of this protocol (five seeds each): test errors of ResNet-20 and -56 of 8.5 % and
7.4 %, of plain-20 and -56 of 9.8 % and 13.0 %. This suite has not measured them.
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    """What differs from `base`."""
    config = base.get_config()
    config.data.name = 'cifar10'
    config.data.train_split = 'train[:45000]'
    config.data.validation_split = 'train[45000:]'
    config.data.crop_padding = 4
    config.data.flip = True
    config.train.epochs = 0
    config.train.steps = 64_000
    config.optimizer.warmup = 'constant'
    config.optimizer.warmup_learning_rate = 0.01
    config.optimizer.warmup_fraction = 400 / 64_000
    config.optimizer.warmup_min_depth = 110
    config.sweep.depths = (20, 32, 44, 56, 110)
    return config
