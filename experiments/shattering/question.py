"""Do the gradients of deep plain networks turn into noise, and do shortcuts prevent it?

The claim: the gradient of a network in its input changes with the input, and the more abruptly the
deeper a plain network is, until it looks like white noise although its size is healthy. Gradients
of residual networks keep what neighbouring inputs have in common. Balduzzi et al. 2017 ("The
Shattered Gradients Problem", arXiv 1702.08591, §3) derive that the correlation of gradients at two
inputs falls as 2^−L in feed-forward networks, as (3/4)^L with shortcuts, and as about 1/√L with
shortcuts and batch norm. L counts ReLUs in the first law and residual blocks, of one ReLU each, in
the other two.

What is compared with these laws is the gradient in the input of each block, for different images
(see `vggres.probes.shattering`): between it and the head lie L weighted layers of the main path, in
plain networks each with one ReLU behind it, so that 2^−L is compared like with like. Blocks here
have two layers, so that L/2 of them lie in between; the law of the paper is carried over to
branches with two ReLUs (`vggres.findings.random_networks`). It knows nothing of the ReLU behind the
addition, and inputs count as independent at every layer, as they are for a batch norm and not
without it, where images become alike (see the sweep `collapse`).

The claim would be refuted by plain networks whose correlation falls no faster by layer than that of
residual networks of the same depth. That shattering is *why* deep plain networks fail to train is
not shown here: for that, see the interventions.

Each network is observed before training, in several draws of its weights, and after it.
"""

from collections.abc import Iterator

from ml_collections import ConfigDict

from vggres.sweeps import before_after

TITLE = 'Shattered gradients'
CLAIM = (
    'Gradients of plain networks shatter with depth: the correlation between the gradients of '
    'different inputs falls faster with each layer than in residual networks.'
)
SOURCE = 'Balduzzi et al. 2017, The Shattered Gradients Problem, §3 (arXiv 1702.08591)'
VARIES = ('model.norm',)
PROBE = 'shattering'


def defaults(config: ConfigDict) -> dict[str, object]:
    """Three depths, three seeds, three draws of weights each; runs in epochs get five of them."""
    return before_after.defaults(config, PROBE)


def cells(config: ConfigDict) -> Iterator[tuple[str, ConfigDict]]:
    """Each family with and without batch norm at each depth, once per seed.

    Raises:
        UserError: for other families, or where not all blocks would be observed.
    """
    return before_after.cells(config, PROBE)
