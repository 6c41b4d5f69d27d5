import threading

import pytest

from vggres.data.threads import in_threads


@pytest.mark.parametrize('count', [0, 1, 16, 17, 100])
def test_results_come_in_the_order_of_the_values(count):
    assert in_threads(lambda value: value**2, range(count)) == [i**2 for i in range(count)]


def test_other_threads_work_and_their_errors_are_passed_on():
    assert threading.get_ident() not in in_threads(lambda _: threading.get_ident(), range(50))
    with pytest.raises(ZeroDivisionError):
        in_threads(lambda value: 1 / value, range(50))
