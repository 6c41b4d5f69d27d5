"""The default: scikit-learn's digits, embedded real data, for a laptop without network.

    python launch.py --sweep depth

1,797 handwritten digits of 8×8 pixels (1,437 to train on, 180 to validate, 180 to test). The
protocol is that of He et al. 2015 (arXiv 1512.03385, §4.2) shortened to 20 epochs, with a linear
warm-up and no augmentation. The 30 cells take about 5 minutes on two cores.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """Every knob, with its unit. Lock and override it on the command line."""
    config = ConfigDict()
    config.seed = 0  # of initialisation and data order

    config.data = ConfigDict()
    config.data.name = 'digits'  # a TFDS data set of images and labels
    config.data.dir = ''  # where it is prepared; '' is TFDS's own directory
    config.data.train_split = 'train'  # TFDS split syntax: 'train[:90%]'
    config.data.validation_split = 'validation'
    config.data.test_split = 'test'  # looked at once, after training
    config.data.crop_padding = 0  # pixels of zeros around an image, then a random crop; 0: none
    config.data.normalisation = 'mean_image'  # subtract it; or 'imagenet': PyTorch's constants
    config.data.flip = False  # random horizontal flips

    config.model = ConfigDict()
    config.model.name = ''  # a published network: sets the knobs below that are not given as well
    config.model.family = 'resnet'  # 'vgg', 'plain' or 'resnet'
    config.model.depth = 20  # weighted layers; of plain and resnet 6n + 2, bottlenecks 9n + 2
    config.model.images = 'small'  # or 'imagenet': stem, stages and head for those images
    config.model.width = 16  # channels of the first stage
    config.model.norm = 'batch'  # or 'none'
    config.model.conv_bias = 'auto'  # 'yes', 'no'; auto: in every vgg and where there is no norm
    config.model.vgg_stages = 3  # vgg: 3 to 5, each ends in a pool that halves the image
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
    config.train.epochs = 20  # passes over the training set; 0: say steps instead
    config.train.steps = 0  # updates; 0: say epochs instead

    config.optimizer = ConfigDict()
    config.optimizer.learning_rate = 0.1
    config.optimizer.momentum = 0.9
    config.optimizer.weight_decay = 1e-4  # times every parameter, added to its gradient
    config.optimizer.decay_at = (0.5, 0.75)  # fractions of all steps
    config.optimizer.decay_factor = 0.1  # the learning rate is multiplied by it there
    config.optimizer.warmup = 'linear'  # 'linear', 'constant' or 'none'
    config.optimizer.warmup_learning_rate = 0.0  # where 'linear' starts, what 'constant' holds
    config.optimizer.warmup_fraction = 0.1  # of all steps
    config.optimizer.warmup_min_depth = 0  # weighted layers; shallower networks do not warm up

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
    config.sweep.depths = (8, 20, 32, 44, 56)  # weighted layers
    config.sweep.seeds = 3  # runs of each network: seed, seed + 1, …

    config.wandb = ConfigDict()
    config.wandb.mode = 'auto'  # 'online', 'offline', 'disabled'; auto: online with a credential
    config.wandb.project = 'vggres'
    config.wandb.entity = ''  # user or team; '' is the credential's default
    config.wandb.tags = ()  # added to every run
    return config
