"""A key wrapped and unwrapped by a plugin in a process of its own, against two calls of gRPC's C library."""

import json
import statistics
import subprocess

from . import echo
from .report import Figure

BAR = 1.0
TURNS = 3
# About what a call says and is answered: the key's settings, its binding, its bytes.
MESSAGE_BYTES = 200
ECHOES = 2000


def measure(place):
    # Plugins are executed only from where nobody else can write.
    folder = place.scratch / "plugins"
    folder.mkdir(mode=0o700)
    subprocess.run(["install", "-m", "755", place.built("example-provider"), folder], check=True)
    turns = []
    for _ in range(TURNS):
        output = place.scratch / "provider.json"
        subprocess.run([place.built("bench-provider"), str(folder / "example-provider"), str(output)], check=True)
        limit = echo.pair(place.scratch / "echo.sock", MESSAGE_BYTES, ECHOES)
        turns.append(json.loads(output.read_text()) | {"echo": limit})
    median = statistics.median(turn["median"] for turn in turns)
    return [
        Figure("provider: wrap + unwrap through a plugin, median", median, "ms", at_most=BAR),
        Figure(
            "provider: the same, against two calls of gRPC's C library",
            statistics.median(turn["median"] / turn["echo"] for turn in turns), "times the time",
        ),
        Figure(
            "provider: wrap + unwrap through a plugin, 99 %", statistics.median(turn["p99"] for turn in turns), "ms"
        ),
    ], {"turns": turns}
