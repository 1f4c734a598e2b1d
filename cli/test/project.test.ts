/** A new project: made, checked, bundled, tested and deployed. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { before, test } from 'node:test';
import { packageFile } from '../src/package.js';
import { folder, gears } from './gears.js';

const project = join(folder(), 'shop');

before(async () => {
    const made = await gears(['init', project]);
    assert.equal(made.code, 0, made.stderr);
    // What `npm install` would put there, from where this package has it.
    mkdirSync(join(project, 'node_modules/@redisgears'), { recursive: true });
    symlinkSync(packageFile('.'), join(project, 'node_modules/@redisgears/cli'));
    for (const name of ['@types', 'typescript']) {
        symlinkSync(packageFile(`node_modules/${name}`), join(project, 'node_modules', name));
    }
});

test('a new project has its name in all places, and no other file than those it needs', () => {
    assert.equal(JSON.parse(readFileSync(join(project, 'gears.json'), 'utf8')).name, 'shop');
    assert.equal(JSON.parse(readFileSync(join(project, 'package.json'), 'utf8')).name, 'shop');
    const files = readdirSync(project, { recursive: true, withFileTypes: true })
        .filter(entry => entry.isFile() && !entry.parentPath.includes('node_modules'))
        .map(entry => join(entry.parentPath, entry.name));
    assert.deepEqual(files.map(file => relative(project, file)).sort(), [
        '.gitignore', 'README.md', 'gears.json', 'package.json', 'src/index.ts', 'src/order.ts',
        'tests/library.test.ts', 'tests/library.unit.test.ts', 'tests/tsconfig.json', 'tsconfig.json', 'types/redisgears.d.ts',
    ]);
    for (const file of files) {
        assert.doesNotMatch(readFileSync(file, 'utf8'), /@@/, file);
    }
});

test('a folder that has something in it is left alone', async () => {
    const again = await gears(['init', project]);
    assert.equal(again.code, 2);
    assert.match(again.stderr, /is not empty/);
});

test('a new project passes the type check, and fakes are what callbacks declare', () => {
    const uses = join(project, 'tests', 'fakes.ts');
    writeFileSync(uses, `import { fakeClient, fakeEntry, fakeEvent } from '@redisgears/cli/testing';
const client: RedisGears.Client = fakeClient({ get: key => key, HGETALL: { a: '1' }, SMEMBERS: new Set(['a']) });
const background: RedisGears.AsyncClient = fakeClient().async;
const entry: RedisGears.StreamRecord = fakeEntry('s', { a: '1' });
const event: RedisGears.KeyEventWithValue = fakeEvent('set', 'k', 'v') as RedisGears.KeyEventWithValue;
const bare: RedisGears.KeyEvent = fakeEvent('set', 'k');
export { client, background, entry, event, bare };
`);
    const tsc = join(project, 'node_modules/typescript/bin/tsc');
    for (const config of ['.', 'tests']) {
        execFileSync(process.execPath, [tsc, '-p', config], { cwd: project, stdio: 'pipe' });
    }
    rmSync(uses);
});

test("a new project's tests pass, units also without a server, and one that fails fails the command", async () => {
    const passed = await gears(['test', '--json'], { cwd: project });
    assert.equal(passed.code, 0, passed.stderr);
    assert.deepEqual(passed.json, { library: 'shop', passed: 5, failed: 0 });
    // Without a server: there is none of that name.
    const units = await gears(['test', '--units', '--server', 'nosuch', '--json'], { cwd: project });
    assert.equal(units.code, 0, units.stderr);
    assert.deepEqual(units.json, { library: 'shop', passed: 3, failed: 0 });

    const wrong = join(project, 'tests', 'wrong.test.ts');
    writeFileSync(wrong, "import { test } from 'node:test'; test('is wrong', () => { throw new Error('on purpose'); });");
    const failed = await gears(['test', wrong], { cwd: project });
    assert.equal(failed.code, 1);
    assert.match(failed.stdout, /on purpose/);
    assert.match(failed.stderr, /1 of 1 tests failed/);
});

test('the units of the page about TypeScript are right, and pass', async () => {
    const other = join(folder(), 'noted');
    assert.equal((await gears(['init', other])).code, 0);
    symlinkSync(join(project, 'node_modules'), join(other, 'node_modules'));
    for (const old of ['src/order.ts', 'tests/library.test.ts', 'tests/library.unit.test.ts']) {
        rmSync(join(other, old));
    }
    const page = readFileSync(packageFile('../docs/typescript.md'), 'utf8');
    const blocks = [...page.matchAll(/^```ts (\S+)\n([^]*?)^```$/gm)];
    assert.equal(blocks.length, 2);
    blocks.forEach(([, file = '', text = '']) => writeFileSync(join(other, file), text));
    const tsc = join(other, 'node_modules/typescript/bin/tsc');
    for (const config of ['.', 'tests']) {
        execFileSync(process.execPath, [tsc, '-p', config], { cwd: other, stdio: 'pipe' });
    }
    const run = await gears(['test', '--units', '--json'], { cwd: other });
    assert.equal(run.code, 0, run.stderr);
    assert.deepEqual(run.json, { library: 'noted', passed: 2, failed: 0 });
});

test('a bundle begins with the name, holds what was imported, and has a map', async () => {
    const built = await gears(['build', '--json'], { cwd: join(project, 'src') });
    assert.equal(built.code, 0, built.stderr);
    const code = readFileSync(built.json.file, 'utf8');
    assert.equal(code.split('\n')[0], '#!js name=shop api_version=1.0');
    assert.match(code, /an order has a customer/);
    assert.deepEqual(JSON.parse(readFileSync(built.json.map, 'utf8')).sources, ['../src/order.ts', '../src/index.ts']);

    const small = await gears(['build', '--json', '--minify'], { cwd: project });
    assert.ok(small.json.bytes < built.json.bytes);
});

test('what cannot be bundled is an error with its place', async () => {
    writeFileSync(join(project, 'src/broken.ts'), "import fs from 'node:fs';\nredis.log(fs);\n");
    const config = join(project, 'gears.json');
    const before = readFileSync(config, 'utf8');
    writeFileSync(config, '{"name":"shop","entry":"src/broken.ts"}');
    const broken = await gears(['build'], { cwd: project });
    writeFileSync(join(project, 'src/broken.ts'), '#!js name=other\nredis.log("a");\n');
    const named = await gears(['build'], { cwd: project });
    writeFileSync(config, before);
    assert.equal(broken.code, 1);
    assert.match(broken.stderr, /node:fs[^]*src\/broken\.ts:1:15/);
    assert.equal(named.code, 2);
    assert.match(named.stderr, /begins with a line #!/);
});
