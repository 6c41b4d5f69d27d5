"""The contenders of `train_step`: each is a process that trains as many steps as it is told.

    python -m benchmarks.contenders ours '{"depth": 20, …}'      (started by benchmarks.timing)

A contender answers with JSON lines: first with what it cost to begin, then, for each number of
steps that it reads, with the seconds that they took.
"""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np

from vggres.networks import grammar, published, spec

NUM_CLASSES = 10


@dataclass(frozen=True)
class Case:
    """One network on images of one size.

    Attributes:
        name: the name of a published network; '' to give family and depth instead.
        family: 'vgg', 'plain' or 'resnet', for small images.
        depth: the number of weighted layers.
        image_size: height and width in pixels. Images have 3 channels, except that images of 8×8
            pixels have one, as the digits do.
        batch: the number of images in a step.
        remat: whether our blocks are computed again in the backward pass.
    """

    name: str
    family: str
    depth: int
    image_size: int
    batch: int
    remat: bool = False

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """[height, width, channels]."""
        return self.image_size, self.image_size, 1 if self.image_size == 8 else 3

    @property
    def options(self) -> dict:
        """The options of the network that differ from the defaults (see `grammar.Options`)."""
        if self.name:
            return asdict(grammar.Options(**published.variant(self.name).options))
        stages = {'vgg_stages': 3 if self.image_size < 32 else 5} if self.family == 'vgg' else {}
        return {'family': self.family, 'depth': self.depth, **stages}

    @property
    def network_spec(self) -> spec.NetworkSpec:
        """The network that all contenders build."""
        return grammar.network_spec(**self.options)

    @property
    def is_stock(self) -> bool:
        """Whether the other contenders can build its blocks."""
        blocks = (block for stage in self.network_spec.stages for block in stage.blocks)
        return not any(block.preactivation for block in blocks)

    @property
    def gflops(self) -> float:
        """The GFLOPs of a step: the forward pass, and twice as much for the two gradients."""
        macs = spec.count_macs(self.network_spec, self.image_shape, NUM_CLASSES)
        return 3 * 2 * macs * self.batch / 1e9


Steps = Callable[[int], None]


def ours(case: Case) -> tuple[dict, Steps]:
    """Trains as `launch.py` does: batches are gathered on the device, many steps in a dispatch."""
    import jax

    from configs import digits
    from vggres.config import program, set_options
    from vggres.data import resident
    from vggres.data.source import SPLITS, Split
    from vggres.training import programs
    from vggres.training.compiling import compile_well
    from vggres.training.trainer import described_run

    config = digits.get_config()
    set_options(config, case.options)
    config.model.remat = case.remat
    config.train.batch_size = case.batch
    config.train.epochs = 10**5
    images, labels = _images(case, 4 * case.batch)
    splits = {name: Split(images, labels) for name in SPLITS}
    data = resident.put(splits, NUM_CLASSES)
    init, train, _ = programs.functions(program(config), data)
    state, sums, order_key = jax.jit(init)(0, 0)
    schedule = described_run(config, data.num_train).schedule
    jitted = jax.jit(train, donate_argnums=(0, 1))
    started = time.perf_counter()
    lowered = jitted.lower(state, sums, order_key, data, schedule, 0)
    compiled = compile_well(lowered)
    begun = _begun(started, compiled)
    carry = [state, sums]

    def steps(count: int) -> None:
        stop = int(carry[0].step) + count
        carry[:] = compiled(*carry, order_key, data, schedule, stop)
        jax.block_until_ready(carry)
        if int(carry[0].step) != stop:  # a run that stops early would look fast
            raise SystemExit(f'ours diverged at step {int(carry[0].step)}: nothing to measure')

    return begun, steps


def flax(case: Case) -> tuple[dict, Steps]:
    """Trains stock Flax, unrolled, with one jitted step in a dispatch."""
    import jax
    import optax

    from benchmarks.stock_flax import Network

    network = Network(case.network_spec, NUM_CLASSES)
    sgd = optax.chain(optax.add_decayed_weights(1e-4), optax.sgd(0.1, momentum=0.9))
    images, labels = _batch(case)
    variables = jax.jit(lambda key: network.init(key, images[:1], train=False))(jax.random.key(0))
    params, batch_stats = variables['params'], variables.get('batch_stats', {})

    def step(params: dict, batch_stats: dict, opt_state: tuple, key: jax.Array) -> tuple:
        def loss_fn(params: dict) -> tuple:
            logits, updated = network.apply(
                {'params': params, 'batch_stats': batch_stats},
                images,
                train=True,
                mutable=['batch_stats'],
                rngs={'dropout': key},
            )
            loss = optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()
            return loss, updated.get('batch_stats', {})

        gradients, batch_stats = jax.grad(loss_fn, has_aux=True)(params)
        updates, opt_state = sgd.update(gradients, opt_state, params)
        return optax.apply_updates(params, updates), batch_stats, opt_state, key

    carry = [params, batch_stats, sgd.init(params), jax.random.key(1)]
    jitted = jax.jit(step, donate_argnums=(0, 1, 2))
    started = time.perf_counter()
    compiled = jitted.lower(*carry).compile()
    begun = _begun(started, compiled)

    def steps(count: int) -> None:
        for _ in range(count):
            carry[:] = compiled(*carry)
        jax.block_until_ready(carry)

    return begun, steps


def torch(case: Case) -> tuple[dict, Steps]:
    """Trains PyTorch as it comes, with channels last."""
    return _torch(case, compiled=False)


def torch_compile(case: Case) -> tuple[dict, Steps]:
    """Trains PyTorch with torch.compile and channels last."""
    return _torch(case, compiled=True)


def _torch(case: Case, compiled: bool) -> tuple[dict, Steps]:
    import torch

    from benchmarks.torch_network import network

    torch.set_num_threads(len(_cores()))
    images, labels = (torch.from_numpy(array) for array in _batch(case))
    images = images.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
    labels = labels.long()
    module = network(case.network_spec, images.shape[1], NUM_CLASSES)
    module = module.to(memory_format=torch.channels_last)
    sgd = torch.optim.SGD(module.parameters(), 0.1, momentum=0.9, weight_decay=1e-4)
    forward = torch.compile(module) if compiled else module

    def steps(count: int) -> None:
        for _ in range(count):
            sgd.zero_grad(set_to_none=True)
            torch.nn.functional.cross_entropy(forward(images), labels).backward()
            sgd.step()

    started = time.perf_counter()
    if compiled:
        steps(1)
    return {'compile_s': time.perf_counter() - started, 'temporaries_mb': None}, steps


def matmul(case: Case) -> tuple[dict, Steps]:
    """Multiplies two float32 matrices of 2048 rows: the peak that others are compared with."""
    import jax
    import jax.numpy as jnp

    matrix = jnp.full((2048, 2048), 1e-3, jnp.float32)
    product = jax.jit(lambda a, b: a @ b)

    def steps(count: int) -> None:
        for _ in range(count):
            product(matrix, matrix).block_until_ready()

    return {}, steps


MATMUL_GFLOPS = 2 * 2048**3 / 1e9
CONTENDERS = {f.__name__: f for f in (ours, flax, torch, torch_compile)}


def _begun(started: float, compiled: object) -> dict:
    temporaries = compiled.memory_analysis().temp_size_in_bytes
    return {'compile_s': time.perf_counter() - started, 'temporaries_mb': temporaries / 1e6}


def _images(case: Case, count: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (count, *case.image_shape), np.uint8)
    return images, random.integers(0, NUM_CLASSES, count, np.int32)


def _batch(case: Case) -> tuple[np.ndarray, np.ndarray]:
    images, labels = _images(case, case.batch)
    return images.astype(np.float32) / 255 - 0.5, labels


def _cores() -> list[int]:
    from vggres.environment import cores

    return cores()


def main() -> None:
    """Trains as many steps as each line of the input says, until the input ends."""
    from vggres.environment import peak_memory_mb

    name, case = sys.argv[1], Case(**json.loads(sys.argv[2]))
    begun, steps = (CONTENDERS | {'matmul': matmul})[name](case)
    print(json.dumps(begun), flush=True)
    for line in sys.stdin:
        started = time.perf_counter()
        steps(int(line))
        seconds = time.perf_counter() - started
        print(json.dumps({'seconds': seconds, 'peak_mb': peak_memory_mb()}), flush=True)


if __name__ == '__main__':
    main()
