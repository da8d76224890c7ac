"""From evidence to judged bodies: detect, start, fit, judge."""

from bodyloop.annotate.people import StartKind, fit_people

__all__ = ["StartKind", "fit_people"]
