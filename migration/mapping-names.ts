import { distance } from 'fastest-levenshtein';

/** `; did you mean \`email\`?`, when a known name is near, else ''. */
export function nearestName(name: string, known: readonly string[]): string {
  let best: string | undefined;
  let least = Math.max(2, Math.floor(name.length / 3)) + 1;
  for (const candidate of known) {
    const d = candidate.toLowerCase() === name.toLowerCase() ? 0 : distance(name, candidate);
    if (d < least) { least = d; best = candidate; }
  }
  return best === undefined ? '' : `; did you mean \`${best}\`?`;
}
