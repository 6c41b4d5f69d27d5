import json

from vggres.cell import Cell
from vggres.run import run


def test_a_cell_leaves_config_metrics_and_result(config, tmp_path):
    cell = Cell(config, tmp_path, 'depth')
    records, progress = [], []
    result = run(cell, records.append, lambda step, total: progress.append((step, total)))
    assert json.loads((cell.directory / 'config.json').read_text())['model']['depth'] == 8
    lines = (cell.directory / 'metrics.jsonl').read_text().splitlines()
    assert [json.loads(line) for line in lines] == records
    assert {
        'epoch',
        'step',
        'learning_rate',
        'gradient_norm',
        'images_per_second',
        'train/loss',
        'train/error',
        'validation/loss',
        'validation/error',
    } <= set(records[0])
    assert progress[-1] == (10, 10)
    assert cell.result() == json.loads(json.dumps(result))
    assert result['family'] == 'resnet'
    assert result['steps'] == 10
    # Stem 9·3·2, stages of 2, 4 and 8 channels, norms, and a head of 8·4 + 4.
    convolutions = 9 * (3 * 2 + 2 * 2 * 2 + 2 * 4 + 4 * 4 + 4 * 8 + 8 * 8)
    norms = 2 * (2 + 2 * 2 + 2 * 4 + 2 * 8)
    assert result['parameters'] == convolutions + norms + 8 * 4 + 4


def test_the_same_cell_gives_the_same_numbers_and_a_second_seed_compiles_nothing(config, tmp_path):
    timings = ('seconds', 'compile_seconds')
    first = run(Cell(config, tmp_path / 'a', ''))
    config.seed = 1
    second = run(Cell(config, tmp_path / 'b', ''))
    assert second['compile_seconds'] < 0.1
    config.seed = 0
    again = run(Cell(config, tmp_path / 'c', ''))
    for key in timings:
        del first[key], again[key]
    assert first == again
    assert second['train_loss'] != first['train_loss']


def test_a_second_attempt_starts_its_metrics_afresh(config, tmp_path):
    cell = Cell(config, tmp_path, '')
    cell.directory.mkdir(parents=True)
    (cell.directory / 'metrics.jsonl').write_text('{"epoch": 1}\n{"epo')
    run(cell)
    lines = (cell.directory / 'metrics.jsonl').read_text().splitlines()
    assert [json.loads(line)['epoch'] for line in lines] == [1, 2]


def test_a_diverged_cell_is_done(config, tmp_path):
    config.optimizer.learning_rate, config.optimizer.warmup = 1e30, 'none'
    cell = Cell(config, tmp_path, '')
    run(cell)
    result = cell.result()
    assert result['status'] == 'diverged'
    assert result['train_error'] == 75
