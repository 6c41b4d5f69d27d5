"""The digits with 20 % random training labels: a training loss that does not fall to zero at once.

    python launch.py --config configs/digits_noise.py --sweep depth_tuned

On clean digits every network that trains ends without an error, so that the error cannot tell them
apart. Random labels have to be learnt one by one (Zhang et al. 2017, arXiv 1611.03530). All else is
as in `digits`; the validation and test labels are clean.

Time and expected result: not measured.
"""

from ml_collections import ConfigDict

from configs import digits


def get_config() -> ConfigDict:
    """What differs from `digits`."""
    config = digits.get_config()
    config.data.label_noise = 0.2
    return config
