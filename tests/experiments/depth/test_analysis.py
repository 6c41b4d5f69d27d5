"""Planted errors are judged by the training error of each family."""

from experiments import depth


def test_the_verdict_is_on_the_training_error_of_each_family(sweep):
    verdict = depth.analyse(sweep)
    assert verdict.metric == 'train_error'
    assert verdict.learning_rate == 0.1
    assert verdict.variants['plain'].verdict == 'degrades'
    assert verdict.variants['plain'].excess_error == 41
    assert verdict.variants['resnet'].verdict == 'inconclusive'  # three seeds rule no failure out
