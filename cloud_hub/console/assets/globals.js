// The sse extension looks for a global `htmx`, so this module comes before it. Bundled into one file, it cannot
// come late (an extension that arrives after htmx has started is never connected).
import htmx from "htmx.org/dist/htmx.esm.js";

window.htmx = htmx;
