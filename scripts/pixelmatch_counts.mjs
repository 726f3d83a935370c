// How many pixels pixelmatch finds different: node pixelmatch_counts.mjs MODULE_FOLDER; lines of two PNGs' paths,
// with a tab between them, come in, numbers go out.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const folder = resolve(process.argv[2]);
const { PNG } = createRequire(join(folder, "index.js"))("pngjs");
const { default: pixelmatch } = await import(pathToFileURL(join(folder, "index.js")));

for await (const line of createInterface({ input: process.stdin })) {
  const [first, second] = line.split("\t").map((path) => PNG.sync.read(readFileSync(path)));
  console.log(pixelmatch(first.data, second.data, null, first.width, first.height, { threshold: 0.1 }));
}
