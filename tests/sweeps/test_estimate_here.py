import time

import pytest

from vggres import config as configuration
from vggres.data import tfds
from vggres.errors import UserError
from vggres.networks import spec
from vggres.sweeps import estimate_here
from vggres.sweeps.cell import Cell

HLO = """
HloModule jit_step

%fused (p: f32[2]) -> f32[2] {
  ROOT %c = f32[2] convolution(%p), backend_config={"estimated_cycles":"1000000"}
}

%inner_condition (arg: (s32[], f32[2])) -> pred[] {
  %limit = s32[]{:T(128)} constant(3)
  ROOT %lt = pred[] compare(%i, %limit), direction=LT
}

%inner_body (arg: (s32[], f32[2])) -> (s32[], f32[2]) {
  %f = f32[2] fusion(%x), calls=%fused, backend_config={"estimated_cycles":"10","other":"7"}
  ROOT %t = (s32[], f32[2]) tuple(%i, %f)
}

%outer_condition.clone (arg: (s32[])) -> pred[] {
  %limit = s32[] constant(5)
  ROOT %lt = pred[] compare(%i, %limit), direction=LT
}

%outer_body (arg: (s32[])) -> (s32[]) {
  %w = (s32[], f32[2]) while(%t), condition=%inner_condition, body=%inner_body
  ROOT %f = f32[2] fusion(%x), calls=%fused, backend_config={"estimated_cycles":"100"}
}

ENTRY %main (arg: f32[2]) -> f32[2] {
  %w = (s32[]) while(%t), condition=%outer_condition.clone, body=%outer_body
  ROOT %f = f32[2] fusion(%x), calls=%fused, backend_config={"estimated_cycles":"1"}
}
"""


def test_cycles_count_as_often_as_their_loop_runs():
    assert estimate_here.estimated_cycles(HLO) == 5 * (3 * 10 + 100) + 1


def test_a_loop_that_is_not_counted_is_no_estimate():
    with pytest.raises(ValueError, match='counted loop'):
        estimate_here.estimated_cycles(HLO.replace('direction=LT', 'direction=NE'))


def test_a_few_steps_tell_what_the_run_takes(config, device_data, build):
    found = estimate_here.here(configuration.program(config), device_data)
    compiled = build(config)
    state, sums, order_key = compiled.init(0)
    state, sums = compiled.train(state, sums, order_key, *device_data.arrays, 1)
    started = time.perf_counter()
    state, sums = compiled.train(state, sums, order_key, *device_data.arrays, 5)
    int(state.step)
    measured = (time.perf_counter() - started) / 4
    assert measured / 5 < found.step_seconds < 5 * measured  # beside other tests
    assert found.batch_seconds > 0
    assert found.batch_size == 7
    assert found.compile_seconds > 0.1
    image_bytes = device_data.images.size
    assert found.memory_mb > (3 * 4 * compiled.parameters + image_bytes) / 1e6


def test_cells_of_one_network_are_measured_once(config, tmp_path, monkeypatch):
    config.model.depth = 14
    deep = Cell(config.copy_and_resolve_references(), tmp_path, '')
    config.model.depth = 8
    cells = [deep]
    for seed in (0, 1):
        config.seed = seed
        cells.append(Cell(config.copy_and_resolve_references(), tmp_path, ''))
    measured = []

    def here(program, device_data):
        measured.append(program.model.depth)
        return estimate_here.Cost(1.0, 1.0, program.model.depth, 1.0, 7)

    monkeypatch.setattr(estimate_here, 'here', here)
    shown = []
    info = tfds.describe(config.data)
    costs = estimate_here.of_networks(
        'here', cells, info, lambda cell, found: shown.append(cell.id)
    )
    assert measured == [14, 8]
    assert shown == [cells[0].id, cells[1].id]
    assert [costs[cell.id].step_seconds for cell in cells] == [14, 8, 8]


@pytest.mark.slow
def test_the_tpu_compiler_is_believed_within_what_the_chip_can_do(config):
    pytest.importorskip('libtpu', reason="the TPU's compiler is an extra: vggres[tpu]")
    info = tfds.describe(config.data)
    config.model.width, config.train.batch_size = 64, 40
    found = {}
    for depth in (20, 56):
        config.model.depth = depth
        found[depth] = estimate_here.v5e(configuration.program(config), info)
        described = configuration.network_spec(config)
        macs = spec.count_macs(described, info.image_shape, info.num_classes)
        assert found[depth].step_seconds > 3 * 2 * macs * 40 / 197e12  # its peak, in bfloat16
        parameters = spec.count_parameters(described, info.image_shape, info.num_classes)
        assert 2 * 4 * parameters / 1e6 < found[depth].memory_mb < 16e3  # weights and momentum
        assert found[depth].batch_size == 7
    # Of 27 blocks 9 are in the shallow network: scanned, their text is the same.
    assert 2 < found[56].step_seconds / found[20].step_seconds < 4


def test_without_libtpu_the_extra_is_named(config, monkeypatch):
    monkeypatch.setattr(estimate_here, 'find_spec', lambda name: None)
    info = tfds.describe(config.data)
    with pytest.raises(UserError, match=r"pip install 'vggres\[tpu\]'"):
        estimate_here.v5e(configuration.program(config), info)
