"""ImageNet at 224×224 pixels, for the networks of the two papers.

    python launch.py --config configs/imagenet.py --config.data.dir=DIR --config.model.name=resnet50

The folder DIR holds `train/<class>/*.JPEG` and `val/<class>/*.JPEG`. Image files are decoded
and cropped anew in every epoch, by one process per core. A tenth of the training images is the
validation set, and `val` is evaluated once, after training.

The name of a network sets the protocol of its paper, except for knobs that are given:

- He et al. 2015 (arXiv 1512.03385, §3.4), for resnet18 to resnet152, plain18 and plain34: 600,000
  updates, learning rate 0.1, weight decay 1e-4, shorter side 256 to 480 pixels.
- Simonyan & Zisserman 2014 (arXiv 1409.1556, §3), for vgg11 to vgg19: 370,000 updates, learning
  rate 0.01, weight decay 5e-4, shorter side 256 to 512 pixels, Glorot's initialisation.

Both take batches of 256 images, momentum 0.9, a random window of 224×224 pixels, flips, and shifts
of the colours. Three things differ from the papers: they divide the learning rate by 10 whenever
the validation error stops falling, which happens here after each quarter of the updates; they
subtract a mean alone, where images are also divided by a deviation here; and VGG was evaluated at
larger scales. A family without the name of a network gets the protocol of He et al.

Time: GPU-days to GPU-weeks. Expected result, by the papers (top-1 error on `val`, mean over ten
crops): VGG-16 28.07 %, plain-18 and -34 27.94 and 28.54 %, ResNet-50, -101 and -152 22.85, 21.75
and 21.43 %. With the single centre crop that is evaluated here, errors are higher. This suite has
not measured them.
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    """What differs from `base`."""
    config = base.get_config()
    config.data.name = 'folder'
    config.data.train_split = ''
    config.data.validation_split = ''
    config.data.test_split = ''
    config.data.image_size = 224
    config.data.crop = 'scaled'
    config.data.short_side = (256, 480)
    config.data.color_noise = 0.1
    config.data.normalisation = 'imagenet'
    config.data.flip = True
    config.model.images = 'imagenet'
    config.model.width = 64
    config.model.depth = 34
    config.train.protocol = 'published'
    config.train.batch_size = 256
    config.train.epochs = 0
    config.train.steps = 600_000
    config.optimizer.decay_at = (0.25, 0.5, 0.75)
    config.evaluation.every_epochs = 10
    config.sweep.depths = (18, 34)
    return config
