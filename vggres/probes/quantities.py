"""What probes measure: the one table of quantities. No JAX."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Quantity:
    """A number that an observation holds for each layer or block.

    Attributes:
        name: its key in an observation.
        of: 'layer' or 'block': what stands along the main path.
        title: what figures call it.
        jacobian: whether it belongs to a block's local Jacobian, measured where asked for.
    """

    name: str
    of: str
    title: str
    jacobian: bool = False


QUANTITIES = {
    quantity.name: quantity
    for quantity in (
        Quantity('activation', 'block', 'Root mean square of the inputs of blocks'),
        Quantity(
            'input_gradient', 'block', 'Root mean square of the gradient in the inputs of blocks'
        ),
        Quantity('weight_gradient', 'layer', 'Root mean square of the gradient in the weights'),
        Quantity(
            'update_ratio', 'layer', 'Root mean square of the update, over that of the weights'
        ),
        Quantity(
            'largest_singular_value', 'block', "Largest singular value of a block's Jacobian", True
        ),
        Quantity(
            'smallest_singular_value',
            'block',
            "Smallest singular value of a block's Jacobian, from above",
            True,
        ),
        Quantity(
            'mean_squared_singular_value',
            'block',
            "Mean squared singular value of a block's Jacobian",
            True,
        ),
        Quantity(
            'distance_from_identity',
            'block',
            "Distance of a block's Jacobian from the identity, relative",
            True,
        ),
        Quantity(
            'distance_from_relu',
            'block',
            "Distance of a block's Jacobian from that of its last ReLU, relative",
            True,
        ),
        Quantity(
            'chain',
            'block',
            'What the blocks to the last pull a random vector back to, relative',
            True,
        ),
    )
}
