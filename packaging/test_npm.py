"""The declarations as npm's package: a project that installs the packed file compiles against it."""

import json
import os
import re
import subprocess
import tarfile

from testing.launch import REPOSITORY

RIGHT = """redis.register_stream_consumer("book", "orders:", 1, true, client => {
    if ("call" in client) {
        const count: bigint = client.call("incr", "count");
        redis.log(String(count));
    }
});
"""
PATH = f"{REPOSITORY / 'target/node/bin'}:{os.environ['PATH']}"
TSC = REPOSITORY / "target/node/node_modules/.bin/tsc"


def run(*words, cwd):
    environment = {**os.environ, "PATH": PATH}
    return subprocess.run(words, check=False, cwd=cwd, env=environment, capture_output=True, text=True)


def compile_in(project, code):
    (project / "lib.ts").write_text(code)
    options = {"noEmit": True, "strict": True, "target": "es2023", "lib": ["es2023"], "types": ["@redisgears/api"]}
    (project / "tsconfig.json").write_text(json.dumps({"compilerOptions": options, "files": ["lib.ts"]}))
    return run(TSC, "-p", "tsconfig.json", cwd=project)


def test_a_project_compiles_against_the_packed_declarations(tmp_path):
    packed = run("npm", "pack", "--json", "--pack-destination", tmp_path, cwd=REPOSITORY / "js_api")
    assert packed.returncode == 0, packed.stderr
    [package] = json.loads(packed.stdout)
    assert {one["path"] for one in package["files"]} == {"index.d.ts", "package.json", "README.md"}
    [archive] = tmp_path.glob("*.tgz")
    with tarfile.open(archive) as tar:
        assert "private" not in json.load(tar.extractfile("package/package.json"))
    (tmp_path / "package.json").write_text('{"name": "project", "private": true}')
    words = ("npm", "install", "--offline", "--no-audit", "--no-fund", f"./{archive.name}")
    installed = run(*words, cwd=tmp_path)
    assert installed.returncode == 0, installed.stderr
    right = compile_in(tmp_path, RIGHT)
    assert right.returncode == 0, right.stdout
    wrong = compile_in(tmp_path, RIGHT.replace("bigint", "number"))
    assert "TS2322: Type 'bigint' is not assignable to type 'number'." in wrong.stdout


def test_the_code_of_the_page_about_typescript_compiles(tmp_path):
    (tmp_path / "node_modules/@redisgears").mkdir(parents=True)
    (tmp_path / "node_modules/@redisgears/api").symlink_to(REPOSITORY / "js_api")
    blocks = re.findall(r"^```ts\n(.*?)^```$", (REPOSITORY / "docs/typescript.md").read_text(), re.M | re.S)
    assert len(blocks) >= 2
    for block in blocks:
        compiled = compile_in(tmp_path, block)
        assert compiled.returncode == 0, compiled.stdout
