// The client library in Chromium: see suite.mjs.

import { suite } from "./suite.mjs";

suite("chromium");
