"""The first stage, and what does not suit the question, which is one line."""

import pytest

from experiments import surgery
from experiments.surgery.question import all_arms
from vggres.errors import UserError


def test_each_arm_changes_one_thing(asked, begun):
    changed = {
        arm: {key: value for key, value in knobs.items() if key != 'model.family'}
        for arm, knobs in all_arms(asked).items()
    }
    assert len(changed) == 2 + 2 * 6
    assert changed['plain'] == changed['resnet'] == {}
    assert {len(knobs) for arm, knobs in changed.items() if ',' in arm} == {1}
    assert changed['resnet, first layers frozen'] == {'optimizer.frozen_first': 4}  # 14 // 3
    assert len({cell.id for cell in begun.cells}) == len(begun.cells) == 14 * 3
    assert {cell.config.seed for cell in begun.cells} == {1000}


@pytest.mark.parametrize(
    ('knob', 'value', 'message'),
    [
        ('sweep.families', ('plain',), 'leave sweep.families'),
        ('optimizer.clip_norm', 2.0, 'sets optimizer.clip_norm itself'),
        ('optimizer.layerwise', 'equal_gradients', 'sets optimizer.layerwise itself'),
        ('optimizer.frozen_last', 2, 'sets optimizer.frozen_last itself'),
        ('sweep.rates', (0.1,), '3 or more'),
    ],
)
def test_what_does_not_suit_the_question_is_one_line(asked, knob, value, message):
    asked.update_from_flattened_dict({knob: value})
    with pytest.raises(UserError, match=message):
        list(surgery.cells(asked))
