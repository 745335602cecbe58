"""Where things are built and where they are measured."""

import pathlib
import shutil
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Place:
    """The release build, and a folder of scratch files on the disk of the checkout."""

    def __init__(self):
        self.scratch = ROOT / ".build" / "bench"
        self.discard(self.scratch)
        self.scratch.mkdir(parents=True)
        self.release = ROOT / ".build" / "release"

    def build(self):
        for product in ("keyturn", "keyturn-lua", "bench-kr1", "bench-provider", "example-provider"):
            subprocess.run(["swift", "build", "-c", "release", "--product", product], cwd=ROOT, check=True)

    def built(self, name):
        return str(self.release / name)

    def compiled(self, name, *libraries):
        """A program of one C file, compiled at its first use."""
        program = self.scratch / name
        if not program.exists():
            source = ROOT / "Benchmarks" / "sqlite" / f"{name}.c"
            flags = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Werror"]
            subprocess.run(
                ["cc", *flags, "-o", str(program), str(source), *(f"-l{library}" for library in libraries)], check=True
            )
        return str(program)

    def discard(self, folder):
        shutil.rmtree(folder, ignore_errors=True)
