// The client library in WebKit: see suite.mjs.

import { suite } from "./suite.mjs";

suite("webkit");
