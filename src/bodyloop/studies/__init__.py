"""The papers' tables of trained networks: which networks, on whom they are judged, and what was claimed."""

from bodyloop.studies import moon, rong, spin, zanfir
from bodyloop.studies.study import Study

STUDIES: dict[str, Study] = {
    "rong-table3": rong.TABLE_3,
    "rong-table4": rong.TABLE_4,
    "rong-table6": rong.TABLE_6,
    "rong-table6-all": rong.TABLE_6_ALL,
    "rong-table7": rong.TABLE_7,
    "rong-fig5": rong.FIGURE_5,
    "rong-fig6": rong.FIGURE_6,
    "spin-table1": spin.TABLE_1,
    "spin-unpaired": spin.UNPAIRED,
    "zanfir-table2": zanfir.TABLE_2,
    "zanfir-fig4": zanfir.FIGURE_4,
    "moon-table2": moon.TABLE_2,
    "moon-table6": moon.TABLE_6,
    "moon-table7": moon.TABLE_7,
    "moon-table8": moon.TABLE_8,
    "moon-table9": moon.TABLE_9,
    "moon-table10": moon.TABLE_10,
}
"""Every study, by the name that the command line takes."""


def get_study(name: str) -> Study:
    """A study by name, one of `STUDIES`."""
    return STUDIES[name]
