"""Trains the cells of a sweep in plain PyTorch, one after the other, as people write it themselves.

    python -m benchmarks.torch_sweep '(8, 20)' 1        depths, seeds; started by benchmarks.sweep

The protocol is that of configs/digits.py: the same networks, images, number of batches in an epoch
and learning rates, and the same evaluations on the whole, clean training and validation set after
each epoch. A JSON line is printed for each cell.
"""

import ast
import json
import sys
import time

import torch
from torch.nn.functional import cross_entropy

from benchmarks.torch_network import network
from configs import digits
from vggres import environment
from vggres.config import network_spec, steps
from vggres.data import datasets
from vggres.data.batches import statistics
from vggres.data.source import DatasetInfo
from vggres.training.optimizer import learning_rate_schedule


def main() -> None:
    """Trains each cell, and prints its errors and the seconds that it took."""
    config = digits.get_config()
    torch.set_num_threads(len(environment.cores()))
    info, splits = datasets.describe(config.data), datasets.load(config.data)
    mean, _ = statistics(splits['train'].images, 'mean_image')
    tensors = {
        name: (
            torch.from_numpy(split.images / 255 - mean).float().permute(0, 3, 1, 2),
            torch.from_numpy(split.labels).long(),
        )
        for name, split in splits.items()
    }
    for depth in ast.literal_eval(sys.argv[1]):
        for family in config.sweep.families:
            for seed in range(int(sys.argv[2])):
                started = time.perf_counter()
                config.model.family, config.model.depth = family, depth
                found = _train(config, info, tensors, seed)
                cell = {'family': family, 'depth': depth, 'seed': seed}
                print(json.dumps(cell | found | {'seconds': time.perf_counter() - started}))


def _train(config: object, info: DatasetInfo, tensors: dict, seed: int) -> dict:
    torch.manual_seed(seed)
    images, labels = tensors['train']
    per_epoch, updates = steps(config, len(labels))
    schedule = learning_rate_schedule(config.optimizer, updates, config.model.depth)
    rates = [float(schedule(step)) for step in range(updates)]
    module = network(network_spec(config), info.image_shape[2], info.num_classes)
    module = module.to(memory_format=torch.channels_last)
    sgd = torch.optim.SGD(
        module.parameters(),
        rates[0],
        momentum=config.optimizer.momentum,
        weight_decay=config.optimizer.weight_decay,
    )
    step = 0
    for _ in range(config.train.epochs):
        module.train()
        order = torch.randperm(len(labels))
        for indices in order.split(config.train.batch_size)[:per_epoch]:
            sgd.param_groups[0]['lr'] = rates[step]
            sgd.zero_grad(set_to_none=True)
            cross_entropy(module(images[indices]), labels[indices]).backward()
            sgd.step()
            step += 1
        errors = {
            f'{name}_error': _error(module, *tensors[name]) for name in ('train', 'validation')
        }
    return errors | {'test_error': _error(module, *tensors['test'])}


@torch.no_grad()
def _error(module: torch.nn.Module, images: torch.Tensor, labels: torch.Tensor) -> float:
    module.eval()
    parts = zip(images.split(256), labels.split(256), strict=True)
    wrong = sum(int((module(x).argmax(1) != y).sum()) for x, y in parts)
    return 100 * wrong / len(labels)


if __name__ == '__main__':
    main()
