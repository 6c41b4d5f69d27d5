from vggres.errors import unknown


def test_near_names_are_suggested():
    assert str(unknown('sweep', 'detph', ['depth', 'cost'])) == (
        "unknown sweep 'detph': did you mean depth?"
    )


def test_without_a_near_name_all_are_listed():
    assert str(unknown('sweep', 'xyz', ['width', 'depth'])) == (
        "unknown sweep 'xyz': there is depth, width."
    )
