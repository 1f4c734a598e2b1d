"""What `make dist` makes: it is whole, says what it is, is the same each time, and a server loads it from where it lies."""

import hashlib
import json
import os
import shutil
import subprocess
import tarfile

import pytest

from testing.launch import REPOSITORY
from testing.replies import fields
from testing.servers import Server
from testing.waits import eventually

DOCUMENTS = {"README.md", "CHANGELOG.md", "LICENSE-APACHE", "LICENSE-MIT", "THIRD-PARTY.txt", "VERSION"}


def make(folder):
    subprocess.run([REPOSITORY / "scripts/dist", folder], cwd=REPOSITORY, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def unpacked(made, tmp_path_factory):
    folder = tmp_path_factory.mktemp("archive")
    [archive] = [one for one in made.glob("*.tar.gz") if "debug" not in one.name]
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return folder / archive.name.removesuffix(".tar.gz")


@pytest.fixture(scope="module")
def installed(made, tmp_path_factory):
    folder = tmp_path_factory.mktemp("installed")
    [package] = made.glob("*.deb")
    subprocess.run(["dpkg-deb", "-x", package, folder], check=True)
    return folder


def loads(module, directory):
    """A server with that module runs a library in JavaScript and a script in Python."""
    server = Server(directory, module_file=module)
    try:
        server.run("RG.FUNCTION", "LOAD", (REPOSITORY / "examples/quickstart.js").read_text())
        server.run("XADD", "stream:1", "*", "a", 1)
        server.wait(lambda: server.consumer()["num_streams"] == 1)
        assert server.run("RG.PYEXECUTE", "GB('ShardsIDReader').map(lambda x: [1, 2][1:]).run()") == [["[2]"], []]
        [shown] = [fields(one)["name"] for one in server.run("RG.FUNCTION", "LIST")]
        assert shown == "lib"
    finally:
        server.stop()


def test_the_checksums_are_those_of_the_files(made):
    lines = (made / "SHA256SUMS").read_text().splitlines()
    named = dict(reversed(line.split("  ")) for line in lines)
    files = {path.name for path in made.iterdir()} - {"SHA256SUMS"}
    assert set(named) == files and len(files) == 3
    for name, digest in named.items():
        assert hashlib.sha256((made / name).read_bytes()).hexdigest() == digest


def test_the_archive_has_all_parts_and_a_small_module(unpacked):
    assert DOCUMENTS | {"libredisgears.so", "python", "types", "docs", "examples"} <= set(os.listdir(unpacked))
    assert (unpacked / "libredisgears.so").stat().st_size < 64 << 20
    assert (unpacked / "types/index.d.ts").stat().st_size > 10_000
    assert json.loads((unpacked / "types/package.json").read_text())["version"] == (unpacked / "VERSION").read_text().strip()
    assert not list(unpacked.rglob("node_modules")) and not list(unpacked.rglob("__pycache__"))


def test_the_licences_name_every_crate_that_is_linked_in_and_what_v8_brings(unpacked):
    text = (unpacked / "THIRD-PARTY.txt").read_text()
    tree = ["scripts/cargo", "tree", "--package", "redisgears", "--edges", "normal,no-proc-macro", "--prefix", "none"]
    lines = subprocess.run(tree, cwd=REPOSITORY, check=True, capture_output=True, text=True).stdout.splitlines()
    for line in lines:
        name, version, *more = line.split()
        if not any(word.startswith("(/") for word in more):
            assert f"{name} {version.removeprefix('v')} " in text, line
    for words in ("V8 ", "ICU ", "Abseil", "Brython", "Redistribution and use in source and binary forms", "UNICODE LICENSE V3"):
        assert words in text, words


def test_the_symbols_that_are_apart_belong_to_the_module(made, unpacked, tmp_path):
    [archive] = made.glob("*-debug.tar.gz")
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path, filter="data")
    shutil.copy(unpacked / "libredisgears.so", tmp_path)

    def build_id(name):
        notes = subprocess.run(["readelf", "-n", tmp_path / name], check=True, capture_output=True, text=True).stdout
        return [line.strip() for line in notes.splitlines() if "Build ID" in line]

    assert build_id("libredisgears.so") == build_id("libredisgears.so.debug") != []
    sections = subprocess.run(
        ["readelf", "-S", tmp_path / "libredisgears.so.debug"], check=True, capture_output=True, text=True
    ).stdout
    assert ".debug_line" in sections


def test_a_server_loads_the_module_of_the_archive(unpacked, tmp_path):
    loads(unpacked / "libredisgears.so", tmp_path)


def test_a_server_loads_the_module_of_the_package(installed, tmp_path):
    loads(installed / "usr/lib/redisgears/libredisgears.so", tmp_path)


def test_the_package_asks_for_what_the_module_needs(made, installed):
    [package] = made.glob("*.deb")

    def field(name):
        return subprocess.run(["dpkg-deb", "-f", package, name], check=True, capture_output=True, text=True).stdout.strip()

    module = installed / "usr/lib/redisgears/libredisgears.so"
    needed = subprocess.run(["readelf", "-d", module], check=True, capture_output=True, text=True).stdout
    libraries = {line.split("[")[1].rstrip("]") for line in needed.splitlines() if "(NEEDED)" in line}
    of_libc = {"libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1", "ld-linux-x86-64.so.2"}
    assert libraries <= of_libc | {"libgcc_s.so.1"}
    assert field("Depends").startswith("libc6 (>= 2.") and "libgcc-s1" in field("Depends")
    assert (field("Package"), field("Architecture")) == ("redisgears", "amd64")


def test_the_same_files_make_the_same_archives(made, tmp_path):
    assert (make(tmp_path) / "SHA256SUMS").read_text() == (made / "SHA256SUMS").read_text()


def test_without_a_module_it_says_what_to_do(tmp_path):
    copy = tmp_path / "project"
    copy.mkdir()
    for name in ("scripts", "Cargo.toml"):
        source = REPOSITORY / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, copy / name)
    ended = subprocess.run([copy / "scripts/dist"], cwd=copy, capture_output=True, text=True, check=False)
    assert ended.returncode != 0
    assert "there is no module: make build" in ended.stderr
    assert eventually(lambda: not (copy / "target/dist/SHA256SUMS").exists())
