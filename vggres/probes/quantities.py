"""The table of all quantities that probes measure: their names, what they belong to, their titles.

Nothing here imports JAX, so that reports and figures can ask for a title at once.
"""

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True)
class Quantity:
    """What probes measure in a network.

    Attributes:
        name: the key in `probes.jsonl`.
        of: what its values belong to: 'layer', each layer with weights, or 'block', each block (and
            the stem and the head where they have a value), both along the main path; '' for values
            with names of their own, which are drawn by the experiment that asks for them.
        title: the heading of a figure.
        probe: what asks for it: '' for what is always measured, 'jacobians' for `probes.jacobians`,
            and otherwise the name of a probe in `probes.also`.
    """

    name: str
    of: str
    title: str
    probe: str = ''


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
#
# The length of a path is the number of residual branches that it goes through (see `paths`).
# Lesions are made in trained networks alone (see `lesion`).
_ALL = (
    Quantity('activation', 'block', 'Root mean square of the inputs of blocks'),
    Quantity('input_gradient', 'block', 'Root mean square of the gradient in the inputs of blocks'),
    Quantity('weight_gradient', 'layer', 'Root mean square of the gradient in the weights'),
    Quantity(
        'update_ratio', 'layer', 'Root mean square of the update, divided by that of the weights'
    ),
    Quantity(
        'spectral_norm', 'block', "Spectral norm of a block's Jacobian (a lower bound)", 'jacobians'
    ),
    Quantity(
        'mean_square_gain',
        'block',
        "Mean squared singular value of a block's Jacobian",
        'jacobians',
    ),
    Quantity(
        'identity_distance',
        'block',
        "Relative distance of a block's Jacobian from the identity",
        'jacobians',
    ),
    Quantity(
        'relu_distance',
        'block',
        "Relative distance of a block's Jacobian from that of its last ReLU",
        'jacobians',
    ),
    Quantity(
        'image_coupling',
        'block',
        'Jacobian between different images of a batch, relative to that of single images',
        'jacobians',
    ),
    Quantity(
        'chain_gain',
        'block',
        'Relative size of a random vector pulled back from the last block',
        'jacobians',
    ),
    Quantity(
        'path_norm',
        '',
        'Norm of the gradient along all paths of a length, relative to the whole',
        'paths',
    ),
    Quantity('path_share', '', 'Share of the gradient that takes paths of a length', 'paths'),
    Quantity(
        'path_single',
        '',
        'Norm of the gradient along a single path of a length, relative to the whole',
        'paths',
    ),
    Quantity('lesion_deleted', '', 'Validation error in % with one block deleted', 'lesion'),
    Quantity('lesion_several', '', 'Validation error in % with several blocks deleted', 'lesion'),
    Quantity('lesion_swapped', '', 'Validation error in % with blocks swapped', 'lesion'),
    Quantity('lesion_tau', '', "Kendall's τ between swapped and original order", 'lesion'),
    # The learning rate is that of the next update, and the angle is the one by which it turns the
    # kernel (see `effective_rate`).
    Quantity('weight_norm', 'layer', 'Euclidean norm of the weights', 'effective_rate'),
    Quantity(
        'weight_gradient_cosine',
        'layer',
        'Cosine between the weights and their gradient',
        'effective_rate',
    ),
    Quantity('turn', 'layer', 'Angle by which an update turns the weights', 'effective_rate'),
    Quantity(
        'effective_rate',
        'layer',
        'Learning rate divided by the squared norm of the weights',
        'effective_rate',
    ),
    Quantity(
        'gradient_correlation',
        'block',
        'Cosine between the gradients of different images in the inputs of blocks',
        'shattering',
    ),
    Quantity(
        'gradient_rank',
        'block',
        'Effective rank of the gradients of different images in the inputs of blocks',
        'shattering',
    ),
    Quantity(
        'neighbour_correlation',
        'block',
        'Cosine between the gradients of neighbouring points in the inputs of blocks',
        'shattering',
    ),
    Quantity(
        'gradient_autocorrelation',
        '',
        'Cosine between the gradients of two points, by their distance as a part of the line',
        'shattering',
    ),
    Quantity(
        'feature_cosine',
        'block',
        'Cosine between the features of different images in the inputs of blocks',
        'collapse',
    ),
    Quantity(
        'feature_rank',
        'block',
        'Effective rank of the features of different images in the inputs of blocks',
        'collapse',
    ),
    Quantity('response', 'layer', "Standard deviation of a layer's response", 'response'),
    Quantity('branch_size', 'block', 'Root mean square of the residual branch', 'response'),
    Quantity('shortcut_size', 'block', 'Root mean square of the shortcut', 'response'),
    Quantity('surface', '', 'Loss on a plane through the weights', 'landscape'),
    Quantity(
        'curvature', '', 'Largest eigenvalue of the Hessian of the training loss', 'curvature'
    ),
)

QUANTITIES: dict[str, Quantity] = {quantity.name: quantity for quantity in _ALL}
"""All quantities by name, in the order in which they are measured and shown."""


def names(jacobians: bool = False, also: Collection[str] = ()) -> tuple[str, ...]:
    """The names of the quantities that are measured.

    Args:
        jacobians: whether `probes.jacobians` asks for those of Jacobians.
        also: the further probes, as in `probes.also`.
    """
    asking = {'', *also, *(['jacobians'] if jacobians else [])}
    return tuple(q.name for q in QUANTITIES.values() if q.probe in asking)
