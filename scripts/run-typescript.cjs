// Runs a TypeScript entry file in this same process: node scripts/run-typescript.cjs FILE [ARG ...].
// One process, so that a signal or a kill -9 meets the program itself and not a launcher.
'use strict';
require('tsx/cjs');
const path = require('node:path');
const [, , file, ...args] = process.argv;
const entry = path.resolve(file);
process.argv = [process.argv[0], entry, ...args];
require(entry);
