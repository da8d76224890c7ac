"""From evidence to judged bodies: detect, start, fit, judge."""

from bodyloop.annotate.people import StartKind, fit_people
from bodyloop.annotate.surfaces import surfaces_of

__all__ = ["StartKind", "fit_people", "surfaces_of"]
