"""Fashion-MNIST for a CPU: 10,000 training images, shrunk to 14×14 pixels.

    python launch.py --config configs/fashion_mnist.py --sweep depth

The images (Xiao et al. 2017, arXiv 1708.07747) are a stratified choice from the first 55,000, the
validation set is the last 5,000, and the test set is the whole one, all of them averaged over areas
of 2×2 pixels. The data are downloaded once (31 MB). The protocol is that of He et al. 2015 (arXiv
1512.03385, §4.2), shortened to 10 epochs (780 updates), with a linear warm-up and without
augmentation.

Time and expected result of `--sweep depth`: not measured. With a rate for each network (`--sweep
depth_tuned` with three tuning seeds and eight others: 277 of 285 runs took 12 minutes on an H200,
the other eight 11 minutes on two CPU cores), after 780 updates plain-56 has
21 points more training error than plain-8; ResNet-56 has no such gap.
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    """What differs from `base`."""
    config = base.get_config()
    config.data.name = 'fashion_mnist'
    config.data.train_split = 'train[:55000]'
    config.data.validation_split = 'train[55000:]'
    config.data.image_size = 14
    config.data.num_train = 10_000
    config.model.vgg.stages = 3  # 14 → 7 → 3 → 1 pixels
    config.train.epochs = 10
    config.optimizer.warmup = 'linear'
    config.optimizer.warmup_fraction = 0.1
    config.evaluation.every_epochs = 2
    config.sweep.depths = (8, 20, 56)
    return config
