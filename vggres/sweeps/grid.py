"""The grid of a sweep: variants by depths by seeds."""

from vggres.sweeps.sweep import families, grid

__all__ = ['families', 'grid']
