"""Says a verdict on depth in words, for the terminal and the report."""

from collections.abc import Sequence

from vggres.findings.estimates import Median
from vggres.findings.outcomes import MIN_SEEDS
from vggres.findings.phrases import interval_in_words, p_in_words, points
from vggres.findings.verdict import METRIC_WORDS, DepthOutcome, Difference, VariantVerdict, Verdict


def in_words(verdict: Verdict) -> str:
    """Says a verdict, one finding per line, for the terminal and the report."""
    if not verdict.variants:
        return 'There are no results to judge.'
    sentences = [_basis(verdict)]
    for variant, judged in verdict.variants.items():
        sentences.append(f'{variant}: {judged.verdict}. {judged.reason}')
        sentences += [f'{variant}: {said}' for said in _details(verdict, judged) if said]
    for difference in verdict.differences:
        if difference.n >= MIN_SEEDS:
            sentences.append(_difference_in_words(difference))
    return '\n'.join(sentences)


def in_short(verdict: Verdict) -> dict[str, str]:
    """The status of each variant, by its name."""
    return {variant: judged.verdict for variant, judged in verdict.variants.items()}


def _basis(verdict: Verdict) -> str:
    """What the verdict rests on, and what a failure is."""
    protocol = []
    if verdict.learning_rate is not None:
        protocol.append(f'one learning rate ({verdict.learning_rate:g})')
    if verdict.updates is not None:
        protocol.append(f'one budget ({verdict.updates:,} updates)')
    at = ' and '.join(protocol)
    said = f'The verdict rests on the final {METRIC_WORDS[verdict.metric]}'
    said += f' at {at}' if at else ''
    said += '; differences are in percentage points.'
    if verdict.failing_error is not None:
        said += (
            f' A run has failed to train if it diverged, or if its training error is '
            f'{verdict.failing_error:g} % or more, half of that of guessing.'
        )
    return said


def _details(verdict: Verdict, judged: VariantVerdict) -> list[str]:
    """Sentences on failures, on the training loss and on the speed of training."""
    failing = [each for each in judged.networks if each.failed]
    failed = ', '.join(f'{each.failed} of {each.n} at depth {each.depth}' for each in failing)
    return [
        f'runs that failed to train: {failed or "none"}.' if judged.networks else '',
        _loss_in_words(judged),
        _speed_in_words(verdict, judged.networks),
    ]


def _loss_in_words(judged: VariantVerdict) -> str:
    loss = judged.loss
    if loss is None or judged.n < MIN_SEEDS:
        return ''
    ends = {judged.deepest, judged.best_shallower}
    at_floor = all(each.highest_error == 0 for each in judged.networks if each.depth in ends)
    floor = 'the error is at its floor, 0 %, at both depths. ' if at_floor else ''
    start = 'The' if floor else 'the'
    interval = loss.confidence_interval
    spread = f'{interval_in_words(interval)}, ' if interval else ''
    side = 'lower' if loss.decades < 0 else 'higher'
    return (
        f'{floor}{start} training loss, which has no floor, is {side} at depth {judged.deepest} '
        f'than at depth {loss.best_shallower}, the shallower network with the lowest loss, by '
        f'{abs(loss.decades):.2f} decades ({spread}n = {loss.n}).'
    )


def _speed_in_words(verdict: Verdict, networks: Sequence[DepthOutcome]) -> str:
    known = [(each.depth, each.updates) for each in networks if each.updates]
    if not known:
        return ''
    said = ', '.join(f'{updates_in_words(updates)} at depth {depth}' for depth, updates in known)
    return (
        f'median number of updates to {verdict.target_error:g} % training error, looked at every '
        f'{verdict.resolution} updates: {said}.'
    )


def updates_in_words(updates: Median) -> str:
    """A median number of updates: '44', or 'more than 220' where the runs did not get there."""
    return f'{"more than " * updates.is_exceeded}{updates.value:,.0f}'


def _difference_in_words(difference: Difference) -> str:
    (first, second), (mine, others) = difference.variants, difference.failed
    said = (
        f'At depth {difference.depth}, the deepest that both have, {first} failed to train in '
        f'{mine} of {difference.n} runs and {second} in {others} of {difference.n}'
    )
    said += f' (exact test: {p_in_words(difference.failure_p)}).' if mine > others else '.'
    if difference.trained >= MIN_SEEDS:
        interval = difference.confidence_interval
        spread = f'{interval_in_words(interval)}, ' if interval else ''
        said += (
            f' Where both trained, {first} has {points(difference.excess_error)} excess error '
            f'than {second} ({spread}n = {difference.trained}).'
        )
    return said
