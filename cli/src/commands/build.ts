/** `gears build`: the project's source as the one script that the server takes. */

import { relative } from 'node:path';
import { bundle } from '../bundle.js';
import type { Output } from '../output.js';
import { readProject } from '../project.js';

export async function build(folder: string, options: { minify?: boolean }, output: Output): Promise<void> {
    const { name, file, code } = await bundle(readProject(folder), options);
    const bytes = Buffer.byteLength(code);
    output.result({ name, file, map: `${file}.map`, bytes }, () =>
        `Built library '${name}': ${relative(process.cwd(), file)}, ${bytes} bytes`,
    );
}
