// What the script of the viewer page does when it is loaded.
import { start } from "./main.js";
import { Viewer } from "./viewer.js";

start(globalThis.document?.baseURI);
if (globalThis.document) new Viewer(document);
