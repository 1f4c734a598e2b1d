// Compiles the command-line tool into dist/, and takes the declarations for libraries from beside it into types/.
import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = new URL('../', import.meta.url);
const path = (name) => fileURLToPath(new URL(name, root));

rmSync(path('dist'), { recursive: true, force: true });
execFileSync(process.execPath, [path('node_modules/typescript/bin/tsc'), '-p', path('tsconfig.json')], {
    stdio: 'inherit',
});
chmodSync(path('dist/src/main.js'), 0o755);

mkdirSync(path('types'), { recursive: true });
copyFileSync(path('../js_api/index.d.ts'), path('types/redisgears.d.ts'));
