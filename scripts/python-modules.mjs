// Takes Brython's package apart: brython.js, and each module of the standard library as a script of its own. A module in
// JavaScript stays as it is. One in Python is translated here, once, which takes far longer than to run it: its file,
// modules/NAME.py.js, or NAME.__init__.py.js where it is a package, gives a function that runs the module.
// Usage: node scripts/python-modules.mjs PACKAGE TARGET
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createContext, runInContext, runInNewContext } from "node:vm";
import { own_modules, patched } from "./python-patches.mjs";

const [source, target] = process.argv.slice(2);
const here = (name) => new URL(name, import.meta.url);

// What makes no sense inside a server: the browser's modules, what shows windows, tests, what fetches its tables.
const LEFT_OUT = /^(browser|_webworker|_webcomponent|_svg|_ajax|turtle|webbrowser|test|unittest\.test|site-packages|idlelib|_pyrepl|interpreter|antigravity|unicodedata)(\.|$)/;

const taken = {};
runInNewContext(readFileSync(join(source, "brython_stdlib.js"), "utf8"), {
  __BRYTHON__: { update_VFS: (modules) => Object.assign(taken, modules) },
});
delete taken.$timestamp;
own_modules(taken);

// The text with one of its parts, which must be there once, replaced.
function replaced(text, part, other) {
  const parts = text.split(part);
  if (parts.length !== 2) throw new Error(`brython.js has ${parts.length - 1} times ${part}`);
  return parts.join(other);
}

// Brython itself is a built-in name for its modules, and for libraries too: modules get it under a name of JavaScript's.
let brython = patched("brython.js", readFileSync(join(source, "brython.js"), "utf8"));
brython = replaced(brython, "_b_.__BRYTHON__=__BRYTHON__", "$B.$itself=__BRYTHON__");
writeFileSync(join(target, "brython.js"), brython);
// They say whose work it is, and under which license.
for (const name of ["package.json", "README.md"]) copyFileSync(join(source, name), join(target, name));

const context = createContext(Object.create(null));
const before = readFileSync(here("../crates/gears-v8/src/py/before.js"), "utf8");
const forget = runInContext(before, context)();
runInContext(brython, context);
forget();
const $B = context.__BRYTHON__;

function translated(name, is_package, text) {
  const file = `VFS.${name}${is_package ? "/__init__.py" : ".py"}`;
  $B.imported[name] = $B.module.$factory(name);
  $B.url2name[file] = name;
  $B.frame_obj = null;
  const js = $B.py2js({ src: text, filename: file, imported: true }, name, name, $B.builtins_scope).to_js();
  // Where in a line a call stands is for tracebacks, which show no lines of these modules.
  let short = js.replace(/^ *frame\.positions = \[.*\]$/gm, "");
  short = short.replace(/\$B\.resolve_(?:in_scopes|global)\('__BRYTHON__', (?:\[[^\]]*\]|_frame_obj)(, \d+)?\)/g, () => "$B.$itself");
  if (short.includes("'__BRYTHON__'")) throw new Error(`${name} reaches Brython in another way`);
  return `(function () {\n${short}\nreturn locals\n})`;
}

mkdirSync(join(target, "modules"));
let count = 0;
for (const [name, [extension, text, , is_package]] of Object.entries(taken)) {
  if (LEFT_OUT.test(name)) continue;
  const mended = patched(name, text);
  if (extension === ".js") {
    writeFileSync(join(target, "modules", `${name}.js`), mended);
  } else {
    try {
      writeFileSync(join(target, "modules", `${name}${is_package ? ".__init__" : ""}.py.js`), translated(name, is_package, mended));
    } catch (error) {
      console.error(`${name} is left out: ${error.ob_type ? $B.error_trace(error) : error}`);
      continue;
    }
  }
  count += 1;
}
if (count < 200) throw new Error(`only ${count} modules were found in ${source}`);
