#!/usr/bin/env -S node --no-wasm-inlining --v8-pool-size=1 --wasm-tiering-budget=600000
// The command's entry, in plain JavaScript that any Node since 18 runs: pagefold itself is TypeScript, which
// Node runs as it is from version 24 on. An older Node hands over to the one among pagefold's dependencies.
//
// V8 is told not to look for WebAssembly functions to inline: there are none in translated guest code, and the look-out costs
// its baseline code a call at every entry of a function, a tenth of a boot's time. Its compilers have one thread instead of four: on
// a machine of two CPUs more push aside the one that executes guests, which takes another tenth, and one is enough: it is idle half of
// a boot. It optimizes a function once its baseline code has executed about 0.6 MB instead of 13: what is worth translating here is
// worth optimizing sooner. The first two cannot be told later.
import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { constants } from 'node:os';
import { dirname, join } from 'node:path';

const floor = 24;
const flags = ['--no-wasm-inlining', '--v8-pool-size=1', '--wasm-tiering-budget=600000'];
const major = (version) => Number.parseInt(version, 10);

if (major(process.versions.node) >= floor) {
  await import('./loading.js');
  await import('./main.ts');
} else {
  handOver(bundledNode());
}

/** Finds the Node that npm installed as an optional dependency for this platform. */
function bundledNode() {
  const system = process.platform === 'win32' ? 'win' : process.platform;
  const require = createRequire(import.meta.url);
  for (const name of [`node-${system}-${process.arch}`, `node-bin-${system}-${process.arch}`]) {
    try {
      const manifest = require.resolve(`${name}/package.json`);
      if (major(require(manifest).version) < floor) continue;
      return join(dirname(manifest), 'bin', system === 'win' ? 'node.exe' : 'node');
    } catch {
      // Not installed: the next name, or the message below.
    }
  }
  console.error(
    `pagefold: node: this is Node ${process.versions.node}, pagefold needs ${floor} or newer, and its own Node is not ` +
      `installed for ${process.platform} ${process.arch}. Remedy: run 'npm ci' without '--omit=optional', or install ` +
      `Node ${floor} or newer.`,
  );
  process.exit(2);
}

/** Runs the command by that Node in this one's place: same arguments, terminal, signals and exit status. */
function handOver(node) {
  const child = spawn(node, [...flags, ...process.argv.slice(1)], { stdio: 'inherit' });
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'];
  for (const signal of signals) process.on(signal, () => child.kill(signal));
  child.on('error', (error) => {
    console.error(`pagefold: ${node}: cannot be run (${error.message}). Remedy: run 'npm ci' again.`);
    process.exit(2);
  });
  child.on('exit', (status, signal) => {
    process.exit(signal === null ? status : 128 + constants.signals[signal]);
  });
}
