"""Every knob, once, with its unit and its default.

The other files in this folder state what differs from here, the command, the time that it takes and
the result to expect. Any knob can be overridden on the command line:

    python launch.py --sweep depth --config.train.epochs=40 --config.model.shortcut.kind=B

A configuration of your own starts from one of these files, in the same way.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """The defaults: the optimiser of He et al. 2015, §4.2, on scikit-learn's digits."""
    config = ConfigDict()
    config.seed = 0  # of initialisation and data order

    config.data = ConfigDict()
    config.data.name = 'digits'  # a TFDS data set of images and labels, or 'folder'
    config.data.dir = ''  # where it is prepared ('': TFDS's own directory), or the folder of images
    config.data.archive = ''  # the user's own download; '': looked for, then downloaded
    config.data.checksum = 'known'  # of an archive; 'any' takes an archive with another one as well
    config.data.train_split = 'train'  # in TFDS's split syntax, as in 'train[:90%]'
    config.data.validation_split = 'validation'  # evaluated during training
    config.data.test_split = 'test'  # evaluated once, after training
    config.data.seed = 0  # of a folder's splits, of the images chosen, and of random labels
    config.data.image_size = 0  # pixels, to which images are shrunk; 0: as they are
    config.data.num_train = 0  # training images to choose, of each class its share; 0: see fraction
    config.data.fraction = 1.0  # of the training images
    config.data.label_noise = 0.0  # share of the training labels that are random
    config.data.input = 'auto'  # 'resident' on the device, or 'stream'; auto: by size and memory
    config.data.workers = 0  # processes that decode a stream; 0: one per core
    config.data.crop = 'padded'  # of whole files: 'scaled' (see short_side) or 'area' (Inception)
    config.data.crop_padding = 0  # padded: pixels of zeros around an image, then a random window
    config.data.short_side = (256, 256)  # scaled: lowest and highest shorter side, in pixels
    config.data.color_noise = 0.0  # deviation of the shift along the principal colours
    config.data.normalisation = 'mean_image'  # subtracts it; 'imagenet': PyTorch's constants
    config.data.flip = False  # whether half of the images are mirrored, at random

    config.model = ConfigDict()
    config.model.name = ''  # a published network; it sets the knobs below that are not given
    config.model.family = 'resnet'  # 'vgg', 'plain' or 'resnet'
    config.model.depth = 20  # weighted layers; plain and resnet: 6n + 2, with bottlenecks 9n + 2
    config.model.images = 'small'  # or 'imagenet': decides stem, stages and head
    config.model.width = 16  # channels of the first stage
    config.model.norm = 'batch'  # or 'none'
    config.model.conv_bias = 'auto'  # 'yes', 'no'; auto: in every vgg, and where there is no norm
    config.model.activation = 'relu'  # 'tanh', or 'tailored_relu', leaky by the depth
    config.model.block = 'basic'  # or 'bottleneck'; plain and resnet only, as the next two
    config.model.preactivation = False  # norm and ReLU stand before each convolution, not after it
    config.model.stride_placement = 'he'  # 'torchvision': on a bottleneck's 3×3 convolution
    config.model.reparameterised = False  # plain only: RepVGG's branches, which fuse after training
    config.model.compute_dtype = 'float32'  # or 'bfloat16'; parameters are always float32
    config.model.remat = False  # recomputes blocks in the backward pass: less memory, more time

    config.model.vgg = ConfigDict()  # vgg only
    config.model.vgg.stages = 5  # 3 to 5; each ends in a pool that halves the image
    config.model.vgg.pointwise = False  # 1×1 convolutions end the late stages (configuration C)
    config.model.vgg.shortcuts = False  # adds shortcuts around pairs of convolutions
    config.model.vgg.dropout = 0.5  # probability, in the two hidden dense layers for ImageNet

    config.model.shortcut = ConfigDict()  # resnet only
    config.model.shortcut.kind = 'A'  # pads; 'B' projects where shapes change, 'C' everywhere
    config.model.shortcut.scale = 1.0  # constant factor of the shortcut
    config.model.shortcut.branch_scale = 1.0  # factor of the residual branch
    config.model.shortcut.branch_scale_by_depth = False  # divides it by √(number of blocks)
    config.model.shortcut.learned_branch_scale = False  # it is a parameter, which starts there
    config.model.shortcut.gate = 'none'  # 'exclusive', 'shortcut_only': "Identity mappings", §3.1
    config.model.shortcut.gate_bias = -6.0  # the value from which the gates' biases start
    config.model.shortcut.dropout = 0.0  # probability of dropping an element of the shortcut
    config.model.shortcut.fade_steps = 0  # updates until its factor has fallen to 0; 0: it stays

    config.init = ConfigDict()
    config.init.scheme = 'he'  # or another of networks/initialisation.py, such as 'glorot'
    config.init.weights = ''  # a .safetensors or .pth file to start from; '': random, by the seed
    config.init.deepened_from = ''  # such a file of a shallower plain network, or its cell's id
    config.init.new_head = False  # leaves out the file's head, for other classes

    config.train = ConfigDict()
    config.train.protocol = 'given'  # 'published': for model.name, that of its paper on ImageNet
    config.train.batch_size = 128  # images
    config.train.epochs = 20  # passes over the training set; 0: see steps
    config.train.steps = 0  # updates; 0: see epochs
    config.train.until_error = ()  # training errors in %, as in (5.0, 1.0): stops at the last one

    config.optimizer = ConfigDict()
    config.optimizer.learning_rate = 0.1  # the full rate, after the warm-up
    config.optimizer.momentum = 0.9  # of SGD, 0 to 1
    config.optimizer.weight_decay = 1e-4  # times every parameter, added to its gradient
    config.optimizer.decay_at = (0.5, 0.75)  # fractions of all steps
    config.optimizer.decay_factor = 0.1  # multiplies the learning rate at each of them
    config.optimizer.warmup = 'none'  # 'linear', 'constant' or 'none'
    config.optimizer.warmup_learning_rate = 0.0  # where 'linear' starts and what 'constant' holds
    config.optimizer.warmup_fraction = 0.0  # of all steps
    config.optimizer.warmup_min_depth = 0  # weighted layers; shallower networks do not warm up
    config.optimizer.clip_norm = 0.0  # the most that the norm of the whole gradient is; 0: any
    config.optimizer.layerwise = 'none'  # or 'equal_gradients', 'relative_updates', layer by layer
    config.optimizer.frozen_first = 0  # weighted layers next to the image that stay as drawn
    config.optimizer.frozen_last = 0  # weighted layers in front of the head that stay as drawn
    config.optimizer.fixed_norms = False  # kernels below a batch norm keep their Euclidean norms

    config.evaluation = ConfigDict()
    config.evaluation.every_epochs = 1  # epochs between evaluations; the last epoch always has one
    config.evaluation.every_steps = 0  # updates between looks for until_error; 0: ends of epochs
    config.evaluation.batch_size = 0  # images; 0: what suits the device; changes the speed only

    config.probes = ConfigDict()
    config.probes.every_epochs = 0  # epochs between two observations of the layers; 0: none
    config.probes.names = ()  # the layers and blocks to observe, as in ('stem', 'head'); (): all
    config.probes.jacobians = False  # observes the local Jacobian of each block as well
    config.probes.also = ()  # further probes, each with quantities of its own: see docs/guide.md
    config.probes.draws = 1  # random weights observed before training, the run's own among them

    config.checkpoint = ConfigDict()
    config.checkpoint.every_seconds = 300.0  # the time between two saves, at least
    config.checkpoint.save_weights = True  # leaves the final weights beside the result

    config.sweep = ConfigDict()
    config.sweep.families = ('plain', 'resnet')  # see model.family
    config.sweep.depths = (8, 20, 32, 44, 56)  # weighted layers
    config.sweep.seeds = 3  # runs of each network, with seed, seed + 1, …
    config.sweep.rates = (0.003, 0.01, 0.03, 0.1, 0.3)  # learning rates that a sweep compares
    config.sweep.tuning_seeds = 1  # runs of each network at each of them, with seed 1000, …
    config.sweep.thorough = False  # of depth_tuned: more budgets, tuning seeds and seeds

    config.wandb = ConfigDict()
    config.wandb.mode = 'auto'  # 'online', 'offline', 'disabled'; auto: online with a credential
    config.wandb.project = 'vggres'  # where runs are gathered
    config.wandb.entity = ''  # user or team; '' is the credential's default
    config.wandb.tags = ()  # added to every run
    config.wandb.all_curves = False  # those of the probes even where they are over 150 (30 layers)
    config.wandb.weights = True  # each cell's final weights are kept there as well, if saved
    return config
