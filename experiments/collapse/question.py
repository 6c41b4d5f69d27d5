"""Do the features of different images become alike with depth, and do shortcuts prevent it?

The claim: every layer with random weights and a ReLU brings the features of different images closer
together, so that deep plain networks end with one direction for all of them, from which no head can
read a label; shortcuts carry the differences along. The first half is a closed form without norm:
the cosine c of two inputs becomes (√(1 − c²) + (π − arccos c) c) / π in a wide layer (Cho & Saul
2009; Poole et al. 2016, arXiv 1606.05340; Daniely et al. 2016, arXiv 1602.05897), which exceeds c
and tends to 1. With batch norm, which subtracts what the images of a batch have in common, it does
not apply (Daneshmand et al. 2020, arXiv 2003.01652).

Compared are the features in the input of each block (see `vggres.probes.collapse`), for different
images of a batch. The closed form holds for wide layers and single pixels; here it starts from the
cosine that is measured in the input of the first block, and stands beside plain networks without
norm. Averages over pixels, borders and some tens of channels make measured cosines differ from it.

The claim would be refuted by plain networks whose cosine in the last block is no larger than that
of residual networks of the same depth.

Each network is observed before training, in several draws of its weights, and after it.
"""

from collections.abc import Iterator

from ml_collections import ConfigDict

from vggres.sweeps import before_after

TITLE = 'Collapsed features'
CLAIM = (
    'Features of deep plain networks collapse onto one direction, the mean cosine between images '
    'tends to 1, and those of residual networks do not.'
)
SOURCE = (
    'Poole et al. 2016, Exponential expressivity in deep neural networks (arXiv 1606.05340); '
    'Daneshmand et al. 2020, Batch Normalization Provably Avoids Rank Collapse (arXiv 2003.01652)'
)
VARIES = ('model.norm',)
PROBE = 'collapse'


def defaults(config: ConfigDict) -> dict[str, object]:
    """Three depths, three seeds, three draws of weights each; runs in epochs get five of them."""
    return before_after.defaults(config, PROBE)


def cells(config: ConfigDict) -> Iterator[tuple[str, ConfigDict]]:
    """Each family with and without batch norm at each depth, once per seed.

    Raises:
        UserError: for other families, or where not all blocks would be observed.
    """
    return before_after.cells(config, PROBE)
