"""What one writes without the module, in three languages: each a program with the same arguments."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from testing.waits import HarnessError

HERE = Path(__file__).parent
TARGET = HERE.parents[1] / "target"
# Where `scripts/setup bench` puts what they need.
RUST = TARGET / "workers" / "release" / "worker"
NODE = TARGET / "node"
LANGUAGES = ("Rust", "Node.js", "Python")


def start(language: str, *arguments: str) -> subprocess.Popen:
    """Starts a worker: PORT STREAM GROUP COUNT [COMMAND ...]."""
    environment = dict(os.environ)
    if language == "Rust":
        program = [RUST]
        if not RUST.exists():
            raise HarnessError(f"there is no {RUST}: run `scripts/setup bench` first")
    elif language == "Node.js":
        node = shutil.which("node", path=f"{NODE / 'bin'}:{os.environ['PATH']}")
        if not node or not (NODE / "node_modules" / "ioredis").exists():
            raise HarnessError("there is no Node.js with ioredis: run `scripts/setup bench` first")
        program = [node, HERE / "node" / "worker.mjs"]
        environment["BENCH_NODE_MODULES"] = f"{NODE / 'node_modules'}/"
    else:
        program = [sys.executable, HERE / "worker.py"]
    return subprocess.Popen([*program, *arguments], env=environment)
