"""The peak memory of a rotation: the same for a million rows as for ten thousand."""

from .instance import Instance
from .report import Figure
from .sqlite import plaintexts

SIZES = [10_000, 100_000, 1_000_000]
FLAT_BAR = 1.5
PEAK_BAR_MIB = 150


def measure(place):
    peaks = {}
    for rows in SIZES:
        instance = Instance(place.scratch / f"memory-{rows}", place.built("keyturn"), "kr1")
        instance.create(plaintexts(rows), "BLOB")
        peaks[rows] = instance.rotate()["peak_mib"]
        place.discard(instance.folder)
    figures = [
        Figure(f"memory: {SIZES[-1]:,} rows, against {SIZES[0]:,}", peaks[SIZES[-1]] / peaks[SIZES[0]], "times", at_most=FLAT_BAR),
        Figure(f"memory: peak at {SIZES[-1]:,} rows", peaks[SIZES[-1]], "MiB", at_most=PEAK_BAR_MIB),
        Figure(f"memory: peak at {SIZES[0]:,} rows", peaks[SIZES[0]], "MiB", at_most=PEAK_BAR_MIB),
    ]
    return figures, {"peak_mib": peaks}
