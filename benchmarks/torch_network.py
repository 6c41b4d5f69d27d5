"""Builds the same networks in PyTorch, in the style of torchvision's model files."""

import torch
import torch.nn.functional as F
from torch import nn

from vggres.networks import spec


class Block(nn.Module):
    """A postactivation block, whose shortcut is the identity, padded or projected."""

    def __init__(self, block: spec.BlockSpec, channels: int) -> None:
        """Builds a block whose input has `channels` channels."""
        super().__init__()
        layers, self.stride, self.new = [], block.stride, block.channels - channels
        given = channels
        for convolution in block.convolutions:
            layers += _convolution(convolution, channels, block.bias, block.norm)
            layers.append(nn.ReLU(inplace=True))
            channels = convolution.channels
        self.branch = nn.Sequential(*layers[:-1])
        self.kind = block.shortcut and block.shortcut.kind
        if self.kind == 'projection':
            pointwise = spec.ConvolutionSpec(channels, 1, block.stride)
            self.projection = nn.Sequential(*_convolution(pointwise, given, block.bias, block.norm))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.branch(x)
        if self.kind == 'identity':
            y = y + x
        elif self.kind == 'pad':
            front = self.new // 2
            x = x[:, :, :: self.stride, :: self.stride]
            y = y + F.pad(x, (0, 0, 0, 0, front, self.new - front))
        elif self.kind == 'projection':
            y = y + self.projection(x)
        return F.relu(y, inplace=True)


def network(described: spec.NetworkSpec, channels: int, num_classes: int) -> nn.Module:
    """Builds a network that maps [batch, channels, height, width] to logits [batch, classes]."""
    layers = []
    if stem := described.stem:
        layers += _convolution(stem.convolution, channels, stem.bias, stem.norm)
        layers.append(nn.ReLU(inplace=True))
        channels = stem.convolution.channels
        layers += [nn.MaxPool2d(3, 2, 1)] if stem.pool else []
    for stage in described.stages:
        for block in stage.blocks:
            layers.append(Block(block, channels))
            channels = block.channels
        layers += [nn.MaxPool2d(2)] if stage.pool else []
    head = described.head
    layers += [nn.AdaptiveAvgPool2d(head.pool_size), nn.Flatten()]
    inputs = channels * head.pool_size**2
    for outputs in head.hidden:
        layers += [nn.Linear(inputs, outputs), nn.ReLU(inplace=True), nn.Dropout(head.dropout)]
        inputs = outputs
    module = nn.Sequential(*layers, nn.Linear(inputs, num_classes))
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode='fan_out', nonlinearity='relu')
        elif isinstance(part, nn.Linear):
            nn.init.kaiming_normal_(part.weight, nonlinearity='relu')
            nn.init.zeros_(part.bias)
    return module


def _convolution(
    convolution: spec.ConvolutionSpec, channels: int, bias: bool, norm: bool
) -> list[nn.Module]:
    size, outputs = convolution.kernel_size, convolution.channels
    layer = nn.Conv2d(channels, outputs, size, convolution.stride, size // 2, bias=bias)
    return [layer, nn.BatchNorm2d(outputs)] if norm else [layer]
