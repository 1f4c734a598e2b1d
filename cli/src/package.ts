/** Files that the package holds beside its code. */

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** The package's folder, from where this file is when it is compiled: `dist/src`. */
const root = new URL('../../', import.meta.url);

export function packageFile(name: string): string {
    return fileURLToPath(new URL(name, root));
}

export function version(): string {
    return (JSON.parse(readFileSync(packageFile('package.json'), 'utf8')) as { version: string }).version;
}
