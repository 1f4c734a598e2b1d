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


# Wrong options, and what the compiler says of each.
CONSUMER = 'redis.register_stream_consumer("c", "s:", 1, true, () => {}, { WRONG });'
FUNCTION = 'redis.register_function("f", () => 1, WRONG);'
TRIGGER = 'redis.register_notifications_consumer("t", "k:", () => {}, { WRONG });'
WRONG = [
    (CONSUMER, "retry_intervall: 5", "'retry_intervall' does not exist"),
    (CONSUMER, "on_failure: 'retri'", """Did you mean '"retry"'?"""),
    (CONSUMER, "retry_interval: 5", "Type 'number' is not assignable to type 'OnlyWithRetry'."),
    (CONSUMER, "duration: 5", "Type 'number' is not assignable to type 'OnlyWithBatch'."),
    (CONSUMER, "on_failure: 'retry', bisect: true", "is not assignable to type 'OnlyWithBatch'."),
    (CONSUMER, "on_failure: 'retry', max_attempts: '3'", "Type 'string' is not assignable to type 'number'."),
    (CONSUMER, "batch: 10, duration: 'x'", "Type 'string' is not assignable to type 'number'."),
    (CONSUMER, "dead_letter: 5", "Type 'number' is not assignable to type 'Bytes | undefined'."),
    (FUNCTION, '["no-write"]', """Did you mean '"no-writes"'?"""),
    (FUNCTION, '{ timeout: "5" }', "Type 'string' is not assignable to type 'number'."),
    (FUNCTION, '{ run_as: "me" }', """is not assignable to type '"caller" | "owner" | undefined'."""),
    (TRIGGER, 'event_type: ["set"]', "Did you mean to write 'event_types'?"),
    (TRIGGER, 'event_types: "set"', "Type 'string' is not assignable to type 'readonly EventName[]'."),
    (TRIGGER, 'read_value: "yes"', "Type 'string' is not assignable to type 'boolean | undefined'."),
]


def link_declarations(project):
    (project / "node_modules/@redisgears").mkdir(parents=True)
    (project / "node_modules/@redisgears/api").symlink_to(REPOSITORY / "js_api")


def test_a_wrong_option_has_an_error_of_one_line_that_names_it(tmp_path):
    link_declarations(tmp_path)
    compiled = compile_in(tmp_path, "\n".join(form.replace("WRONG", wrong) for form, wrong, _ in WRONG))
    lines = compiled.stdout.splitlines()
    assert len(lines) == len(WRONG), compiled.stdout
    for number, (line, (form, wrong, said)) in enumerate(zip(lines, WRONG, strict=True), 1):
        assert line.startswith(f"lib.ts({number},"), (wrong, line)
        assert said in line, (form, wrong, line)


def test_the_code_of_the_page_about_typescript_compiles(tmp_path):
    link_declarations(tmp_path)
    blocks = re.findall(r"^```ts\n(.*?)^```$", (REPOSITORY / "docs/typescript.md").read_text(), re.M | re.S)
    assert len(blocks) >= 2
    for block in blocks:
        compiled = compile_in(tmp_path, block)
        assert compiled.returncode == 0, compiled.stdout
