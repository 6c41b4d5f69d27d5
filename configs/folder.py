"""A folder of your own images.

    python launch.py --config configs/folder.py --config.data.dir=my_images --sweep depth

Each class has a folder of its own, in one of these layouts (`.jpg`, `.png`, `.bmp`, `.webp` and
`.ppm`, in capitals as well):

    my_images/cat/1.jpg                 a seeded, stratified 80 % to train on, 10 % to validate and
                                        10 % to test
    my_images/train/cat/1.jpg           folders train (training), val (valid, validation) and test;
                                        the validation images are a tenth of train where there is
                                        no val, and val is the test set where there is no test

Splits of your own are taken from these parts (images, or train, validation and test), as in
`--config.data.train_split='images[:70%]'`. Each image is scaled until its shorter side has 32
pixels, the centre is cut out, and the pixels are kept, so that images are decoded once. As in
`cifar10.py`, training sees random crops after 4 pixels of padding, and flips. Batches are small,
since folders are; the learning rate is smaller in proportion.

Time and result: these depend on the images.
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    """What differs from `base`."""
    config = base.get_config()
    config.data.name = 'folder'
    config.data.train_split = ''  # these follow from the layout
    config.data.validation_split = ''
    config.data.test_split = ''
    config.data.image_size = 32
    config.data.crop_padding = 4
    config.data.flip = True
    config.train.batch_size = 32
    config.optimizer.learning_rate = 0.025
    config.optimizer.warmup = 'linear'
    config.optimizer.warmup_fraction = 0.1
    return config
