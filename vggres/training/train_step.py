"""One update and one evaluation: pure functions of a state and a batch."""

import jax
import jax.numpy as jnp
import optax
from flax import struct

from vggres.networks.network import Network


class TrainState(struct.PyTreeNode):
    """Everything that changes during training.

    Attributes:
        step: int32, the number of updates done.
        params: the learnable parameters, float32.
        batch_stats: the running averages of batch norm; empty for a network without it.
        opt_state: what the optimiser remembers.
    """

    step: jax.Array
    params: dict
    batch_stats: dict
    opt_state: optax.OptState

    @property
    def variables(self) -> dict:
        """The parameters and running averages, as `Network.apply` takes them."""
        return {'params': self.params, 'batch_stats': self.batch_stats}


def init_state(
    key: jax.Array,
    network: Network,
    optimizer: optax.GradientTransformation,
    image_shape: tuple[int, int, int],
) -> TrainState:
    """Draws a fresh state with He's random weights.

    Args:
        key: it decides the weights, which are the same ones for plain and residual networks.
        network: the network to train.
        optimizer: the optimiser whose state is created.
        image_shape: [height, width, channels].
    """
    variables = network.init(key, jnp.zeros((1, *image_shape)), train=False)
    params = variables['params']
    batch_stats = variables.get('batch_stats', {})
    return TrainState(jnp.zeros((), jnp.int32), params, batch_stats, optimizer.init(params))


def with_weights(state: TrainState, variables: dict) -> TrainState:
    """Replaces the weights of a state.

    Args:
        state: the state; modules that `variables` lacks, such as a new head, keep its weights.
        variables: 'params' and, with batch norm, 'batch_stats'.
    """
    variables = jax.tree.map(jnp.array, variables)  # copies, because training uses up its state
    return state.replace(
        params=state.params | variables['params'],
        batch_stats=state.batch_stats | variables.get('batch_stats', {}),
    )


def train_step(
    state: TrainState,
    images: jax.Array,
    labels: jax.Array,
    key: jax.Array,
    *,
    network: Network,
    optimizer: optax.GradientTransformation,
) -> tuple[TrainState, dict[str, jax.Array]]:
    """Does one update on the mean cross-entropy of a batch.

    Args:
        state: the state before the update.
        images: [batch, height, width, channels] float32.
        labels: [batch] int32.
        key: the random key of what dropout drops; every step has a key of its own.
        network: the network that computes the logits.
        optimizer: it holds schedule, momentum and weight decay.

    Returns:
        The state after the update, and three metrics of the batch as float32 scalars: `loss`,
        `error` in percent and `gradient_norm`, the Euclidean norm over all parameters without
        weight decay.
    """

    def loss_fn(params: dict) -> tuple[jax.Array, tuple]:
        variables = {'params': params, 'batch_stats': state.batch_stats}
        loss, logits, updated = training_loss(network, variables, images, labels, key)
        return loss, (logits, updated.get('batch_stats', {}))

    gradient_fn = jax.value_and_grad(loss_fn, has_aux=True)
    (loss, (logits, batch_stats)), gradients = gradient_fn(state.params)
    updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    metrics = {
        'loss': loss,
        'error': 100 * jnp.mean(logits.argmax(-1) != labels),
        'gradient_norm': optax.tree.norm(gradients),
    }
    return TrainState(state.step + 1, params, batch_stats, opt_state), metrics


def training_loss(
    network: Network,
    variables: dict,
    images: jax.Array,
    labels: jax.Array,
    key: jax.Array,
    mutable: tuple[str, ...] = ('batch_stats',),
) -> tuple[jax.Array, jax.Array, dict]:
    """Computes the loss of a batch in training mode.

    The function has six parameters because gradients are taken in `variables`, and observers ask
    for more mutable collections.

    Args:
        network: the network that computes the logits.
        variables: its variables, by collection.
        images: [batch, height, width, channels] float32.
        labels: [batch] int32.
        key: the random key of what dropout drops.
        mutable: the collections that the forward pass updates.

    Returns:
        The mean cross-entropy, a scalar; the logits [batch, num_classes]; and the updated
        collections.
    """
    logits, updated = network.apply(
        variables, images, train=True, rngs={'dropout': key}, mutable=mutable
    )
    loss = optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()
    return loss, logits, updated


def eval_step(
    state: TrainState, images: jax.Array, labels: jax.Array, *, network: Network
) -> tuple[jax.Array, jax.Array]:
    """Evaluates a batch in evaluation mode.

    Args:
        state: the state to evaluate.
        images: [batch, height, width, channels] float32, normalised.
        labels: [batch] int32.
        network: the network that computes the logits.

    Returns:
        The cross-entropy of each image [batch] float32, and whether it is classified wrongly
        [batch] bool.
    """
    logits = network.apply(state.variables, images, train=False)
    loss = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return loss, logits.argmax(-1) != labels
