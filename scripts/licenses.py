#!/usr/bin/env python3
"""Writes the licences of all that the module is linked with, and of Python's runtime.

What Cargo links comes from its own list; each crate's texts are those in its package. The crate `v8` has none for V8 and
what V8 brings along: these are named in `OF_V8`, and their texts come from the npm package `spdx-license-list`.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SPDX = "spdx-license-list@6.12.0"
TEXTS = re.compile(r"(licen[cs]e|copying|notice|unlicense)", re.IGNORECASE)
# Linked into V8's library: name, license, who holds the rights.
OF_V8 = (
    ("V8", "BSD-3-Clause", "Copyright 2006-2026 the V8 project authors"),
    ("V8's copy of fdlibm", "SunPro", "Copyright 1993 Sun Microsystems, Inc."),
    ("V8's copy of Strongtalk", "BSD-3-Clause", "Copyright 1994-2006 Sun Microsystems, Inc."),
    ("Abseil", "Apache-2.0", "Copyright The Abseil Authors"),
    ("ICU", "Unicode-3.0", "Copyright 1991-2026 Unicode, Inc."),
    ("libc++ and libc++abi", "Apache-2.0", "Copyright the LLVM project's contributors; with the LLVM exception"),
    ("simdutf", "MIT", "Copyright 2021 The simdutf authors"),
    ("fast_float", "MIT", "Copyright 2021 The fast_float authors"),
    ("Highway", "Apache-2.0", "Copyright Google LLC"),
    ("Dragonbox", "BSL-1.0", "Copyright 2020-2024 Junekey Jeon"),
    ("FP16", "MIT", "Copyright 2017 Facebook Inc., Georgia Institute of Technology, Google Inc."),
    ("Rapidhash", "MIT", "Copyright 2024 Nicolas De Carli"),
    ("SipHash", "MIT", "Copyright 2012-2016 Jean-Philippe Aumasson, Daniel J. Bernstein"),
    ("utf8-decoder", "MIT", "Copyright 2008-2009 Bjoern Hoehrmann"),
)
PYTHON = ("Brython", "BSD-3-Clause", "Copyright 2012 Pierre Quentel; its license is in the folder python")


def run(*command, cwd=ROOT):
    return subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True).stdout


def crates():
    """The packages that are linked in: name, version, license, folder."""
    metadata = json.loads(
        run("scripts/cargo", "metadata", "--format-version", "1", "--filter-platform", "x86_64-unknown-linux-gnu")
    )
    packages = {(one["name"], one["version"]): one for one in metadata["packages"]}
    tree = run(
        *("scripts/cargo", "tree", "--package", "redisgears", "--edges", "normal,no-proc-macro"),
        *("--target", "x86_64-unknown-linux-gnu", "--prefix", "none", "--format", "{p}"),
    )
    found = set()
    for line in tree.splitlines():
        name, version, *rest = line.split()
        if not any(word.startswith("(/") for word in rest):
            found.add((name, version.removeprefix("v")))
    for key in sorted(found):
        package = packages[key]
        yield *key, package["license"] or "see below", Path(package["manifest_path"]).parent


def texts_of(folder):
    files = sorted(path for path in folder.iterdir() if path.is_file() and TEXTS.match(path.name))
    return {path.name: path.read_text(errors="replace").strip() for path in files}


def spdx_texts(names):
    """The texts of licenses by their SPDX names."""
    with tempfile.TemporaryDirectory() as folder:
        run("npm", "pack", "--silent", "--pack-destination", folder, SPDX, cwd=folder)
        [archive] = Path(folder).glob("*.tgz")
        run("tar", "-xzf", str(archive), "-C", folder)
        found = json.loads((Path(folder) / "package/spdx-full.json").read_text())
    return {name: found[name]["licenseText"].strip() for name in names}


def main():
    rule = "=" * 100
    print("What the module is linked with, and under which licenses. Its own are in LICENSE-APACHE and LICENSE-MIT.\n")
    linked = list(crates())
    if not linked:
        sys.exit("Cargo names no crates")
    rows = [(f"{name} {version}", license_name) for name, version, license_name, _ in linked]
    rows += [(name, license_name) for name, license_name, _ in (*OF_V8, PYTHON)]
    for name, license_name in rows:
        print(f"  {name:40} {license_name}")
    # Many crates have the same texts.
    by_text = {}
    bare = []
    for name, version, license_name, folder in linked:
        texts = texts_of(folder)
        if not texts:
            bare.append((f"{name} {version}", license_name))
        for text in texts.values():
            by_text.setdefault(text, []).append(f"{name} {version}")
    for text, names in sorted(by_text.items(), key=lambda item: item[1]):
        print(f"\n{rule}\n{', '.join(names)}\n{rule}\n\n{text}")
    print(f"\n{rule}\nV8 and what it brings along, and crates whose packages have no text of their own\n{rule}\n")
    for name, license_name, holder in (*OF_V8, PYTHON):
        print(f"  {name}: {license_name}. {holder}")
    for name, license_name in bare:
        print(f"  {name}: {license_name}")
    words = " ".join(license_name for _, license_name in bare)
    wanted = {name for _, name, _ in (*OF_V8, PYTHON)} | set(re.findall(r"[\w.]+-[\w.-]+|MIT|Zlib|Unlicense", words))
    for name, text in sorted(spdx_texts(sorted(wanted)).items()):
        print(f"\n{rule}\n{name}\n{rule}\n\n{text}")


if __name__ == "__main__":
    main()
