// The corpus of odd requests (tests/http_corpus) before another parser: Node's llhttp, which nobody here wrote.
// What encke accepts, Node has to accept and to read alike; so whatever Node refuses, encke refuses. The other
// way round need not be: encke is the stricter one, with the exceptions named below.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import { connect } from "node:net";
import { after, before, test } from "node:test";

const FOLDER = new URL("../http_corpus/", import.meta.url);
const NEXT = "GET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

// Where Node asks for more than the RFCs do: tabs around a length are optional white space (RFC 9110, 5.6.3), what
// a trailer says of lengths may be passed over (6.5.1), and so may an Upgrade (7.8) and what follows the last request
// (RFC 9112, 9.6).
const STRICTER = ["space around it is not part of the value", "an upgrade that nobody here knows is passed over",
  "fields that have no business in a trailer change nothing", "nothing follows one that is to be closed",
  "space around a semicolon and an equals sign, bad but to be understood"];

const ESCAPES = { r: "\r", n: "\n", t: "\t", 0: "\0", "\\": "\\" };

// The format is told in tests/http_corpus.rs. Bytes are the characters of a latin1 string here.
function cases(text) {
  const found = [];
  for (const line of text.split("\n")) {
    if (line.startsWith("  ")) {
      const repeated = line.slice(2).replace(/\{(\d+)\*([^}]*)\}/, (_, count, unit) => unit.repeat(count));
      found.at(-1).bytes += repeated.replace(/\\(x(..)|[rnt0\\])/g, (_, one, hex) =>
        hex ? String.fromCharCode(parseInt(hex, 16)) : ESCAPES[one]);
    } else if (line && !line.startsWith("#")) {
      const at = line.lastIndexOf(": ");
      found.push({ name: line.slice(0, at), verdict: line.slice(at + 2), bytes: "" });
    }
  }
  return found;
}

let server, seen;

before(async () => {
  server = createServer((request, response) => {
    let body = "";
    request.setEncoding("latin1");
    request.on("data", (part) => { body += part; });
    request.on("end", () => {
      seen.push({ url: request.url, body });
      response.end();
    });
  });
  await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
});

after(() => server.close());

// What Node makes of these bytes: the requests it understood, and whether it refused one.
function ask(bytes) {
  seen = [];
  return new Promise((done) => {
    let text = "";
    const socket = connect(server.address().port, "127.0.0.1");
    socket.on("data", (part) => { text += part; });
    socket.on("error", () => {});
    socket.on("close", () => done({ seen, refused: /^HTTP\/1.1 [45]/m.test(text) }));
    socket.end(Buffer.from(bytes, "latin1"));
  });
}

for (const file of readdirSync(FOLDER).sort()) {
  test(`Node reads what encke accepts alike: ${file}`, async () => {
    let accepted = 0;
    for (const { name, verdict, bytes } of cases(readFileSync(new URL(file, FOLDER), "utf8"))) {
      const [first, second] = verdict.split(" then ");
      if (!first.startsWith("2") || (second && !second.startsWith("2")) || STRICTER.includes(name)) continue;
      const closes = first.endsWith(" close");
      // llhttp knows no minor version above 1.
      const { seen, refused } = await ask(bytes.replace(/HTTP\/1\.[2-9]/, "HTTP/1.1") + (closes ? "" : NEXT));
      assert.equal(refused, false, `Node refuses: ${name}`);
      assert.equal(seen.length, (closes ? 1 : 2) + (second ? 1 : 0), `Node sees other requests: ${name}`);
      if (!closes) assert.equal(seen.at(-1).url, "/next", name);
      const said = first.slice(4);
      if (said.startsWith('"')) assert.equal(seen[0].body, JSON.parse(said), name);
      accepted++;
    }
    assert.ok(accepted > 0 || file === "codings.txt");
  });
}
