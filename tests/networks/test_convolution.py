"""convolve against lax.conv_general_dilated, its gradients, and sums done by hand."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from jax import lax

from vggres.networks.convolution import convolve, convolve_twice

# [batch, height, width, channels], [kernel height, kernel width, output channels], stride, padding
CASES = {
    'stem': ((3, 8, 8, 1), (3, 3, 16), 1, 1),
    'grouped columns': ((3, 8, 8, 16), (3, 3, 16), 1, 1),
    'four grouped columns': ((3, 6, 16, 2), (7, 7, 8), 1, 3),
    'plain': ((3, 4, 4, 32), (3, 3, 32), 1, 1),
    'whole image': ((3, 2, 2, 8), (3, 3, 6), 1, 1),
    'stage 2': ((3, 8, 8, 16), (3, 3, 32), 2, 1),
    'stage 3': ((3, 4, 4, 6), (3, 3, 5), 2, 1),
    'three pieces of the batch': ((48, 16, 16, 32), (3, 3, 32), 1, 1),
    'two pieces of stride 2': ((50, 16, 16, 32), (3, 3, 32), 2, 1),
    'odd, not square': ((2, 9, 7, 3), (3, 3, 5), 2, 1),
    'imagenet stem': ((2, 29, 21, 3), (7, 7, 12), 2, 3),
    'pointwise': ((2, 5, 6, 3), (1, 1, 4), 1, 0),
    'pointwise of stride 2': ((2, 7, 6, 3), (1, 1, 4), 2, 0),
    'pointwise, padded': ((2, 5, 4, 3), (1, 1, 4), 3, 2),
    'one pixel': ((3, 1, 1, 4), (3, 3, 6), 1, 1),
    'stride beyond the kernel': ((2, 8, 7, 3), (2, 2, 4), 3, 0),
    'unread border': ((2, 8, 9, 3), (3, 3, 4), 4, 0),
    'kernel not square': ((2, 5, 12, 4), (3, 5, 8), 2, 5),
}


def reference(x, kernel, stride=1, padding=0):
    return lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        ((padding, padding), (padding, padding)),
        dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    )


def operands(image, kernel, dtype=np.float32):
    random = np.random.default_rng(0)
    x = random.standard_normal(image)
    kernel = random.standard_normal((*kernel[:2], image[3], kernel[2]))
    return jnp.asarray(x, dtype), jnp.asarray(kernel, dtype)


@functools.partial(jax.jit, static_argnums=(0, 3, 4))
def output_and_gradients(function, x, kernel, stride, padding):
    y, pullback = jax.vjp(lambda x, k: function(x, k, stride, padding), x, kernel)
    cotangent = jnp.cos(jnp.arange(y.size)).reshape(y.shape).astype(y.dtype)
    return y, *pullback(cotangent)


def assert_close(actual, expected, tolerance=1e-5):
    assert jax.tree.map(jnp.shape, actual) == jax.tree.map(jnp.shape, expected)
    for a, e in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        assert a.dtype == e.dtype
        a, e = np.asarray(a, np.float64), np.asarray(e, np.float64)
        assert np.abs(a - e).max() <= tolerance * np.abs(e).max()


def assert_same_as_reference(image, kernel, stride, padding):
    x, k = operands(image, kernel)
    expected = output_and_gradients(reference, x, k, stride, padding)
    assert_close(output_and_gradients(convolve, x, k, stride, padding), expected)


@pytest.mark.parametrize(('image', 'kernel', 'stride', 'padding'), CASES.values(), ids=CASES.keys())
def test_output_and_both_gradients(image, kernel, stride, padding):
    assert_same_as_reference(image, kernel, stride, padding)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(
    image=st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9), st.integers(1, 5)),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4), st.sampled_from((1, 4, 16, 32))),
    stride=st.integers(1, 3),
    padding=st.integers(0, 2),
)
def test_any_shape(image, kernel, stride, padding):
    assume(all(image[1 + i] + 2 * padding >= kernel[i] for i in (0, 1)))
    assert_same_as_reference(image, kernel, stride, padding)


def test_by_hand():
    x = jnp.arange(1.0, 10.0).reshape(1, 3, 3, 1)  # 1 2 3 / 4 5 6 / 7 8 9
    kernel = jnp.array([[1.0, 10.0], [100.0, 1000.0]]).reshape(2, 2, 1, 1)
    y, pullback = jax.vjp(convolve, x, kernel)
    np.testing.assert_array_equal(y[0, :, :, 0], [[5421, 6532], [8754, 9865]])
    gradient_x, gradient_kernel = pullback(jnp.array([1.0, 0, 0, 2.0]).reshape(1, 2, 2, 1))
    np.testing.assert_array_equal(
        gradient_x[0, :, :, 0], [[1, 10, 0], [100, 1002, 20], [0, 200, 2000]]
    )
    np.testing.assert_array_equal(gradient_kernel[:, :, 0, 0], [[11, 14], [20, 23]])


def test_padding_is_symmetric_at_stride_2():
    x = jnp.arange(1.0, 17.0).reshape(1, 4, 4, 1)
    first_tap = jnp.zeros((3, 3, 1, 1)).at[0, 0].set(1.0)
    y = convolve(x, first_tap, stride=2, padding=1)  # windows start at pixels -1 and 1
    np.testing.assert_array_equal(y[0, :, :, 0], [[0, 0], [0, 6]])


@pytest.mark.parametrize(
    'shape', ['grouped columns', 'whole image', 'stage 3', 'three pieces of the batch']
)
def test_bfloat16(shape):
    image, kernel, stride, padding = CASES[shape]
    x, k = operands(image, kernel, jnp.bfloat16)
    exact = output_and_gradients(
        reference, x.astype(jnp.float32), k.astype(jnp.float32), stride, padding
    )
    actual = output_and_gradients(convolve, x, k, stride, padding)
    assert {a.dtype for a in actual} == {jnp.dtype(jnp.bfloat16)}
    assert_close([a.astype(jnp.float32) for a in actual], list(exact), tolerance=0.01)


@pytest.mark.parametrize(
    ('shape', 'kernels'), [('grouped columns', None), ('whole image', 0), ('stage 3', 0)]
)
def test_vmap(shape, kernels):
    image, kernel, stride, padding = CASES[shape]
    x, k = operands((2 * image[0], *image[1:]), kernel)
    x = x.reshape(2, *image)
    k = k if kernels is None else jnp.stack([k, -2 * k])

    def over(function):
        one = functools.partial(output_and_gradients, function, stride=stride, padding=padding)
        return jax.vmap(one, in_axes=(0, kernels))(x, k)

    assert_close(over(convolve), over(reference))


@pytest.mark.parametrize('size', [2, 4])
def test_in_nested_loops_with_checkpoint(size):
    channels = 16
    x, _ = operands((2, size, size, channels), (3, 3, channels))
    kernels = jnp.stack([operands(x.shape, (3, 3, channels))[1] * s for s in (0.1, -0.1, 0.2)])

    def train(function):
        @jax.checkpoint
        def block(x, kernel):
            return jnp.tanh(function(x, kernel, 1, 1)), None

        def loss(kernels):
            return jnp.sum(lax.scan(block, x, kernels)[0] ** 2)

        def step(state):
            return state[0] + 1, state[1] - 0.01 * jax.grad(loss)(state[1])

        return jax.jit(lambda k: lax.while_loop(lambda s: s[0] < 2, step, (0, k))[1])(kernels)

    assert_close(train(convolve), train(reference))


@pytest.mark.parametrize('shape', ['grouped columns', 'whole image', 'stage 3', 'pointwise'])
def test_gradient_of_gradient_and_jacobian_vector_product(shape):
    image, kernel, stride, padding = CASES[shape]
    x, k = operands(image, kernel)

    def loss(function, x):
        return jnp.sum(jnp.sin(function(x, k, stride, padding)))

    def of_product(function):
        return jax.jit(jax.grad(lambda x: jnp.sum(jax.grad(loss, 1)(function, x) ** 2)))(x)

    assert_close(of_product(convolve), of_product(reference))
    _, expected = jax.jvp(lambda x: reference(x, k, stride, padding), (x,), (jnp.cos(x),))

    @jax.jit
    def product(x, tangent):
        pullback = jax.vjp(lambda x: convolve(x, k, stride, padding), x)[1]
        return jax.vjp(pullback, jnp.zeros_like(expected))[1]((tangent,))[0]

    assert_close(product(x, jnp.cos(x)), expected)


def convolutions(function, platform, *arguments):
    """The convolutions of the program for a platform, without the names of their operands."""
    text = jax.jit(function).trace(*arguments).lower(lowering_platforms=(platform,)).as_text()
    assert 'dot_general' not in text
    return sorted(re.sub(r'%\w+', '', c) for c in re.findall(r'stablehlo.convolution.*', text))


@pytest.mark.parametrize('platform', ['cuda', 'tpu'])
@pytest.mark.parametrize('shape', ['grouped columns', 'whole image', 'stage 3', 'pointwise'])
def test_other_platforms_get_exactly_the_plain_convolution(platform, shape):
    image, kernel, stride, padding = CASES[shape]
    x, k = operands(image, kernel)

    def stated_by(function):
        def gradients(x, k):
            return jax.grad(lambda *a: jnp.sum(function(*a, stride, padding) ** 2), (0, 1))(x, k)

        forward = convolutions(lambda x, k: function(x, k, stride, padding), platform, x, k)
        return forward, convolutions(gradients, platform, x, k)

    forward, both = stated_by(convolve)
    assert (len(forward), len(both)) == (1, 3)
    assert (forward, both) == stated_by(reference)


def test_one_lowering_serves_all_platforms():
    x, k = operands((2, 2, 2, 3), (3, 3, 4))
    traced = jax.jit(lambda x, k: convolve(x, k, 1, 1)).trace(x, k)
    text = traced.lower(lowering_platforms=('cuda', 'tpu')).as_text()
    assert text.count('stablehlo.convolution') == 2  # one for each platform
    assert 'dot_general' not in text


def test_cpu_states_the_tiny_image_as_one_matrix_product():
    x, k = operands((2, 2, 2, 3), (3, 3, 4))
    text = jax.jit(lambda x, k: convolve(x, k, 1, 1)).lower(x, k).as_text()
    assert 'dot_general' in text
    assert 'stablehlo.convolution' not in text


@pytest.mark.parametrize(
    ('image', 'kernel', 'kernel_dtype', 'message'),
    [
        ((2, 4, 4, 3), (3, 3, 2, 5), jnp.float32, 'disagree'),
        ((2, 4, 4, 3), (3, 3, 3, 5), jnp.bfloat16, 'disagree'),
        ((4, 4, 3), (3, 3, 3, 5), jnp.float32, 'disagree'),
        ((2, 2, 4, 3), (3, 3, 3, 5), jnp.float32, 'does not fit'),
    ],
)
def test_wrong_operands(image, kernel, kernel_dtype, message):
    with pytest.raises(ValueError, match=message):
        convolve(jnp.zeros(image), jnp.zeros(kernel, kernel_dtype))


@pytest.mark.parametrize('shape', ['grouped columns', 'whole image', 'stage 3', 'pointwise'])
def test_second_derivatives(shape):
    """Of all kinds: in both operands, and across them."""
    image, kernel, stride, padding = CASES[shape]
    x, k = operands(image, kernel)

    def of_product(function):
        def loss(x, k):
            return jnp.sum(jnp.sin(function(x, k, stride, padding)))

        def size(x, k):
            return sum(jnp.sum(each**2) for each in jax.grad(loss, (0, 1))(x, k))

        return jax.jit(jax.grad(size, (0, 1)))(x, k)

    assert_close(of_product(convolve_twice), of_product(reference))
    expected = output_and_gradients(reference, x, k, stride, padding)
    assert_close(output_and_gradients(convolve_twice, x, k, stride, padding), expected)


def test_second_derivatives_in_a_scan():
    channels = 16
    x, _ = operands((2, 4, 4, channels), (3, 3, channels))
    kernels = jnp.stack([operands(x.shape, (3, 3, channels))[1] * s for s in (0.1, -0.1, 0.2)])

    def product(function):
        def loss(kernels):
            def block(x, kernel):
                return jnp.tanh(function(x, kernel, 1, 1)), None

            return jnp.sum(lax.scan(block, x, kernels)[0] ** 2)

        return jax.jit(jax.grad(lambda k: jnp.sum(jax.grad(loss)(k) * jnp.cos(k))))(kernels)

    assert_close(product(convolve_twice), product(reference))
