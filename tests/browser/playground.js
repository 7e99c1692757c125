// The service under test: `examples/playground.rs`, one process, asked line by line.

import { spawn } from "node:child_process";
import { createInterface } from "node:readline";

const PROGRAM = new URL("../../target/debug/examples/playground", import.meta.url).pathname;

/** @param {string[]} storage the address of an S3 server and a bucket there; none for the embedded one */
export async function playground(...storage) {
  const child = spawn(PROGRAM, storage, { stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async () => {
    const { value, done } = await lines.next();
    if (done) throw new Error("the playground ended");
    const answer = JSON.parse(value);
    if (answer?.error) throw new Error(answer.error);
    return answer;
  };
  const { url, x } = await next();
  let turn = Promise.resolve();
  /** @param {string} line */
  const tell = (line) => {
    const answer = turn.then(() => {
      child.stdin.write(`${line}\n`);
      return next();
    });
    turn = answer.catch(() => {});
    return answer;
  };
  return {
    url,
    x,
    pid: child.pid,
    tell,
    /** The link that `/COMMAND` answers NAME with. */
    link: async (command, name) => (await tell(`ask ${name} ${command}`)).link,
    said: (name) => tell(`said ${name}`),
    stop: () => new Promise((stopped) => {
      child.once("exit", stopped);
      child.stdin.end();
    }),
  };
}
