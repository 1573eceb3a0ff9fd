// The client library in Firefox: see suite.mjs.

import { suite } from "./suite.mjs";

suite("firefox");
