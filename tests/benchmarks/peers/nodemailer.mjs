// Sends the benchmark's message to every row of a CSV through nodemailer's pool. No log, no tokens.
//
// node nodemailer.mjs [--juice] FOLDER PORT CSV TEMPLATES FROM SUBJECT [DOMAIN SELECTOR KEY]
//   FOLDER holds node_modules; TEMPLATES holds email.html and email.txt; with a KEY (PEM) the mails are signed
//   --juice inlines the CSS of each message

import { createReadStream, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";

const CONNECTIONS = 10;
// Messages in the pool's hands: no connection ever waits for the CSV, and more than this makes the pool slower.
const AHEAD = 2 * CONNECTIONS;

const styled = process.argv[2] === "--juice";
const [folder, port, csv, templates, from, subject, domainName, keySelector, key] = process.argv.slice(styled ? 3 : 2);
const nodemailer = createRequire(join(resolve(folder), "package.json"))("nodemailer");

const juice = styled ? createRequire(join(resolve(folder), "package.json"))("juice") : (html) => html;

const fill = (template, row) => template.replace(/{{ (\w+) }}/g, (_, name) => row[name]);
const html = readFileSync(join(templates, "email.html"), "utf8");
const text = readFileSync(join(templates, "email.txt"), "utf8");

const transport = nodemailer.createTransport({
  host: "127.0.0.1",
  port: Number(port),
  secure: false,
  ignoreTLS: true,
  pool: true,
  maxConnections: CONNECTIONS,
  maxMessages: Infinity,
  ...(key && { dkim: { domainName, keySelector, privateKey: readFileSync(key, "utf8") } }),
});

let names;
let running = 0;
let wake = () => {};
for await (const line of createInterface({ input: createReadStream(csv), crlfDelay: Infinity })) {
  const cells = line.split(",");
  if (!names) {
    names = cells;
    continue;
  }
  const row = Object.fromEntries(names.map((name, at) => [name, cells[at]]));
  running += 1;
  transport
    .sendMail({ from, to: row.email, subject: fill(subject, row), html: juice(fill(html, row)), text: fill(text, row) })
    .then(
      () => {
        running -= 1;
        wake();
      },
      (error) => {
        console.error(error.message);
        process.exit(1);
      },
    );
  while (running >= AHEAD) await new Promise((go) => (wake = go));
}
while (running > 0) await new Promise((go) => (wake = go));
transport.close();
