"""A two-dimensional convolution in the form that XLA:CPU computes fast inside of loops.

One operation has a file of its own for the following reason. The trainer runs its steps in
`lax.while_loop`, and the blocks of a stage in `lax.scan`. XLA:CPU rewrites convolutions to the form
that its fast kernels accept only outside of loops. Inside, it computes the two gradients of
`lax.conv_general_dilated` by a naive loop, which is up to 80 times slower, and even the forward
pass is slow for images of 2×2 pixels and for few output channels. On the CPU alone, both gradients
are therefore written as plain NHWC/HWIO convolutions, and every convolution takes the first of the
following forms that its static shape allows:

* whole image: an image that has no more pixels than the kernel has taps is multiplied by one matrix
  [all its inputs, all its outputs], which takes no more multiplications than the taps do;
* grouped columns: fewer than 32 output channels leave vector units idle, so that several
  neighbouring columns are computed as channels of one, by a wider kernel with a larger stride;
* plain: the convolution as it is.

Every other platform gets `lax.conv_general_dilated` and its own gradients, unchanged. The choice
is made when a function is lowered (`lax.platform_dependent`), not when it is traced.

Only reverse mode works (`jax.custom_vjp`), any number of times. A Jacobian-vector product is the
transpose of the vector-Jacobian product: `jax.vjp(jax.vjp(f, x)[1], cotangent)[1]((tangent,))`.
In a scan, `convolve` can be differentiated once, and `convolve_twice` twice.
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.ad_checkpoint import checkpoint_name

Arrays = tuple[jax.Array, jax.Array]
Shape = tuple[int, ...]
Padding = tuple[tuple[int, int], tuple[int, int]]  # zeros (before, after) rows and columns

_VECTOR_CHANNELS = 32  # output channels with which XLA:CPU's kernels reach their full rate
_MATRIX_ELEMENTS = 2**22  # numbers in the largest whole-image matrix (16 MiB in float32)
_PIECE_ELEMENTS = 2**17  # numbers in one piece of the batch for the kernel gradient (512 KiB)
_PIECE_IMAGES = 16  # the smallest number of images in such a piece


def convolve(x: jax.Array, kernel: jax.Array, stride: int = 1, padding: int = 0) -> jax.Array:
    """Cross-correlates images with a kernel, as torch.nn.functional.conv2d does, without a bias.

    Args:
        x: images [batch, height, width, channels].
        kernel: [kernel height, kernel width, channels, output channels], of x's dtype.
        stride: pixels between two neighbouring windows, in both directions.
        padding: number of zeros added on each of the four sides: 1 for 3×3 kernels, 0 for 1×1 and
            3 for 7×7. This differs from 'SAME', which pads only one side at stride 2.

    Returns:
        [batch, output height, output width, output channels], of x's dtype. An output size is
        (size + 2 * padding - kernel size) // stride + 1.

    Raises:
        ValueError: if x and kernel disagree in rank, channels or dtype, or if the kernel is larger
            than the padded image.
    """
    return _convolve(x, kernel, stride, _pads(x, kernel, stride, padding))


def convolve_twice(x: jax.Array, kernel: jax.Array, stride: int = 1, padding: int = 0) -> jax.Array:
    """Computes what `convolve` does, for networks that are differentiated twice.

    Its second derivatives are computed in the forms above, too. It keeps more in memory than
    `convolve`, so that training does not use it.
    """
    return _convolve_twice(x, kernel, stride, _pads(x, kernel, stride, padding))


def _pads(x: jax.Array, kernel: jax.Array, stride: int, padding: int) -> Padding:
    """The zeros on each side, once the operands are known to be right."""
    pads = ((padding, padding), (padding, padding))
    shapes = f'{x.dtype}{list(x.shape)} and {kernel.dtype}{list(kernel.shape)}'
    if x.ndim != 4 or kernel.ndim != 4 or x.shape[3] != kernel.shape[2] or x.dtype != kernel.dtype:
        raise ValueError(f'images [N, H, W, C] and kernel [H, W, C, O] disagree: {shapes}')
    if min(_output_sizes(x.shape, kernel.shape, stride, pads)) < 1:
        raise ValueError(f'the kernel does not fit into the image padded by {padding}: {shapes}')
    return pads


def _output(x: jax.Array, kernel: jax.Array, stride: int, pads: Padding) -> jax.Array:
    return lax.platform_dependent(
        x,
        kernel,
        cpu=lambda x, k: _cpu(x, k, stride, pads),
        default=lambda x, k: _plain(x, k, (stride, stride), pads),
    )


def _of_x(
    kernel: jax.Array, gradient: jax.Array, stride: int, pads: Padding, image: Shape
) -> jax.Array:
    """The gradient of x [batch, *image, channels]."""
    x = jax.ShapeDtypeStruct((gradient.shape[0], *image, kernel.shape[2]), gradient.dtype)
    plain = functools.partial(_plain, strides=(stride, stride), pads=pads)
    return lax.platform_dependent(
        kernel,
        gradient,
        cpu=lambda k, g: _cpu_input_gradient(k, g, stride, pads, image),
        default=lambda k, g: jax.linear_transpose(lambda x: plain(x, k), x)(g)[0],
    )


def _of_kernel(
    x: jax.Array, gradient: jax.Array, stride: int, pads: Padding, kernel_shape: Shape
) -> jax.Array:
    """The gradient of the kernel."""
    kernel = jax.ShapeDtypeStruct(kernel_shape, x.dtype)
    plain = functools.partial(_plain, strides=(stride, stride), pads=pads)
    return lax.platform_dependent(
        x,
        gradient,
        cpu=lambda x, g: _cpu_kernel_gradient(x, g, stride, pads, kernel_shape),
        default=lambda x, g: jax.linear_transpose(lambda k: plain(x, k), kernel)(g)[0],
    )


def _forward(
    x: jax.Array, kernel: jax.Array, stride: int, pads: Padding
) -> tuple[jax.Array, Arrays]:
    return _convolve(x, kernel, stride, pads), (x, kernel)


def _backward(stride: int, pads: Padding, saved: Arrays, gradient: jax.Array) -> Arrays:
    """The gradients of both operands, in two calls, so that an unused one is never computed."""
    x, kernel = saved
    gradient_x = _of_x(kernel, gradient, stride, pads, x.shape[1:3])
    return gradient_x, _of_kernel(x, gradient, stride, pads, kernel.shape)


_convolve = jax.custom_vjp(_output, nondiff_argnums=(2, 3))
_convolve.defvjp(_forward, _backward)

# What follows is for `convolve_twice` alone. The output and both gradients are linear in each of
# their operands, and the derivatives of one are the other two.
_linear = jax.custom_vjp(_output, nondiff_argnums=(2, 3))
_linear_of_x = jax.custom_vjp(_of_x, nondiff_argnums=(2, 3, 4))
_linear_of_kernel = jax.custom_vjp(_of_kernel, nondiff_argnums=(2, 3, 4))
_convolve_twice = jax.custom_vjp(_output, nondiff_argnums=(2, 3))


def _kept(one: jax.Array, other: jax.Array) -> Arrays:
    """Operands by names of their own: as they are, jax 0.10 mixes them up in nested rules."""
    return checkpoint_name(one, 'operand'), checkpoint_name(other, 'operand')


def _forward_twice(
    x: jax.Array, kernel: jax.Array, stride: int, pads: Padding
) -> tuple[jax.Array, Arrays]:
    return _linear(x, kernel, stride, pads), _kept(x, kernel)


def _linear_backward(stride: int, pads: Padding, saved: Arrays, gradient: jax.Array) -> Arrays:
    x, kernel = saved
    gradient_x = _linear_of_x(kernel, gradient, stride, pads, x.shape[1:3])
    return gradient_x, _linear_of_kernel(x, gradient, stride, pads, kernel.shape)


def _of_x_backward(stride: int, pads: Padding, image: Shape, saved: Arrays, x: jax.Array) -> Arrays:
    kernel, gradient = saved
    of_kernel = _linear_of_kernel(x, gradient, stride, pads, kernel.shape)
    return of_kernel, _linear(x, kernel, stride, pads)


def _of_kernel_backward(
    stride: int, pads: Padding, kernel_shape: Shape, saved: Arrays, kernel: jax.Array
) -> Arrays:
    x, gradient = saved
    of_x = _linear_of_x(kernel, gradient, stride, pads, x.shape[1:3])
    return of_x, _linear(x, kernel, stride, pads)


_convolve_twice.defvjp(_forward_twice, _linear_backward)
_linear.defvjp(lambda x, k, *how: (_output(x, k, *how), _kept(x, k)), _linear_backward)
_linear_of_x.defvjp(lambda k, g, *how: (_of_x(k, g, *how), _kept(k, g)), _of_x_backward)
_linear_of_kernel.defvjp(
    lambda x, g, *how: (_of_kernel(x, g, *how), _kept(x, g)), _of_kernel_backward
)


def _plain(
    x: jax.Array, kernel: jax.Array, strides: tuple[int, int], pads: Padding, dilation: int = 1
) -> jax.Array:
    layout = ('NHWC', 'HWIO', 'NHWC')
    return lax.conv_general_dilated(
        x, kernel, strides, pads, rhs_dilation=(dilation, dilation), dimension_numbers=layout
    )


def _cpu(x: jax.Array, kernel: jax.Array, stride: int, pads: Padding) -> jax.Array:
    """The convolution in the form that suits its shape (see the top of the file)."""
    sizes = _output_sizes(x.shape, kernel.shape, stride, pads)
    result = (x.shape[0], *sizes, kernel.shape[3])
    if _fits_whole_image(x.shape, kernel.shape, sizes):
        matrix = _image_matrix(kernel, x.shape[1:3], sizes, stride, pads)
        return (x.reshape(x.shape[0], -1) @ matrix).reshape(result)
    columns = _columns(kernel.shape, sizes[1], stride)
    if columns > 1:
        kernel = lax.optimization_barrier(_widened(kernel, columns, stride))
    return _plain(x, kernel, (stride, stride * columns), pads).reshape(result)


def _cpu_input_gradient(
    kernel: jax.Array, gradient: jax.Array, stride: int, pads: Padding, image: Shape
) -> jax.Array:
    """The gradient of x [batch, *image, channels], as a convolution of stride 1.

    Input pixel stride * q + phase meets the output pixels q + first, ..., q + last. All phases of q
    are therefore output channels of one convolution, a sub-pixel convolution (arXiv 1609.05158).
    """
    if _is_pointwise(kernel.shape, pads):
        dense = _cpu(gradient, lax.optimization_barrier(kernel.transpose(0, 1, 3, 2)), 1, pads)
        after = [image[i] - (gradient.shape[1 + i] - 1) * stride - 1 for i in (0, 1)]
        return _pad(_pad(dense, 1, 0, after[0], stride - 1), 2, 0, after[1], stride - 1)
    batch, channels = gradient.shape[0], kernel.shape[2]
    blocks = [-(-size // stride) for size in image]
    new_pads: list[tuple[int, int]] = []
    for axis in (0, 1):
        padding, extent = pads[axis][0], kernel.shape[2 * axis]
        first, last = -((extent - 1 - padding) // stride), (stride - 1 + padding) // stride
        count, before = last - first + 1, last * stride - padding
        kernel = _pad(kernel, 2 * axis, before, count * stride - before - extent)
        rest = kernel.shape[2 * axis + 1 :]
        kernel = kernel.reshape(*kernel.shape[: 2 * axis], count, stride, *rest)
        new_pads.append((-first, blocks[axis] + last - gradient.shape[1 + axis]))
    kernel = jnp.flip(kernel, (0, 2)).transpose(0, 2, 5, 1, 3, 4)
    kernel = lax.optimization_barrier(kernel.reshape(*kernel.shape[:3], -1))
    phases = _cpu(gradient, kernel, 1, (new_pads[0], new_pads[1]))
    phases = phases.reshape(batch, *blocks, stride, stride, channels).transpose(0, 1, 3, 2, 4, 5)
    whole = phases.reshape(batch, blocks[0] * stride, blocks[1] * stride, channels)
    return whole[:, : image[0], : image[1]]


def _cpu_kernel_gradient(
    x: jax.Array, gradient: jax.Array, stride: int, pads: Padding, kernel_shape: Shape
) -> jax.Array:
    """The gradient of the kernel: x convolved with the gradient, summed over the batch."""
    batch, sizes = x.shape[0], gradient.shape[1:3]
    if _fits_whole_image(x.shape, kernel_shape, sizes):
        matrix = x.reshape(batch, -1).T @ gradient.reshape(batch, -1)
        return _kernel_of_matrix(matrix, kernel_shape, x.shape[1:3], sizes, stride, pads)
    if _is_pointwise(kernel_shape, pads):
        pixels = x[:, ::stride, ::stride].reshape(-1, kernel_shape[2])
        return (pixels.T @ gradient.reshape(-1, kernel_shape[3])).reshape(kernel_shape)
    reach = [(sizes[i] - 1) * stride + kernel_shape[i] - x.shape[1 + i] for i in (0, 1)]
    (top, _), (left, _) = pads
    new_pads = ((top, reach[0] - top), (left, reach[1] - left))

    def add_piece(total: jax.Array, piece: Arrays) -> tuple[jax.Array, None]:
        images = lax.optimization_barrier(piece[0].transpose(3, 1, 2, 0))
        windows = lax.optimization_barrier(piece[1].transpose(1, 2, 0, 3))
        product = _plain(images, windows, (1, 1), new_pads, dilation=stride)
        return total + product.astype(total.dtype), None

    pieces = _pieces(batch, x.size) if kernel_shape[3] >= _VECTOR_CHANNELS else 1
    split: Arrays = (
        x.reshape(pieces, -1, *x.shape[1:]),
        gradient.reshape(pieces, -1, *gradient.shape[1:]),
    )
    total = jnp.zeros((kernel_shape[2], *kernel_shape[:2], kernel_shape[3]), jnp.float32)
    return lax.scan(add_piece, total, split)[0].transpose(1, 2, 0, 3).astype(x.dtype)


def _pieces(batch: int, elements: int) -> int:
    """The number of equal pieces into which the batch is cut, so that each fits into the cache."""
    most = max(1, min(batch // _PIECE_IMAGES, elements // _PIECE_ELEMENTS))
    return next(pieces for pieces in range(most, 0, -1) if batch % pieces == 0)


def _is_pointwise(kernel_shape: Shape, pads: Padding) -> bool:
    return kernel_shape[:2] == (1, 1) and pads == ((0, 0), (0, 0))


def _fits_whole_image(x_shape: Shape, kernel_shape: Shape, sizes: Shape) -> bool:
    pixels, taps = x_shape[1] * x_shape[2], kernel_shape[0] * kernel_shape[1]
    elements = pixels * sizes[0] * sizes[1] * kernel_shape[2] * kernel_shape[3]
    return pixels <= taps and elements <= _MATRIX_ELEMENTS


def _image_matrix(
    kernel: jax.Array, image: Shape, sizes: Shape, stride: int, pads: Padding
) -> jax.Array:
    """The matrix that maps a whole image to a whole output.

    Its shape is [height * width * channels, output height * output width * output channels].
    """
    columns = [kernel] * math.prod(sizes)
    for i, output in enumerate(np.ndindex(sizes)):
        for axis in (0, 1):
            first = output[axis] * stride - pads[axis][0]
            last = image[axis] - first - kernel.shape[axis]
            columns[i] = _pad(columns[i], axis, first, last)
    return jnp.concatenate(columns, axis=3).reshape(math.prod(image) * kernel.shape[2], -1)


def _kernel_of_matrix(
    matrix: jax.Array, kernel_shape: Shape, image: Shape, sizes: Shape, stride: int, pads: Padding
) -> jax.Array:
    """The transpose of `_image_matrix`: sums the places of every tap of the kernel."""
    columns = jnp.split(matrix.reshape(*image, kernel_shape[2], -1), math.prod(sizes), axis=3)
    for i, output in enumerate(np.ndindex(sizes)):
        for axis in (0, 1):
            first = output[axis] * stride - pads[axis][0]
            last = image[axis] - first - kernel_shape[axis]
            columns[i] = _pad(columns[i], axis, -first, -last)
    return jnp.asarray(sum(columns))


def _columns(kernel_shape: Shape, width: int, stride: int) -> int:
    """The number of output columns that are computed as one.

    It is the largest that gives no more than 32 channels and less than twice the multiplications.
    """
    columns = 1
    while (
        2 * columns * kernel_shape[3] <= _VECTOR_CHANNELS
        and (2 * columns - 1) * stride < kernel_shape[1]
        and width % (2 * columns) == 0
        and width > 2 * columns
    ):
        columns *= 2
    return columns


def _widened(kernel: jax.Array, columns: int, stride: int) -> jax.Array:
    """The kernel of several neighbouring outputs: [.., width + (columns - 1) * stride, .., ..]."""
    shifts = [i * stride for i in range(columns)]
    return jnp.concatenate([_pad(kernel, 1, i, shifts[-1] - i) for i in shifts], axis=3)


def _pad(x: jax.Array, axis: int, before: int, after: int, between: int = 0) -> jax.Array:
    widths = [(0, 0, 0)] * x.ndim
    widths[axis] = (before, after, between)
    return lax.pad(x, jnp.zeros((), x.dtype), widths)


def _output_sizes(x_shape: Shape, kernel_shape: Shape, stride: int, pads: Padding) -> Shape:
    padded = [x_shape[1 + axis] + sum(pads[axis]) for axis in (0, 1)]
    return tuple((padded[axis] - kernel_shape[axis]) // stride + 1 for axis in (0, 1))
