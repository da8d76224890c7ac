"""Names of the papers' tables; apart, for whoever only lists them."""

from typing import Literal

NetworkTable = Literal[
    "rong-table3",
    "rong-table4",
    "rong-table6",
    "rong-table6-all",
    "rong-table7",
    "rong-fig5",
    "rong-fig6",
    "spin-table1",
    "spin-unpaired",
    "zanfir-table2",
    "zanfir-fig4",
    "mion-table1",
    "mion-table2",
    "mion-table3",
    "mion-table6",
    "mion-speed",
    "moon-table2",
    "moon-table6",
    "moon-table7",
    "moon-table8",
    "moon-table9",
    "moon-table10",
    "moon-labels",
]
"""Of trained networks."""
TableName = Literal["zanfir-table1", "zanfir-table3", "dense-fits"] | NetworkTable
"""All that `bodyloop reproduce` makes."""
