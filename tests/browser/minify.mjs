// Makes src/web/encke.min.js, which the program serves as /encke.js, from src/web/encke.js, where the words
// are. Run it with `npm run minify` whenever that has changed; a test compares.

import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import uglify from "uglify-js"; // the one that keeps to ES5, and whose output deflate likes best

const web = new URL("../../src/web/", import.meta.url);
// Names of members that only the library itself sees, and neither a browser, the server nor another tab.
const OWN = "proof|hold|file|tab|heard|probed|trial|dead|renew|refused|lost|once|born|asked|own|retract|resign|moved|wake" +
  "|beacon|hear|start|take|listen|say|types|over|end|tick|stop|first|tooLong";
const BANNER = "// source: /encke.src.js\n";

export function compact() {
  const { code, error } = uglify.minify(readFileSync(new URL("encke.js", web), "utf8"), {
    module: false,
    compress: { passes: 3, keep_fargs: false, sequences: false, arrows: false },
    mangle: { properties: { regex: new RegExp(`^(${OWN})$`) } },
  });
  if (error) throw error;
  return `${BANNER}${code}\n`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  writeFileSync(new URL("encke.min.js", web), compact());
}
