// The same library as an ES module: `import Encke from "./encke.mjs"`. In a browser encke.js leaves a global,
// in Node it is a CommonJS module; this finds it in both.
import * as library from "./encke.js";

export default library.default ?? globalThis.Encke;
