"""From evidence to judged bodies: detect, start, fit or network (`bodyloop.annotate.estimates`), judge."""

from bodyloop.annotate.people import StartKind, fit_people, judge_people
from bodyloop.annotate.surfaces import surfaces_of

__all__ = ["StartKind", "fit_people", "judge_people", "surfaces_of"]
