from vggres.config import FURTHER_PROBES
from vggres.probes import observation, quantities
from vggres.probes.quantities import QUANTITIES


def test_the_table_knows_each_quantity_by_its_name():
    assert all(quantity.name == name for name, quantity in QUANTITIES.items())
    assert {quantity.of for quantity in QUANTITIES.values()} <= {'layer', 'block', ''}
    titles = [quantity.title for quantity in QUANTITIES.values()]
    assert len(set(titles)) == len(titles)


def test_jacobians_are_measured_only_where_they_are_asked_for():
    few, more = quantities.names(jacobians=False), quantities.names(jacobians=True)
    assert few == ('activation', 'input_gradient', 'weight_gradient', 'update_ratio')
    assert more[: len(few)] == few
    assert more[len(few)] == 'spectral_norm'


def test_every_quantity_is_measured_by_some_probe():
    assert quantities.names(jacobians=True, also=FURTHER_PROBES) == tuple(QUANTITIES)
    assert set(observation.FURTHER) == set(FURTHER_PROBES)
