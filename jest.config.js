module.exports = {
  testEnvironment: 'node',
  roots: ['<rootDir>/test'],
  testMatch: ['**/*.test.ts'],
  transform: {
    '^.+\\.[tj]s$': [
      '@swc/jest',
      { jsc: { target: 'es2022', parser: { syntax: 'typescript' } }, module: { type: 'commonjs' } },
    ],
  },
  transformIgnorePatterns: ['/node_modules/'],
  globalSetup: '<rootDir>/test/global-setup.ts',
  globalTeardown: '<rootDir>/test/global-teardown.ts',
  // For each test and hook: it ends what hangs, and is no claim. A build machine may be many times slower than ours.
  testTimeout: 180000,
  // Most of the time is waiting; more than two would make the clocks of some tests too tight on a small machine.
  maxWorkers: 2,
};
