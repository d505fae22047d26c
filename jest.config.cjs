// Three projects: `unit` is pure code and needs no server; `system` and `soak` start the local stack once for all their suites.
'use strict';
// Texts are compared as plain text, also where CI is set and colours would be on; child processes inherit it.
process.env.NO_COLOR = '1';
const servers = { globalSetup: '<rootDir>/test/fixtures/start-stack.ts', globalTeardown: '<rootDir>/test/fixtures/stop-stack.ts' };
const shared = {
  testEnvironment: 'node',
  transform: { '^.+\\.ts$': ['@swc/jest', { jsc: { target: 'es2022', parser: { syntax: 'typescript' } }, module: { type: 'commonjs' } }] },
  testPathIgnorePatterns: ['/node_modules/'],
  modulePathIgnorePatterns: ['<rootDir>/.caravan/'],
};
module.exports = {
  projects: [
    { ...shared, displayName: 'unit', testMatch: ['<rootDir>/test/unit/**/*.test.ts'] },
    { ...shared, ...servers, displayName: 'system', testMatch: ['<rootDir>/test/{conformance,workflows,replay,e2e,faults}/**/*.test.ts'] },
    { ...shared, ...servers, displayName: 'soak', testMatch: ['<rootDir>/test/soak/**/*.test.ts'] },
  ],
  reporters: ['default', '<rootDir>/test/fixtures/closing-line-reporter.cjs'],
  maxWorkers: 2,
};
