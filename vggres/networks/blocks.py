"""The convolution, the shortcut, and the block made of both, as Flax modules for all families."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from vggres.networks.activation import ActivationSpec
from vggres.networks.batch_norm import BatchNorm
from vggres.networks.convolution import convolve
from vggres.networks.spec import BlockSpec, ConvolutionSpec, ShortcutSpec

# The backward case of He et al. 2015 (arXiv 1502.01852), §2.2, keeps the variance of gradients.
he_fan_out = nn.initializers.variance_scaling(2.0, 'fan_out', 'normal')
he_fan_in = nn.initializers.variance_scaling(2.0, 'fan_in', 'normal')


class Convolution(nn.Module):
    """A convolution of images, padded by half of its kernel.

    It maps [batch, h, w, inputs] to [batch, ⌈h/stride⌉, ⌈w/stride⌉, channels].

    Attributes:
        spec: channels, kernel size and stride.
        use_bias: whether to add a bias.
        bias_init: initialiser of the bias.
        dtype: data type of the computation and of the output. The parameters are float32.
    """

    spec: ConvolutionSpec
    use_bias: bool = False
    bias_init: nn.initializers.Initializer = nn.initializers.zeros
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        size, channels = self.spec.kernel_size, self.spec.channels
        kernel = self.param('kernel', he_fan_out, (size, size, x.shape[-1], channels))
        x, kernel = x.astype(self.dtype), kernel.astype(self.dtype)
        y = convolve(x, kernel, self.spec.stride, padding=size // 2)
        if self.use_bias:
            bias = self.param('bias', self.bias_init, (channels,))
            y += bias.astype(self.dtype).reshape(1, 1, 1, channels)
        return y


def pad_shortcut(x: jax.Array, channels: int, stride: int) -> jax.Array:
    """Subsamples an image and pads it with zero channels: option A of He et al. 2015, §4.1.

    Half of the new channels come before the old ones, as in akamaster's networks, so that the
    weights of those networks fit. The order of the channels changes nothing that a network can
    compute.

    Args:
        x: [batch, h, w, inputs].
        channels: number of channels of the result, at least as many as x has.
        stride: pixels between two neighbouring pixels that are kept, in both directions.

    Returns:
        [batch, ⌈h/stride⌉, ⌈w/stride⌉, channels], of x's dtype.
    """
    new = channels - x.shape[-1]
    sides = (new // 2, new - new // 2)
    return jnp.pad(x[:, ::stride, ::stride], ((0, 0), (0, 0), (0, 0), sides))


def activate(x: jax.Array, activation: ActivationSpec) -> jax.Array:
    """Applies an activation to each element of an array."""
    if activation.kind == 'tanh':
        return jnp.tanh(x)
    if activation.kind == 'tailored_relu':
        return activation.scale * nn.leaky_relu(x, activation.slope)
    return nn.relu(x)


class Factor(nn.Module):
    """A number that multiplies images, and that changes while a network trains.

    Attributes:
        start: its value before training.
        is_learned: whether it has a gradient. Otherwise it is for the optimiser to change.
        dtype: data type of the computation and of the output. The parameter is float32 [1].
    """

    start: float
    is_learned: bool = True
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps [batch, height, width, channels] to an array of the same shape."""
        scale = self.param('scale', nn.initializers.constant(self.start), (1,))
        scale = scale if self.is_learned else jax.lax.stop_gradient(scale)
        return scale.astype(self.dtype).reshape(1, 1, 1, 1) * x


class Block(nn.Module):
    """A residual branch and its shortcut, if it has one.

    It maps [batch, h, w, inputs] to [batch, ⌈h/stride⌉, ⌈w/stride⌉, channels].

    ReLU stands for the activation of the description here. A postactivation block (He et al. 2015,
    Fig. 2 and 5) repeats convolution, norm and ReLU, and
    applies the last ReLU after the addition. A preactivation block ("Identity mappings", Fig. 1b)
    repeats norm, ReLU and convolution, and applies nothing after the addition; its shortcut starts
    from x, or after the first norm and ReLU where the description says so.

    Attributes:
        spec: the description of the block.
        dtype: data type of the computation and of the output. The parameters are float32.
    """

    spec: BlockSpec
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        y = x
        last = len(self.spec.convolutions)
        for k, convolution in enumerate(self.spec.convolutions, start=1):
            if self.spec.preactivation:
                y = activate(self._norm(y, train, f'norm{k}'), self.spec.activation)
                x = y if k == 1 and self.spec.shared_activation else x
            given = y
            y = self._convolution(convolution, f'conv{k}')(y)
            if not self.spec.preactivation:
                y = self._norm(y, train, f'norm{k}')
                y = self._with_branches(convolution, k, given, y, train)
                y = activate(y, self.spec.activation) if k < last else y
        if self.spec.shortcut is not None:
            y = self._joined(self.spec.shortcut, x, y, train)
        return y if self.spec.preactivation else activate(y, self.spec.activation)

    def _with_branches(
        self, convolution: ConvolutionSpec, k: int, x: jax.Array, y: jax.Array, train: bool
    ) -> jax.Array:
        """Adds the branches of RepVGG to y, the normalised convolution k of x."""
        if not self.spec.reparameterised:
            return y
        pointwise = ConvolutionSpec(convolution.channels, kernel_size=1, stride=convolution.stride)
        branch = Convolution(pointwise, dtype=self.dtype, name=f'pointwise{k}')(x)
        y += self._norm(branch, train, f'pointwise{k}_norm')
        if convolution.keeps_shape(x.shape[-1]):
            y += self._norm(x, train, f'identity{k}_norm')
        return y

    def _joined(self, shortcut: ShortcutSpec, x: jax.Array, y: jax.Array, train: bool) -> jax.Array:
        """Computes scale · h(x) + branch_scale · y with its gates (see `spec.ShortcutSpec`)."""
        pointwise = ConvolutionSpec(self.spec.channels, kernel_size=1, stride=self.spec.stride)
        if shortcut.kind == 'projection':
            passed = self._convolution(pointwise, 'projection')(x)
            if not self.spec.preactivation:
                passed = self._norm(passed, train, 'projection_norm')
        else:
            passed = pad_shortcut(x, self.spec.channels, self.spec.stride)
        if shortcut.gate != 'none':
            bias = nn.initializers.constant(shortcut.gate_bias)
            gate = nn.sigmoid(Convolution(pointwise, True, bias, self.dtype, name='gate')(x))
            passed *= 1 - gate
            y = y * gate if shortcut.gate == 'exclusive' else y
        if shortcut.dropout:
            kept = (
                1 - shortcut.dropout
            )  # undoes the factor by which nn.Dropout scales kept elements
            passed = kept * nn.Dropout(shortcut.dropout, deterministic=not train)(passed)
        if shortcut.fade_steps:
            passed = Factor(shortcut.scale, False, self.dtype, name='shortcut_scale')(passed)
        else:
            passed = shortcut.scale * passed
        if shortcut.learned_branch_scale:
            y = Factor(shortcut.branch_scale, dtype=self.dtype, name='branch_scale')(y)
        else:
            y = shortcut.branch_scale * y
        return passed + y

    def _convolution(self, convolution: ConvolutionSpec, name: str) -> Convolution:
        return Convolution(convolution, self.spec.bias, dtype=self.dtype, name=name)

    def _norm(self, x: jax.Array, train: bool, name: str) -> jax.Array:
        if not self.spec.norm:
            return x
        return BatchNorm(use_running_average=not train, dtype=self.dtype, name=name)(x)
