from dataclasses import dataclass

from vggres.findings import cures_telling
from vggres.findings.fastest import TunedRate

RATE = TunedRate(0.01, (0.003, 0.01, 0.03), {}, '', 1)
EDGE = TunedRate(0.1, (0.01, 0.03, 0.1), {}, 'highest', 1)
UPDATES = {
    ('plain', 44): {0: 300, 1: 250, 2: 270},
    ('resnet', 44): {0: 40, 1: 45, 2: 35},
    ('plain, equal', 44): {0: 44, 1: 46, 2: 40},
    ('plain, clipped', 44): {0: None, 1: None, 2: None},
}
TREATED = dict.fromkeys(('plain, equal', 'plain, clipped', 'plain, late'), ('plain', 'resnet'))


def planted():
    tuned = dict.fromkeys([*UPDATES, ('plain, late', 44)], RATE) | {('plain, equal', 44): EDGE}
    return cures_telling.verdict(UPDATES, tuned, TREATED, '5', 600)


def test_each_treated_network_is_judged_by_its_two_others():
    found = planted()
    statuses = {each.arm: each.cure and each.cure.status for each in found.arms}
    assert statuses == {
        'plain': None,
        'resnet': None,
        'plain, equal': 'cures',
        'plain, clipped': 'harms',
        'plain, late': None,
    }
    assert found.outcome('plain, late', 44) is None
    assert found.outcome('plain, equal', 44).updates[1] == 46


def test_the_words_give_medians_factors_and_edges():
    lines = cures_telling.words(planted()).splitlines()
    assert lines[0] == 'plain-44: 270 updates in the median of 3 runs.'
    assert lines[1] == 'resnet-44: 40 updates in the median of 3 runs.'
    # ∛(44/40 · 46/45 · 40/35) = 1.087; ∛(44/300 · 46/250 · 40/270) = 0.159.
    assert lines[2].startswith('plain, equal-44: cures (less than 2 times slower')
    assert '1.09 (' in lines[2]
    assert ' 0.16 (' in lines[2]
    assert lines[2].endswith('n = 3; its rate is the highest of the grid.')
    # 600 stands in the place of each censored run: ∛(600/300 · 600/250 · 600/270) = 2.201.
    assert '≥ 2.20 (' in lines[3]
    assert 'within a budget of 600' in lines[-1]
    assert len(lines) == 5


def test_most_runs_beyond_the_budget_are_said_so():
    gone = UPDATES | {('plain', 44): {0: 300, 1: None, 2: None}}
    found = cures_telling.verdict(gone, dict.fromkeys(gone, RATE), TREATED, '5', 600)
    first = cures_telling.words(found).splitlines()[0]
    assert first == 'plain-44: 1 of 3 runs reaches 5 % training error.'


def test_the_median_is_known_where_more_than_half_of_the_runs_arrive():
    """Of 40, 60 and an unknown number above 600 it is 60; of 40 and an unknown one it is not."""
    runs = {
        ('known', 44): {0: 60, 1: None, 2: 40},
        ('unknown', 44): {0: 40, 1: None},
        ('between', 44): {0: 40, 1: 50, 2: 60, 3: None},
        ('none', 44): {},
    }
    found = cures_telling.verdict(runs, dict.fromkeys(runs, RATE), {}, '5', 600)
    medians = {each.label: (each.median_updates, each.reached) for each in found.arms}
    assert medians == {
        'known-44': (60, 2),
        'unknown-44': (None, 1),
        'between-44': (55, 3),
        'none-44': (None, 0),
    }
    assert {each.status for each in found.arms} == {'reference'}


def test_an_arm_without_runs_at_the_greatest_depth_is_not_there():
    updates = UPDATES | {('resnet', 20): {0: 20}, ('vgg', 20): {0: 30}}
    found = cures_telling.verdict(updates, dict.fromkeys(updates, RATE), TREATED, '5', 600)
    assert found.greatest_depth == 44
    assert found.deepest('resnet').updates == {0: 40, 1: 45, 2: 35}
    assert found.deepest('vgg') is None
    nothing = cures_telling.verdict({}, {}, TREATED, '5', 600)
    assert (nothing.greatest_depth, nothing.deepest('resnet')) == (0, None)


def test_the_table_has_a_row_for_each_arm():
    table = cures_telling.table(planted())
    assert cures_telling.tables(planted()) == [table]
    assert all(len(row) == len(table.columns) for row in table.rows)
    assert table.rows[0][:5] == ['plain', '44', '0.01', '270', '3 of 3']
    assert table.rows[3][3:5] == ['–', '0 of 3']
    assert [row[7] for row in table.rows[:4]] == ['reference', 'reference', 'cures', 'harms']


def test_the_figure_leaves_out_what_was_not_run():
    (ax,) = cures_telling.figure(planted()).axes
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names == ['plain', 'resnet', 'plain, equal', 'plain, clipped']
    assert cures_telling.figure(cures_telling.verdict({}, {}, TREATED, '5', 600)) is None


def test_the_figure_has_its_name_and_caption_as_soon_as_a_run_was_judged():
    ((name, (figure, caption)),) = cures_telling.figures(planted(), 'updates', 'Some.').items()
    assert (name, caption) == ('updates', 'Some.')
    assert figure.axes[0].get_title(loc='left') == 'depth 44'
    nothing = cures_telling.verdict({}, {}, TREATED, '5', 600)
    assert cures_telling.figures(nothing, 'updates', 'Some.') == {}


def test_arms_are_found_within_the_verdict_of_any_sweep():
    @dataclass
    class More:
        count: int
        starts: cures_telling.ArmsVerdict | None

    found = planted()
    assert cures_telling.within(found) is found
    assert cures_telling.within(More(1, found)) is found
    assert cures_telling.within(More(1, None)) is None
