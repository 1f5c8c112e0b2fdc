/** `make screenshots`: writes the pictures of the page to the given folder. */
import { mkdirSync, writeFileSync } from "node:fs";
import { TestBrowser } from "./browser.ts";
import { takePictures } from "./screenshots.ts";

const [folder] = process.argv.slice(2);
if (folder === undefined) throw new Error("usage: take-screenshots.ts FOLDER");
mkdirSync(folder, { recursive: true });
await using browser = await TestBrowser.start();
await takePictures(browser, ({ name }, png) => writeFileSync(`${folder}/${name}.png`, png));
