"""One update and one evaluation: pure functions of a state and a batch."""

import flax
import jax
import jax.numpy as jnp
import optax

from vggres.networks import initialisation
from vggres.networks.network import Network


class TrainState(flax.struct.PyTreeNode):
    """All that changes during training; `step` counts updates done."""

    step: jax.Array
    params: dict
    batch_stats: dict
    opt_state: optax.OptState


def init_state(
    key: jax.Array,
    network: Network,
    optimizer: optax.GradientTransformation,
    image_shape: tuple[int, int, int],
    scheme: int | jax.Array = 0,
) -> TrainState:
    """A fresh state; the key decides the weights, the same ones for plain and residual.

    `scheme` is their variance, an index in `config.INIT_SCHEMES`.
    """
    variables = network.init(key, jnp.zeros((1, *image_shape)), train=False)
    params = initialisation.rescaled(variables['params'], scheme)
    batch_stats = variables.get('batch_stats', {})
    return TrainState(jnp.zeros((), jnp.int32), params, batch_stats, optimizer.init(params))


def with_weights(state: TrainState, variables: dict) -> TrainState:
    """The state with other weights; modules that `variables` lacks, a new head, keep theirs."""
    variables = jax.tree.map(jnp.array, variables)  # copies: training donates its state
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
    """One update on the mean cross-entropy of a batch.

    Args:
        state: before the update.
        images: [batch, height, width, channels] float32.
        labels: [batch] int32.
        key: of what dropout drops, another one each step.
        network: gives the logits.
        optimizer: holds schedule, momentum and weight decay.

    Returns:
        The state after the update, and of the batch `loss`, `error` in percent and
        `gradient_norm` (Euclidean, over all parameters, without weight decay).
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
    """Mean cross-entropy of a batch in training mode, its logits, and the updated collections."""
    logits, updated = network.apply(
        variables, images, train=True, rngs={'dropout': key}, mutable=mutable
    )
    loss = optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()
    return loss, logits, updated


def eval_step(
    state: TrainState, images: jax.Array, labels: jax.Array, *, network: Network
) -> tuple[jax.Array, jax.Array]:
    """Of each image, in evaluation mode: cross-entropy, and whether it is wrong, both [batch]."""
    variables = {'params': state.params, 'batch_stats': state.batch_stats}
    logits = network.apply(variables, images, train=False)
    loss = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return loss, logits.argmax(-1) != labels
