from experiments import surgery


def test_every_arm_is_told(finished):
    sweep = finished()
    verdict = surgery.analyse(sweep)
    assert set(surgery.figures(sweep, verdict)) == {'updates_by_treatment'}
    (table,) = surgery.tables(verdict)
    assert len(table.rows) == 14
    assert 'plain, equal gradients-14: cures' in surgery.words(verdict)


def test_before_any_run_there_is_nothing_to_say(begun):
    verdict = surgery.analyse(begun)
    assert surgery.figures(begun, verdict) == {}
    assert 'plain-14: not run yet.' in surgery.words(verdict)
