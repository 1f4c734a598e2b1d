"""All parts say the same version."""

import json
import re

import tomllib

from testing.launch import REPOSITORY
from testing.replies import fields

VERSION = tomllib.loads((REPOSITORY / "Cargo.toml").read_text())["workspace"]["package"]["version"]


def test_the_module_says_the_version_of_the_sources(server):
    major, minor, patch = map(int, VERSION.split("."))
    [module] = [one for one in map(fields, server.run("MODULE", "LIST")) if one["name"] == "redisgears_2"]
    assert int(module["ver"]) == major * 10000 + minor * 100 + patch
    assert f"RedisGears v{VERSION} is ready" in server.log.read_text(errors="replace")


def test_the_npm_packages_have_the_version_of_the_sources():
    for name in ("cli/package.json", "cli/package-lock.json", "js_api/package.json"):
        assert json.loads((REPOSITORY / name).read_text())["version"] == VERSION, name
    assert f"{VERSION}, the first release" in (REPOSITORY / "CHANGELOG.md").read_text()


def test_each_crate_takes_its_version_from_the_workspace():
    for manifest in (REPOSITORY / "crates").glob("*/Cargo.toml"):
        assert re.search(r"^version\.workspace = true$", manifest.read_text(), re.MULTILINE), manifest
