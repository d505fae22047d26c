// Runs one server and stops it when the parent goes away, even by kill -9: the parent holds the other end of our stdin.
// Plain JavaScript without dependencies, so that it starts fast and cannot fail to load.
//
// argv[2]  JSON: { program, args, logFile, stopSignal, stopLimitMs, cwd?, uid?, gid? }
// stdin    end of input = stop the server; the line "release" = leave the server running and go away
// stdout   one JSON object a line: { "pid": n } once started, { "failed": message } if it could not be
'use strict';
const { spawn } = require('node:child_process');
const fs = require('node:fs');

const spec = JSON.parse(process.argv[2]);
const report = (fact) => {
  try {
    fs.writeSync(1, JSON.stringify(fact) + '\n');
  } catch {
    // The parent is gone: the end of stdin tells us the same.
  }
};

let log;
try {
  log = fs.openSync(spec.logFile, 'a', 0o600);
} catch (error) {
  report({ failed: error.message });
  process.exit(1);
}
const server = spawn(spec.program, spec.args, {
  stdio: ['ignore', log, log],
  cwd: spec.cwd,
  uid: spec.uid,
  gid: spec.gid,
  detached: true, // its own session: a Ctrl-C on the terminal reaches the parent only
});
server.on('error', (error) => {
  report({ failed: error.message });
  process.exit(1);
});
server.on('spawn', () => report({ pid: server.pid }));
server.on('exit', () => process.exit(0));

let stopping = false;
function stop() {
  if (stopping) return;
  stopping = true;
  server.kill(spec.stopSignal);
  setTimeout(() => server.kill('SIGKILL'), spec.stopLimitMs);
}
process.stdin.on('data', (text) => {
  if (String(text).includes('release')) process.exit(0);
});
process.stdin.on('end', stop);
process.stdin.on('error', stop);
process.on('SIGTERM', stop);
process.on('SIGINT', stop);
process.on('SIGHUP', () => {}); // a closed terminal is the parent's business
