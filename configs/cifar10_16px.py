"""CIFAR-10 for a CPU: 10,000 training images, shrunk to 16×16 pixels.

    python launch.py --config configs/cifar10_16px.py --sweep depth

The images are a stratified choice from the first 45,000, the validation set is the last 5,000, and
the test set is the whole one, all of them averaged over areas of 2×2 pixels. The protocol is that
of He et al. 2015 (arXiv 1512.03385, §4.2), shortened to 10 epochs (780 updates), with a linear
warm-up and without augmentation.

Time: the 18 cells took 40 minutes on two cores, 12 of them of depths 8 and 20 15 minutes. Expected
result: median training errors of 27, 38 and 82 % for plain-8, -20 and -56, of 27, 17 and 30 % for
ResNet-8, -20 and -56 (three seeds), measured on a copy of CIFAR-10 that had been stored as JPEG
(quality 75). At this one rate and budget plain-56 fails to train, and ResNet-56 degrades as well.
With a rate for each network (`--sweep depth_tuned`, three tuning seeds and eight others), after 780
updates plain-56 fails to train in 8 of 8 runs, ResNet-56 in none.
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    """What differs from `base`."""
    config = base.get_config()
    config.data.name = 'cifar10'
    config.data.train_split = 'train[:45000]'
    config.data.validation_split = 'train[45000:]'
    config.data.image_size = 16
    config.data.num_train = 10_000
    config.model.vgg.stages = 4  # an image of 16×16 pixels can be halved four times
    config.train.epochs = 10
    config.optimizer.warmup = 'linear'
    config.optimizer.warmup_fraction = 0.1
    config.evaluation.every_epochs = 2
    config.sweep.depths = (8, 20, 56)
    return config
