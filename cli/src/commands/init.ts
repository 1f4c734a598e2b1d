/** `gears init`: a folder with a library in TypeScript, its types and its tests. */

import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { basename, join, relative, resolve } from 'node:path';
import { EXIT, Failure } from '../failure.js';
import type { Output } from '../output.js';
import { packageFile } from '../package.js';
import { checkName } from '../project.js';

/** npm leaves files of these names out of packages, so the template has others. */
const RENAMED = [['gitignore', '.gitignore']] as const;

export function init(folder: string, options: { name?: string }, output: Output): void {
    const target = resolve(folder);
    const name = checkName(options.name ?? basename(target));
    if (existsSync(target) && readdirSync(target).some(each => each !== '.git')) {
        throw new Failure(`${target} is not empty`, EXIT.usage);
    }
    mkdirSync(target, { recursive: true });
    cpSync(packageFile('template'), target, { recursive: true });
    for (const [from, to] of RENAMED) {
        renameSync(join(target, from), join(target, to));
    }
    const types = packageFile('types/redisgears.d.ts');
    mkdirSync(join(target, 'types'), { recursive: true });
    writeFileSync(join(target, 'types/redisgears.d.ts'), readFileSync(types));

    const files = list(target);
    for (const file of files) {
        const path = join(target, file);
        const text = readFileSync(path, 'utf8');
        // npm allows fewer names than the module.
        const packageName = name.toLowerCase().replace(/^[_.]+/, '') || 'library';
        const filled = text
            .replaceAll('@@NAME@@', name)
            .replaceAll('@@PACKAGE@@', packageName)
            // The package is not published: npm finds it where this command is.
            .replaceAll('@@CLI@@', JSON.stringify(`file:${packageFile('.')}`).slice(1, -1));
        if (filled !== text) {
            writeFileSync(path, filled);
        }
    }
    output.result({ name, folder: target, files }, () =>
        [`Made the library '${name}' in ${target}:`, ...files.map(file => `  ${file}`)].join('\n'),
    );
}

function list(folder: string): string[] {
    const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
    return entries
        .filter(entry => entry.isFile() && !entry.parentPath.includes(join(folder, '.git')))
        .map(entry => relative(folder, join(entry.parentPath, entry.name)))
        .sort();
}
