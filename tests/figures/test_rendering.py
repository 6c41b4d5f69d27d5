"""What comes out is well formed, stands beside other figures, and is the same every time."""

import re
from concurrent.futures import ThreadPoolExecutor
from xml.etree import ElementTree

from matplotlib.figure import Figure

from vggres.figures import rendering


def draw(error=2.123456):
    """A figure with what needs ids: markers, glyphs, and a line that is clipped."""
    figure = Figure()
    ax = figure.subplots()
    ax.plot([20, 56], [1.0, error], 'o-')
    ax.set_title('error (%)')
    return figure


def test_png():
    assert rendering.to_png(draw()).startswith(b'\x89PNG\r\n')


def test_svg_is_one_element_with_a_name():
    root = ElementTree.fromstring(rendering.to_svg(draw(), 'depth', 'Plain & <residual>'))
    assert root.tag == '{http://www.w3.org/2000/svg}svg'
    assert root.get('role') == 'img'
    assert root.get('aria-label') == 'Plain & <residual>'
    tags = {element.tag.rpartition('}')[2] for element in root.iter()}
    assert not tags & {'style', 'metadata', 'script', 'text', 'image'}


def test_ids_are_unique_and_all_that_is_referred_to_exists():
    root = ElementTree.fromstring(rendering.to_svg(draw(), 'depth', ''))
    ids = [element.get('id') for element in root.iter() if element.get('id')]
    assert len(ids) == len(set(ids))
    assert all(name.startswith('fig-depth-') for name in ids)
    values = [(key, value) for element in root.iter() for key, value in element.items()]
    uses = [value.removeprefix('#') for key, value in values if key.endswith('href')]
    clips = [name for _, value in values for name in re.findall(r'url\(#(.*?)\)', value)]
    assert uses
    assert clips
    assert {*uses, *clips} <= set(ids)


def test_coordinates_are_hundredths_of_a_point():
    root = ElementTree.fromstring(rendering.to_svg(draw(), 'depth', ''))
    paths = ' '.join(element.get('d', '') for element in root.iter())
    assert re.search(r'\d\.\d\d\b', paths)
    assert not re.search(r'\d\.\d{3}', paths)


def test_background_is_transparent_unless_asked_for():
    clear, white = (rendering.to_svg(draw(), 'a', 'b', color) for color in ('none', 'white'))
    # The axes have a white patch of their own.
    assert white.count('fill: #ffffff') == clear.count('fill: #ffffff') + 1


def test_same_figure_gives_the_same_bytes_in_any_thread():
    def svg(_):
        return rendering.to_svg(draw(), 'a', 'b')

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(svg, range(3))) == [svg(0)] * 3
    assert rendering.to_svg(draw(error=3.0), 'a', 'b') != svg(0)


def test_drawing_again_changes_nothing():
    figure = draw()
    before = rendering.to_svg(figure, 'a', 'b')
    rendering.to_png(figure)
    assert rendering.to_svg(figure, 'a', 'b') == before
