// Makes src/web/encke.min.js, which the program serves as /encke.js, from src/web/encke.js, where the words
// are. Run it with `npm run minify` whenever that has changed; a test compares.

import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { minify } from "terser";

const web = new URL("../../src/web/", import.meta.url);
const BANNER = "/* encke, MIT or Apache-2.0. To be read at /encke.src.js */\n";

export async function compact() {
  const source = readFileSync(new URL("encke.js", web), "utf8");
  const { code } = await minify(source, {
    ecma: 5,
    ie8: true, // no property named by a reserved word, nothing that old engines get wrong
    compress: { passes: 3, keep_fargs: false },
    mangle: true,
    format: { comments: false },
  });
  return `${BANNER}${code}\n`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  writeFileSync(new URL("encke.min.js", web), await compact());
}
