from vggres.probes import quantities
from vggres.probes.quantities import QUANTITIES


def test_the_table_knows_each_quantity_by_its_name():
    assert all(quantity.name == name for name, quantity in QUANTITIES.items())
    assert {quantity.of for quantity in QUANTITIES.values()} == {'layer', 'block'}
    titles = [quantity.title for quantity in QUANTITIES.values()]
    assert len(set(titles)) == len(titles)


def test_jacobians_are_measured_only_where_they_are_asked_for():
    few, all_names = quantities.names(jacobians=False), quantities.names(jacobians=True)
    assert few == ('activation', 'input_gradient', 'weight_gradient', 'update_ratio')
    assert all_names[: len(few)] == few
    assert all_names == tuple(QUANTITIES)
