"""The kr1 core alone, against a C loop that does the same work with OpenSSL's EVP."""

import json
import subprocess

from .report import Figure

BAR = 2.5


def measure(place):
    output = place.scratch / "kr1.json"
    # Exit 1 says that its own bar is missed, which the figure says as well.
    subprocess.run([place.built("bench-kr1"), "--json", str(output)], stdout=subprocess.DEVNULL)
    result = json.loads(output.read_text())
    return [
        Figure("kr1: open + seal of 80 bytes, against C", result["ratio"], "times the time", at_most=BAR),
        Figure("kr1: open + seal of 80 bytes", result["swiftNanoseconds"] / 1000, "us"),
    ], result
