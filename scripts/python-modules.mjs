// Takes Brython's package apart: brython.js as it is, and each module of the standard library as a file of its own,
// modules/NAME.py or NAME.js, or NAME.__init__.py where it is a package.
// Usage: node scripts/python-modules.mjs PACKAGE TARGET
import { mkdirSync, readFileSync, writeFileSync, copyFileSync } from "node:fs";
import { join } from "node:path";
import { runInNewContext } from "node:vm";

const [source, target] = process.argv.slice(2);

// What makes no sense inside a server: the browser's modules, what shows windows, tests.
const LEFT_OUT = /^(browser|_webworker|_webcomponent|_svg|_ajax|turtle|webbrowser|test|unittest\.test|site-packages|idlelib|_pyrepl|interpreter|antigravity)(\.|$)/;

const taken = {};
runInNewContext(readFileSync(join(source, "brython_stdlib.js"), "utf8"), {
  __BRYTHON__: { update_VFS: (modules) => Object.assign(taken, modules) },
});
delete taken.$timestamp;

copyFileSync(join(source, "brython.js"), join(target, "brython.js"));
mkdirSync(join(target, "modules"));
let count = 0;
for (const [name, [extension, text, , is_package]] of Object.entries(taken)) {
  if (LEFT_OUT.test(name)) continue;
  writeFileSync(join(target, "modules", `${name}${is_package ? ".__init__" : ""}${extension}`), text);
  count += 1;
}
if (count < 200) throw new Error(`only ${count} modules were found in ${source}`);
