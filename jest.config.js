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
  // Most of the time is waiting: on two cores four workers finish in half of the time of two, and no clock becomes too tight.
  maxWorkers: 4,
  // A worker that has run the fuzz targets holds 1.7 GB: it is started anew between two files.
  workerIdleMemoryLimit: '1GB',
};
