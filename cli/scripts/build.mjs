// Compiles the command-line tool into dist/, and takes the declarations for libraries from beside it into types/.
import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { buildSync } from 'esbuild';

const root = new URL('../', import.meta.url);
const path = (name) => fileURLToPath(new URL(name, root));

rmSync(path('dist'), { recursive: true, force: true });
execFileSync(process.execPath, [path('node_modules/typescript/bin/tsc'), '-p', path('tsconfig.json')], {
    stdio: 'inherit',
});
// The dashboard's page, with all that it needs: nothing of it comes from elsewhere.
execFileSync(process.execPath, [path('node_modules/typescript/bin/tsc'), '-p', path('page/tsconfig.json')], {
    stdio: 'inherit',
});
mkdirSync(path('dist/page'), { recursive: true });
buildSync({
    entryPoints: [path('page/dashboard.ts'), path('page/dashboard.css')],
    outdir: path('dist/page'),
    bundle: true,
    format: 'iife',
    target: 'es2022',
    minify: true,
    legalComments: 'inline',
    logLevel: 'warning',
});
copyFileSync(path('page/index.html'), path('dist/page/index.html'));

chmodSync(path('dist/src/main.js'), 0o755);

mkdirSync(path('types'), { recursive: true });
copyFileSync(path('../js_api/index.d.ts'), path('types/redisgears.d.ts'));
