// What brython.js looks for, and an engine without a browser has not: it takes the engine for Node.js then, and looks
// for no page. Gives a function that takes away again what is of no use once it is loaded.
(function () {
  "use strict";
  const nothing = () => {};
  const given = {
    __proto__: null,
    self: globalThis,
    global: globalThis,
    process: { release: { name: "node" } },
    module: {},
    location: { href: "", origin: "", pathname: "" },
    document: {
      getElementsByTagName: () => [],
      querySelectorAll: () => [],
      currentScript: { src: "http://localhost/" },
    },
    addEventListener: nothing,
    customElements: { define: nothing },
    HTMLElement: class {},
    MutationObserver: class {},
    URL: class {
      constructor(text) {
        this.pathname = text;
        this.search = this.hash = "";
      }
    },
  };
  // It asks of each value whether it is one of the first three.
  const kept = {
    __proto__: null,
    Event: class Event {},
    Node: class Node {},
    SVGElement: class SVGElement {},
    // Some modules ask what machine this is.
    navigator: { userLanguage: "en", userAgent: "", platform: "Linux" },
    // Random numbers begin with these.
    crypto: {
      getRandomValues(numbers) {
        const limit = 2 ** (8 * numbers.BYTES_PER_ELEMENT);
        for (let at = 0; at < numbers.length; at++) numbers[at] = Math.floor(Math.random() * limit);
        return numbers;
      },
    },
  };
  Object.assign(globalThis, given);
  const hide = (name, value) =>
    Object.defineProperty(globalThis, name, { __proto__: null, value, writable: true, enumerable: false, configurable: true });
  for (const name of Object.keys(kept)) hide(name, kept[name]);
  // Its variables are there already, so that they are no more to be seen than the language's own globals.
  for (const name of ["__BRYTHON__", "$B"]) hide(name);
  return () => {
    for (const name of [...Object.keys(given), "brython"]) delete globalThis[name];
  };
})
