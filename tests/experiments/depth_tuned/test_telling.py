"""What a verdict says in words, tables and figures."""

from experiments import depth_tuned


def test_a_whole_sweep_is_told(config, tmp_path, world):
    sweep, _ = world.whole(world.begun(config, tmp_path))
    verdict = depth_tuned.analyse(sweep)
    said = depth_tuned.words(verdict)
    assert 'plain: shrinks with budget.' in said
    assert depth_tuned.in_short(verdict)['plain'] == 'shrinks with budget'
    assert 'edge of the grid' not in said
    for table in depth_tuned.tables(verdict):
        assert all(len(row) == len(table.columns) for row in table.rows)
    drawn = depth_tuned.figures(sweep, verdict)
    assert list(drawn) == ['gap_against_budget', 'loss_against_rate_1x', 'loss_against_rate_3x']


def test_a_sweep_that_has_just_begun_is_told_too(config, tmp_path, world):
    sweep = world.begun(config, tmp_path)
    world.finish(sweep.cells[:7], sweep)
    verdict = depth_tuned.analyse(sweep)
    assert verdict.gaps == ()
    assert 'plain: inconclusive.' in depth_tuned.words(verdict)
    assert list(depth_tuned.figures(sweep, verdict)) == ['loss_against_rate_1x']
    assert depth_tuned.tables(verdict)
