/**
 * House rules that a linter does not know: sizes, names, leftovers, dead files. Prints every breach and ends with 1 when there is one.
 */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

const FOLDERS = ['migration', 'workflows', 'activities', 'workers', 'scripts', 'test', 'bench'];
const LINES_MAX = 400;
/** Suites hold tables of cases, and one set-up for many tests. */
const TEST_LINES_MAX = 650;
const COLUMNS_MAX = 400;
const BUCKET_NAMES = /^(utils?|helpers?|common|types|misc|shared)\.ts$/;
// Split so that this file does not find itself.
const LEFTOVERS = new RegExp(`\\b(${['TO', 'DO|FIX', 'ME|XX', 'X'].join('')})\\b`);
/** Loaded by name, not by import. */
const ENTRIES = [/\.test\.ts$/, /^scripts\/(caravan|tidy|generate|record-history)\.ts$/, /^scripts\/demo\/(demo|seed)\.ts$/, /^bench\/bench\.ts$/, /^test\/sabotage\/sabotage\.ts$/, /^workflows\/index\.ts$/, /^test\/fixtures\/(start|stop)-stack\.ts$/];

interface SourceFile { path: string; text: string }

function sourceFiles(folder: string): SourceFile[] {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => path.join(entry.parentPath, entry.name))
    .map((file) => ({ path: file, text: readFileSync(file, 'utf8') }));
}

function breachesOf({ path: file, text }: SourceFile): string[] {
  const lines = text.split('\n');
  const found: string[] = [];
  const isTest = file.startsWith('test/');
  const linesMax = isTest ? TEST_LINES_MAX : LINES_MAX;
  if (lines.length > linesMax) found.push(`${file}: ${lines.length} lines; split it by what it does (at most ${linesMax})`);
  if (BUCKET_NAMES.test(path.basename(file))) found.push(`${file}: name it for what is inside`);
  if (path.basename(file) !== path.basename(file).toLowerCase()) found.push(`${file}: file names are kebab-case`);
  lines.forEach((line, at) => {
    if (!isTest && line.length > COLUMNS_MAX) found.push(`${file}:${at + 1}: ${line.length} columns (at most ${COLUMNS_MAX})`);
    if (LEFTOVERS.test(line)) found.push(`${file}:${at + 1}: a leftover note; do it or file it`);
  });
  return found;
}

/** Files that nobody imports and nothing starts. */
function deadFiles(files: readonly SourceFile[]): string[] {
  const imported = new Set<string>();
  for (const file of files) {
    for (const [, target] of file.text.matchAll(/(?:from|import\(|import|require\(|require\.resolve\()\s*'(\.[^']+)'/g)) {
      const base = path.join(path.dirname(file.path), target ?? '');
      for (const candidate of [base, `${base}.ts`, path.join(base, 'index.ts')]) imported.add(candidate);
    }
  }
  return files
    .map((file) => file.path)
    .filter((file) => !imported.has(file) && !ENTRIES.some((entry) => entry.test(file)))
    .map((file) => `${file}: nobody imports it`);
}

const files = FOLDERS.flatMap(sourceFiles);
const breaches = [...files.flatMap(breachesOf), ...deadFiles(files)];
for (const breach of breaches) console.error(breach);
console.log(breaches.length === 0 ? `tidy: ${files.length} files` : `tidy: ${breaches.length} breaches`);
process.exitCode = breaches.length === 0 ? 0 : 1;
