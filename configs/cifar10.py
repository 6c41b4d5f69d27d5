"""CIFAR-10 as in He et al. 2015 (arXiv 1512.03385), §4.2.

    python launch.py --config configs/cifar10.py --config.data.dir=DIR --sweep depth

DIR holds a prepared TFDS `cifar10`. 64,000 steps of 128 images, learning rate 0.1 divided by 10 at
32,000 and 48,000 steps, momentum 0.9, weight decay 1e-4, crops after 4 pixels of padding, flips,
option A, no dropout. Depth 110 alone warms up, at 0.01: for the "about 400" steps that the paper
needed until the training error was under 80 %, not by watching that error.

The 45k/5k split is the one the paper chose its schedule on: the validation error is then no test
error. Its published test errors come from all 50,000 images:
`--config.data.train_split=train --config.data.validation_split='train[45000:]'` (the validation
images are then trained on: read the test error). The 30 cells are GPU-days, not laptop-minutes:
`--dry_run` prints their FLOPs.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """Every knob, with its unit. Lock and override it on the command line."""
    config = ConfigDict()
    config.seed = 0  # of initialisation and data order

    config.data = ConfigDict()
    config.data.name = 'cifar10'  # a TFDS data set of images and labels
    config.data.dir = ''  # where it is prepared; '' is TFDS's own directory
    config.data.train_split = 'train[:45000]'  # TFDS split syntax: 'train[:90%]'
    config.data.validation_split = 'train[45000:]'
    config.data.test_split = 'test'  # looked at once, after training
    config.data.crop_padding = 4  # pixels of zeros around an image, then a random crop; 0: none
    config.data.normalisation = 'mean_image'  # subtract it; or 'imagenet': PyTorch's constants
    config.data.flip = True  # random horizontal flips

    config.model = ConfigDict()
    config.model.name = ''  # a published network: sets the knobs below that are not given as well
    config.model.family = 'resnet'  # 'vgg', 'plain' or 'resnet'
    config.model.depth = 20  # weighted layers; of plain and resnet 6n + 2, bottlenecks 9n + 2
    config.model.images = 'small'  # or 'imagenet': stem, stages and head for those images
    config.model.width = 16  # channels of the first stage
    config.model.norm = 'batch'  # or 'none'
    config.model.conv_bias = 'auto'  # 'yes', 'no'; auto: in every vgg and where there is no norm
    config.model.vgg_stages = 5  # vgg: 3 to 5, each ends in a pool that halves the image
    config.model.vgg_pointwise = False  # vgg: 1×1 convolutions end late stages (configuration C)
    config.model.vgg_shortcuts = False  # vgg: shortcuts around pairs of convolutions
    config.model.dropout = 0.5  # vgg for ImageNet: of the two hidden dense layers
    config.model.block = 'basic'  # or 'bottleneck'; this and the next two: plain and resnet
    config.model.preactivation = False  # norm and ReLU before each convolution, not after it
    config.model.stride_placement = 'he'  # or 'torchvision': on a bottleneck's 3×3 convolution
    config.model.shortcut = 'A'  # pad; 'B': project where shapes change; 'C': project everywhere
    config.model.shortcut_scale = 1.0  # constant factor of the shortcut; this and the rest: resnet
    config.model.branch_scale = 1.0  # constant factor of the residual branch
    config.model.gate = 'none'  # 'exclusive', 'shortcut_only': "Identity mappings", §3.1
    config.model.gate_bias = -6.0  # what the gates' biases start from
    config.model.shortcut_dropout = 0.0  # probability of dropping an element of the shortcut
    config.model.compute_dtype = 'float32'  # or 'bfloat16'; parameters are always float32
    config.model.remat = False  # compute scanned blocks again backwards: less memory, more time

    config.init = ConfigDict()
    config.init.scheme = 'he'  # or 'glorot', or 'vgg': normal of variance 0.01 in every layer
    config.init.weights = ''  # a .safetensors or .pth file to start from; '': random, by the seed
    config.init.new_head = False  # leave the file's head out, for other classes

    config.train = ConfigDict()
    config.train.batch_size = 128  # images
    config.train.epochs = 0  # passes over the training set; 0: say steps instead
    config.train.steps = 64_000  # updates; 0: say epochs instead

    config.optimizer = ConfigDict()
    config.optimizer.learning_rate = 0.1
    config.optimizer.momentum = 0.9
    config.optimizer.weight_decay = 1e-4  # times every parameter, added to its gradient
    config.optimizer.decay_at = (0.5, 0.75)  # fractions of all steps
    config.optimizer.decay_factor = 0.1  # the learning rate is multiplied by it there
    config.optimizer.warmup = 'constant'  # 'linear', 'constant' or 'none'
    config.optimizer.warmup_learning_rate = 0.01  # where 'linear' starts, what 'constant' holds
    config.optimizer.warmup_fraction = 400 / 64_000  # of all steps
    config.optimizer.warmup_min_depth = 110  # weighted layers; shallower networks do not warm up

    config.evaluation = ConfigDict()
    config.evaluation.every_epochs = 1  # epochs between two evaluations; the last is always done
    config.evaluation.batch_size = 0  # images; 0: what suits the device; changes speed only

    config.probes = ConfigDict()
    config.probes.every_epochs = 0  # epochs between two looks into the layers; 0: none
    config.probes.names = ()  # only into these, as in ('stage1/block2', 'head'); (): all
    config.probes.jacobians = False  # the singular values of each block's local Jacobian as well
    config.probes.draws = 1  # random weights looked at before the first update, the run's own first

    config.checkpoint = ConfigDict()
    config.checkpoint.every_seconds = 300.0  # at least, between two saves at ends of epochs
    config.checkpoint.save_weights = True  # leave the final weights beside the result

    config.sweep = ConfigDict()
    config.sweep.families = ('plain', 'resnet')
    config.sweep.depths = (20, 32, 44, 56, 110)  # weighted layers
    config.sweep.seeds = 3  # runs of each network: seed, seed + 1, …

    config.wandb = ConfigDict()
    config.wandb.mode = 'auto'  # 'online', 'offline', 'disabled'; auto: online with a credential
    config.wandb.project = 'vggres'
    config.wandb.entity = ''  # user or team; '' is the credential's default
    config.wandb.tags = ()  # added to every run
    return config
