"""The templates of all pages."""

import functools
from pathlib import Path

import jinja2


@functools.cache
def templates() -> jinja2.Environment:
    """The templates of the pages, which escape whatever they are given."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / 'templates'),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
