import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

/** A planted bug, and the test that must turn red by it. */
export interface Sabotage {
  name: string;
  /** Snippets, each there exactly once in its file; made in this order. */
  edits: readonly { file: string; find: string; replace: string }[];
  /** The suite and the test (part of its full name; empty: any) that must turn red. */
  suite: string;
  test: string;
}

/** The files as they are with the bug in them, by path; or what does not fit, for people. */
function broken(tree: string, { edits }: Sabotage): Map<string, string> | string {
  const texts = new Map<string, string>();
  for (const { file, find, replace } of edits) {
    const text = texts.get(file) ?? readText(path.join(tree, file));
    if (text === null) return `there is no file ${file}`;
    const times = text.split(find).length - 1;
    if (times !== 1) return `${file} holds this ${times} times, not once: ${find}`;
    if (find === replace) return `nothing is changed in ${file}`;
    texts.set(file, text.replace(find, () => replace));
  }
  return texts;
}

function readText(file: string): string | null {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return null;
  }
}

/** Why the bug cannot be planted in this tree, or its suite is not there; null when all is well. Changes nothing. */
export function misfit(tree: string, sabotage: Sabotage): string | null {
  const texts = broken(tree, sabotage);
  if (typeof texts === 'string') return texts;
  return readText(path.join(tree, sabotage.suite)) === null ? `there is no suite ${sabotage.suite}` : null;
}

/** Puts the bug into the tree and answers how to take it out. @throws Error when it does not fit; the tree is as it was then. */
export function plant(tree: string, sabotage: Sabotage): () => void {
  const texts = broken(tree, sabotage);
  if (typeof texts === 'string') throw new Error(`${sabotage.name}: ${texts}`);
  const originals = new Map([...texts.keys()].map((file) => [file, readFileSync(path.join(tree, file), 'utf8')]));
  for (const [file, text] of texts) writeFileSync(path.join(tree, file), text);
  return () => { for (const [file, text] of originals) writeFileSync(path.join(tree, file), text); };
}
