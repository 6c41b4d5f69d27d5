"""Each language has a word for everything, and puts conditions as its speakers would."""

import dataclasses
import re

import pytest

from vggres.findings.claims import Finding, Status, Word
from vggres.findings.languages import CHINESE, ENGLISH, LANGUAGES, SweepProtocol, verdict_words

PROTOCOL = SweepProtocol(
    finished=70,
    cells=72,
    data='digits',
    epochs=10,
    steps=0,
    depths=(8, 20),
    seeds=(3, 3),
    learning_rate=0.1,
)


def said(status, conditions, language):
    return verdict_words(Finding(None, status, conditions, []), language)


@pytest.mark.parametrize('language', LANGUAGES, ids=lambda language: language.code)
def test_every_status_and_every_condition_has_its_words(language):
    assert set(language.statuses) == set(Status)
    assert set(language.labels) == set(language.conditions) == set(Word)
    assert len(set(language.labels.values())) == len(Word)  # no two alike
    assert len(set(language.conditions.values())) == len(Word)


ONE = [(Word.DURING_TRAINING,)]
EITHER = [(Word.HE,), (Word.GLOROT,)]
SHARED = [
    (Word.POSTACTIVATION_WITHOUT_RELU, Word.AFTER_TRAINING),
    (Word.PREACTIVATION, Word.AFTER_TRAINING),
]
BOTH = [(Word.NO_NORM, Word.BEFORE_TRAINING)]


@pytest.mark.parametrize(
    ('status', 'conditions', 'english', 'chinese'),
    [
        (Status.HOLDS, [], 'holds', '成立'),
        (Status.FAILS, [], 'does not hold', '不成立'),
        (Status.ONLY_IF, ONE, 'holds only during training', '仅在以下情形成立：训练中'),
        (
            Status.HOLDS_IF,
            EITHER,
            'holds at least with He initialisation, or with Glorot initialisation',
            '至少在以下情形成立：采用 He 初始化；或采用 Glorot 初始化',
        ),
        (
            Status.HOLDS_IF,
            SHARED,
            'holds at least after training: for postactivation blocks if the final ReLU is '
            'excluded, or for preactivation blocks',
            '至少在以下情形成立：训练后，且满足其一：不计末端 ReLU 的后激活块；或预激活块',
        ),
        (
            Status.ONLY_IF,
            BOTH,
            'holds only before training without a norm',
            '仅在以下情形成立：训练前且无归一化',
        ),
        (Status.ONLY_IF, [(56,)], 'holds only at depth 56', '仅在以下情形成立：深度 56'),
    ],
)
def test_conditions_are_said_as_one_would(status, conditions, english, chinese):
    assert said(status, conditions, ENGLISH) == english
    assert said(status, conditions, CHINESE) == chinese


def test_a_protocol_is_a_sentence_and_one_is_singular():
    assert ENGLISH.note('depth', PROTOCOL) == (
        'depth: 70 of 72 cells finished, on digits, 10 epochs per run, depths 8, 20, 3 seeds per '
        'network, one learning rate, 0.1.'
    )
    one = dataclasses.replace(PROTOCOL, finished=1, cells=1, epochs=1, depths=(8,), seeds=(1, 1))
    assert ENGLISH.note('depth', one) == (
        'depth: 1 of 1 cell finished, on digits, 1 epoch per run, depth 8, 1 seed per network, one '
        'learning rate, 0.1.'
    )
    grown = dataclasses.replace(PROTOCOL, seeds=(1, 3))
    assert 'depths 8, 20, 1 to 3 seeds per network' in ENGLISH.note('depth', grown)
    assert '每个网络 1 至 3 个随机种子' in CHINESE.note('depth', grown)
    steps = dataclasses.replace(PROTOCOL, epochs=0, steps=64_000)
    assert '64,000 updates per run' in ENGLISH.note('depth', steps)
    assert '每次训练 64,000 次更新' in CHINESE.note('depth', steps)


def test_the_chinese_words_are_free_of_english_ones():
    table = [*CHINESE.statuses.values(), *CHINESE.labels.values(), *CHINESE.conditions.values()]
    names = {'VGG', 'He', 'Glorot', 'ReLU'}
    for words in (CHINESE.title, CHINESE.run, CHINESE.caption, CHINESE.origin, *table):
        assert set(re.findall(r'[A-Za-z]{2,}', words)) <= names
