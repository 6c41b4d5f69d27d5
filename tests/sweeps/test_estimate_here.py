import time
from statistics import median

import pytest

from vggres.sweeps import estimate_here
from vggres.training.trainer import described_run


def test_a_few_steps_tell_what_the_run_takes(config, data, build):
    found = estimate_here.estimate(config)
    compiled, schedule = build(config), described_run(config, data.num_train).schedule
    state, sums, order_key = compiled.init(0)
    seconds = []
    for stop in range(1, 11):
        started = time.perf_counter()
        state, sums = compiled.train(state, sums, order_key, data, schedule, stop)
        int(state.step)
        seconds.append(time.perf_counter() - started)
    measured = median(seconds[2:])  # the first ones warm up
    assert measured / 5 < found.step_seconds < 5 * measured  # beside other tests
    assert found.batch_seconds > 0
    assert found.batch_size == 7
    assert found.compile_seconds > 0.1
    image_bytes = data.images.size
    assert found.observation_seconds == 0
    assert found.memory_mb > (3 * 4 * compiled.parameters + image_bytes) / 1e6


@pytest.mark.slow
def test_observations_are_timed_where_they_are_asked_for(config):
    config.probes.every_epochs = 1
    assert 0 < estimate_here.estimate(config).observation_seconds < 5


def test_a_process_holds_what_it_held_before_and_what_a_step_holds(config):
    found = estimate_here.estimate(config)
    with open('/proc/self/status') as status:
        (peak,) = [int(line.split()[1]) for line in status if line.startswith('VmHWM')]  # kB
    assert found.process_mb == pytest.approx(peak / 1e3, rel=0.1)
