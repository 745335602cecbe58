"""A key wrapped and unwrapped by a plugin in a process of its own."""

import json
import subprocess

from .report import Figure

BAR = 1.0


def measure(place):
    output = place.scratch / "provider.json"
    # Plugins are executed only from where nobody else can write.
    folder = place.scratch / "plugins"
    folder.mkdir(mode=0o700)
    subprocess.run(["install", "-m", "755", place.built("example-provider"), folder], check=True)
    subprocess.run([place.built("bench-provider"), str(folder / "example-provider"), str(output)], check=True)
    result = json.loads(output.read_text())
    return [
        Figure("provider: wrap + unwrap through a plugin, median", result["median"], "ms", at_most=BAR),
        Figure("provider: wrap + unwrap through a plugin, 99 %", result["p99"], "ms"),
    ], result
