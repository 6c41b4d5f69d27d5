"""Templates escape what they are given, and do not pass over what they are not given."""

import jinja2
import pytest

from vggres.findings.page_templates import templates


def test_what_a_template_is_given_is_escaped():
    assert templates().from_string('{{ name }}').render(name='<b>') == '&lt;b&gt;'


def test_what_is_missing_is_an_error():
    with pytest.raises(jinja2.UndefinedError):
        templates().from_string('{{ name }}').render()
