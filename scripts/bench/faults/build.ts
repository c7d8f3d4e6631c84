/** Builds what the run's processes run, once at its start: a tree that is edited in the meantime must not change the run. */
import { transformFileSync } from '@swc/core';
import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { projectRoot } from '../../project';

const FOLDERS = ['src', 'migrations', 'scripts'];

/** @param into an empty folder @returns it, with JavaScript of the same layout in it */
export function buildInto(into: string): string {
  const root = projectRoot();
  for (const folder of FOLDERS) {
    for (const entry of readdirSync(join(root, folder), { recursive: true, withFileTypes: true })) {
      if (!entry.isFile() || !entry.name.endsWith('.ts') || entry.name.endsWith('.d.ts')) continue;
      const file = join(entry.parentPath, entry.name);
      const out = join(into, relative(root, file).replace(/\.ts$/, '.js'));
      mkdirSync(dirname(out), { recursive: true });
      writeFileSync(out, transform(file));
    }
  }
  // The simulator reads what a node is configured with.
  for (const name of ['node_modules', 'freeswitch']) symlinkSync(join(root, name), join(into, name));
  writeFileSync(join(into, 'package.json'), '{"type":"commonjs"}\n');
  return into;
}

const transform = (file: string): string =>
  transformFileSync(file, {
    swcrc: false,
    jsc: { target: 'es2022', parser: { syntax: 'typescript' } },
    module: { type: 'commonjs' },
  }).code;
