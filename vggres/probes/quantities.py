"""The table of all quantities that probes measure: their names, what they belong to, their titles.

Nothing here imports JAX, so that reports and figures can ask for a title at once.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Quantity:
    """What probes measure in the layers or blocks of a network.

    Attributes:
        name: the key in `probes.jsonl`.
        of: what stands along the main path: 'layer', each layer with weights, or 'block', each
            block (and the stem and the head where they have a value).
        title: the heading of a figure.
        jacobian: whether it is measured only where `probes.jacobians` asks for it.
    """

    name: str
    of: str
    title: str
    jacobian: bool = False


# The first four are root mean squares over all elements. The loss is the batch's mean. The gradient
# in the input of a block reaches it through its branch and its shortcut, that in the input of a
# layer through this layer alone.
#
# J stands for the Jacobian of a block for one image, in evaluation mode (see `jacobian`); what is
# measured of it is averaged over a few images. The distances are ‖J − I‖ / ‖I‖ and ‖J − D‖ / ‖D‖ in
# Frobenius norm, where D, the Jacobian of the block's last ReLU, zeroes what that ReLU closes (it
# is I for a preactivation block, which ends without a ReLU). They are not numbers where a block
# changes the shape of its input. The gain is ‖J‖² by the number of inputs. The coupling alone
# belongs to training mode. Earlier versions looked at the Jacobian of a batch in training mode;
# the names differ from theirs, so that no file is read as what it is not.
_ALL = (
    Quantity('activation', 'block', 'Root mean square of the inputs of blocks'),
    Quantity('input_gradient', 'block', 'Root mean square of the gradient in the inputs of blocks'),
    Quantity('weight_gradient', 'layer', 'Root mean square of the gradient in the weights'),
    Quantity(
        'update_ratio', 'layer', 'Root mean square of the update, divided by that of the weights'
    ),
    Quantity('spectral_norm', 'block', "Spectral norm of a block's Jacobian (a lower bound)", True),
    Quantity(
        'mean_square_gain', 'block', "Mean squared singular value of a block's Jacobian", True
    ),
    Quantity(
        'identity_distance',
        'block',
        "Relative distance of a block's Jacobian from the identity",
        True,
    ),
    Quantity(
        'relu_distance',
        'block',
        "Relative distance of a block's Jacobian from that of its last ReLU",
        True,
    ),
    Quantity(
        'image_coupling',
        'block',
        'Jacobian between different images of a batch, relative to that of single images',
        True,
    ),
    Quantity(
        'chain_gain',
        'block',
        'Relative size of a random vector pulled back from the last block',
        True,
    ),
)

QUANTITIES: dict[str, Quantity] = {quantity.name: quantity for quantity in _ALL}
"""All quantities by name, in the order in which they are measured and shown."""


def names(jacobians: bool) -> tuple[str, ...]:
    """The names of the quantities that are measured with or without Jacobians.

    Args:
        jacobians: whether `probes.jacobians` asks for them.
    """
    return tuple(q.name for q in QUANTITIES.values() if jacobians or not q.jacobian)
