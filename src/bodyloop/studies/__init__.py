"""The papers' tables of trained networks: which networks, on whom they are judged, and what was claimed."""

from bodyloop.evaluate.claims import Claim
from bodyloop.evaluate.tables import Table
from bodyloop.studies import mion, moon, moon_labels, rong, spin, zanfir
from bodyloop.studies.networks import Tell, Workshop
from bodyloop.studies.study import Asked, Study, measure_study

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


def measure_table(name: str, asked: Asked, shop: Workshop, tell: Tell) -> tuple[Table, list[Claim]]:
    """Train and measure what a table is missing; its name is one of `STUDIES` or `mion.MION`, or
    moon-labels.

    Raises:
        InputError: no motion capture where there should be, or folders that cannot be written.
    """
    if name in mion.MION:
        return mion.measure_mion(name, asked, shop, tell)
    if name == "moon-labels":
        return moon_labels.measure_labels(asked, shop, tell)
    return measure_study(STUDIES[name], asked, shop, tell)
