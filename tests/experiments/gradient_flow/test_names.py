"""What networks are called."""

import pytest

from experiments.gradient_flow.names import deepest


@pytest.mark.parametrize(
    ('networks', 'expected'),
    [
        ([('plain', 8), ('plain', 56), ('vgg', 8), ('vgg', 20)], 8),
        ([('plain', 8), ('plain', 20), ('vgg', 20), ('vgg', 8)], 20),
        ([('plain', 8), ('vgg', 20)], 20),  # they share none
        ([], 0),
    ],
)
def test_the_greatest_depth_is_one_that_all_variants_have(networks, expected):
    assert deepest(networks) == expected
