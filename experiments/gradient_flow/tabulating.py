"""The verdict on the gradient in numbers."""

from collections.abc import Iterator

from experiments.gradient_flow.analysis import FlowInTraining, FlowVerdict, NetworkFlow
from experiments.gradient_flow.names import AMONG, MOMENTS, called, distinct
from experiments.gradient_flow.question import NORMS
from vggres.findings import along_layers
from vggres.findings.tables import MISSING, Column, Table, interval, number, scientific


def tables(verdict: FlowVerdict) -> list[Table]:
    """The verdict in numbers: every network, and the correlations."""
    return [
        _gradient_table(verdict),
        _shape_table(verdict),
        _training_table(verdict),
        _weights_table(verdict),
        _correlation_table(verdict),
    ]


def _gradient_table(verdict: FlowVerdict) -> Table:
    return Table(
        title='The gradient that reaches the blocks before training',
        columns=(
            Column('network', words=True),
            Column('depth'),
            Column('training error (%)'),
            Column('size', words=True),
            Column('course', words=True),
            Column('predicted'),
            Column('finite width'),
            Column('decades shrunk'),
            Column(f'{100 * verdict.confidence:g} % CI'),
            Column('first / last'),
            Column('zeros'),
            Column('n'),
        ),
        rows=[_gradient_row(network) for network in verdict.networks],
        note='Decades shrunk: those by which the Euclidean norm of the gradient shrinks from the '
        'last block to the first, by a least-squares fit of its logarithm, with mean and interval '
        'over n draws of weights and batch; a negative number means that it grows. Predicted: the '
        'same fit through a profile that theory gives for wide layers, without looking at any '
        "measurement: from the variance of the weights, ReLU and the image's borders without a "
        'norm, and π / (π − 1) of the energy a layer with batch norm, which leaves out what '
        'borders do to its means. With shortcuts there is no closed form. Finite width: what the '
        'prediction lacks because the mean of a logarithm is below the logarithm of the mean, '
        'estimated from the spread of the n draws and therefore rough. "Shrinks" and "grows" mean '
        f'a change of more than {verdict.decades:g} decade. First / last: the ratio of the two '
        'ends. Zeros: blocks whose gradient is below the smallest float32 even though probes scale '
        'it up. A diverged run has the error of guessing.',
    )


def _gradient_row(network: NetworkFlow) -> list[str]:
    before = network.input_gradient.before
    return [
        called(network),
        str(network.depth),
        number(network.train_error, '.2f'),
        network.judgement,
        network.shape if network.judgement in ('shrinks', 'grows', 'vanishes') else MISSING,
        number(network.expected),
        number(network.finite_width),
        number(before.decades),
        interval(before.interval),
        scientific(before.first_to_last),
        f'{before.zeros:g}',
        str(before.n),
    ]


def _shape_table(verdict: FlowVerdict) -> Table:
    return Table(
        title='Is the course geometric? The slope in each part of the networks',
        columns=(
            Column('network', words=True),
            Column('depth'),
            Column('part', words=True),
            Column('decades a layer'),
            Column('deviation (%)'),
            Column('CI (%)'),
            Column('R²'),
            Column('n'),
        ),
        rows=[
            row
            for network in verdict.networks
            if network.judgement in ('shrinks', 'grows', 'vanishes')
            for row in _shape_rows(network)
        ],
        note='Networks whose gradient shrinks or grows before training. A part is a run of blocks '
        'whose inputs have one shape, height × width × channels. Last end: the slope of a parabola '
        'through all blocks in the last one; in the first one it deviates as far to the other '
        'side. Deviation: from the slope of the whole network, relative to that. The course is '
        'geometric where all intervals are within '
        f'{100 * verdict.unevenness:.0f} % and the line explains R² ≥ {verdict.r_squared:g} of the '
        'variance; it is uneven where one of them is beyond. The intervals hold together at '
        f'{100 * verdict.confidence:g} % for one network, over n draws.',
    )


def _shape_rows(network: NetworkFlow) -> Iterator[list[str]]:
    before = network.input_gradient.before
    for local in before.local:
        ends = local.interval and (100 * local.interval[0], 100 * local.interval[1])
        yield [
            called(network),
            str(network.depth),
            local.part,
            number(local.slope, '+.3f'),
            number(100 * local.deviation, '+.0f'),
            interval(ends, '+.0f'),
            number(before.r_squared),
            str(before.n),
        ]


def _training_table(verdict: FlowVerdict) -> Table:
    level = f'{100 * verdict.confidence:g} % CI'
    return Table(
        title='The gradient that reaches the blocks during training',
        columns=(
            Column('network', words=True),
            Column('depth'),
            Column('judged', words=True),
            Column('course', words=True),
            Column('decades shrunk'),
            Column(level),
            Column('whole profile fallen'),
            Column(level),
            Column('seeds'),
        ),
        rows=[_training_row(network) for network in verdict.training],
        note='Each seed counts once, with the median of its looks after the first update, because '
        f'looks at one run are not independent. Fewer than {along_layers.LEAST_SEEDS} seeds are '
        'described and not judged. Whole profile fallen: the decades by which the gradient of all '
        'blocks together, the mean of their logarithms, is lower at the last look than before the '
        'first update. No seed: the run diverged before it was observed again.',
    )


def _training_row(network: FlowInTraining) -> list[str]:
    found = network.gradient
    is_judged = network.judgement is not None
    return [
        called(network),
        str(network.depth),
        network.judgement or 'described',
        (network.shape if network.judgement in ('shrinks', 'grows') else None) or MISSING,
        number(found.decades),
        interval(found.interval) if is_judged else MISSING,
        number(network.fallen),
        interval(network.fallen_interval),
        str(found.n),
    ]


def _weights_table(verdict: FlowVerdict) -> Table:
    return Table(
        title='The weights before the first update',
        columns=(
            Column('network', words=True),
            Column('depth'),
            Column('gradient, decades shrunk'),
            Column('update / weights, decades shrunk'),
            Column('first layer'),
            Column('last layer'),
            Column('inputs, decades shrunk'),
        ),
        rows=[_weights_row(network) for network in verdict.networks],
        note='All are root mean squares, and decades count from the last layer or block to the '
        'first. Gradient: in the weights of layers. Update / weights: the ratio of the update, '
        'weight decay included, to the weights; without any gradient it is the learning rate times '
        'the weight decay. First and last layer: that ratio there. Inputs: of blocks.',
    )


def _weights_row(network: NetworkFlow) -> list[str]:
    update = network.update_ratio.before
    return [
        called(network),
        str(network.depth),
        number(network.weight_gradient.before.decades),
        number(update.decades),
        *map(scientific, update.ends),
        number(network.activation.before.decades),
    ]


def _correlation_table(verdict: FlowVerdict) -> Table:
    return Table(
        title='Does the shrinking go with the failure to train? Networks without shortcuts',
        columns=(
            Column('norm', words=True),
            Column('shrinking', words=True),
            Column('networks', words=True),
            Column('rank correlation'),
            Column(f'{100 * verdict.confidence:g} % CI'),
            Column('n'),
        ),
        rows=[
            [
                NORMS[found.norm],
                MOMENTS[found.moment],
                AMONG[found.among],
                number(found.correlation),
                interval(found.interval),
                str(found.n),
            ]
            for found in distinct(verdict)
        ],
        note="Spearman's correlation between the decades by which the gradient shrinks, before the "
        'first update or in the median observation after it, and the training error at the end, '
        'over depths, families and schemes of initialisation. Depth moves both, and what is '
        'observed during training may follow from the failure: neither number says what causes '
        'what.',
    )
