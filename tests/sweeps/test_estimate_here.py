import time

from vggres.config import program
from vggres.sweeps import estimate_here


def test_a_few_steps_tell_what_the_run_takes(config, data, build):
    found = estimate_here.estimate(program(config))
    compiled = build(config)
    state, sums, order_key = compiled.init(0)
    state, sums = compiled.train(state, sums, order_key, data, 1)
    started = time.perf_counter()
    state, sums = compiled.train(state, sums, order_key, data, 5)
    int(state.step)
    measured = (time.perf_counter() - started) / 4
    assert measured / 5 < found.step_seconds < 5 * measured  # beside other tests
    assert found.batch_seconds > 0
    assert found.batch_size == 7
    assert found.compile_seconds > 0.1
    image_bytes = data.images.size
    assert found.memory_mb > (3 * 4 * compiled.parameters + image_bytes) / 1e6
