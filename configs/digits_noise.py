"""The digits with 20 % random training labels: a training loss that does not fall to zero at once.

    python launch.py --config configs/digits_noise.py --sweep depth_tuned

On clean digits every network that trains ends without an error, so that the error cannot tell them
apart. Random labels have to be learnt one by one (Zhang et al. 2017, arXiv 1611.03530). All else is
as in `digits`; the validation and test labels are clean.

Time: 58 minutes for 121 cells on two cores (AVX2), beside other work. Expected result: with 660
updates plain-56 degrades by 26 points, and no residual network errs by more than 1 %; with 220
updates ResNet-56 degrades too, so that the budget is insufficient.
"""

from ml_collections import ConfigDict

from configs import digits


def get_config() -> ConfigDict:
    """What differs from `digits`."""
    config = digits.get_config()
    config.data.label_noise = 0.2
    return config
