"""Each language has a word for everything."""

import dataclasses
import re

import pytest

from vggres.findings.contrasts import LEVEL, MAX_N, POWER, Status, Word
from vggres.findings.languages import CHINESE, ENGLISH, LANGUAGES, SweepProtocol

PROTOCOL = SweepProtocol(
    finished=70,
    cells=72,
    data='digits',
    steps=(220, 220),
    depths=(8, 20),
    seeds=(3, 3),
    learning_rates=(0.1,),
    commits=('3f9c1a0',),
    hardware=('a CPU',),
)


@pytest.mark.parametrize('language', LANGUAGES, ids=lambda language: language.code)
def test_every_status_and_every_condition_has_its_words(language):
    assert set(language.statuses) == set(Status)
    assert len(set(language.statuses.values())) == len(Status)
    assert set(language.labels) == set(Word)
    assert len(set(language.labels.values())) == len(Word)  # no two alike
    assert set(language.answers) == {True, False, None}


@pytest.mark.parametrize('language', LANGUAGES, ids=lambda language: language.code)
def test_the_words_have_the_gaps_that_are_filled(language):
    gaps = {
        **dict.fromkeys(('frozen', 'equal', 'adjusted', 'bears_on'), 1),
        **dict.fromkeys(('too_many', 'one_is_none'), 1),
        **dict.fromkeys(('seeds', 'more_needed'), 2),
    }
    for field in dataclasses.fields(language):
        text = getattr(language, field.name)
        if isinstance(text, str):
            assert text.count('{}') == gaps.get(field.name, 0), field.name
    assert f'{MAX_N:,}' in language.too_many
    for level in (f'{LEVEL:g}', f'{100 * POWER:g}'):
        assert level in language.method


def test_conditions_are_labels_in_a_row():
    where = {'family': Word.PLAIN, 'depth': 56, 'budget': 3}
    assert ENGLISH.conditions(where) == 'plain networks, depth 56, budget 3×'
    assert CHINESE.conditions(where) == '普通网络，深度 56，预算 3×'
    assert ENGLISH.conditions({}) == ''


def test_words_that_favoured_the_story_are_gone():
    """A status is symmetric: none holds "at least", and none leaves a refutation undecided."""
    said = ' '.join(ENGLISH.statuses.values())
    for word in ('undecided', 'only', 'at least', 'does not hold'):
        assert word not in said


def test_a_protocol_is_a_sentence_and_one_is_singular():
    assert ENGLISH.note('depth', PROTOCOL) == (
        'depth: 70 of 72 cells finished, on digits, 220 updates per run, depths 8, 20, 3 seeds per '
        'network, one learning rate, 0.1; commit 3f9c1a0; a CPU.'
    )
    one = dataclasses.replace(
        PROTOCOL, finished=1, cells=1, steps=(1, 1), depths=(8,), seeds=(1, 1), commits=()
    )
    assert ENGLISH.note('depth', one) == (
        'depth: 1 of 1 cell finished, on digits, 1 update per run, depth 8, 1 seed per network, '
        'one learning rate, 0.1; commit not known; a CPU.'
    )
    grown = dataclasses.replace(
        PROTOCOL,
        steps=(220, 64_000),
        seeds=(1, 3),
        learning_rates=(0.01, 0.1),
        commits=('3f9c1a0', '5d2b7e1'),
    )
    said = ENGLISH.note('depth', grown)
    assert '220 to 64,000 updates per run, depths 8, 20, 1 to 3 seeds per network' in said
    assert 'learning rates 0.01, 0.1; commit 3f9c1a0 and 5d2b7e1' in said
    assert CHINESE.note('depth', grown) == (
        'depth：数据集 digits，已完成 70 / 72 个单元，每次训练 220 至 64,000 次更新，深度 8、20，'
        '每个网络 1 至 3 个随机种子，学习率 0.01、0.1；提交 3f9c1a0、5d2b7e1；a CPU。'
    )


def test_the_chinese_words_are_free_of_english_ones():
    names = {'VGG', 'He', 'Glorot', 'ReLU', 'Holm', 'zh'}
    texts = [*CHINESE.statuses.values(), *CHINESE.labels.values(), *CHINESE.headings]
    texts += [text for text in vars(CHINESE).values() if isinstance(text, str)]
    for text in texts:
        assert set(re.findall(r'[A-Za-z]{2,}', text)) <= names
