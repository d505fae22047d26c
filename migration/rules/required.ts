import type { RuleDefinition } from './definition';

/** Blank as JavaScript's `trim` has it; ASCII is decided on the first character. */
function isBlank(text: string): boolean {
  const first = text.charCodeAt(0);
  return !(first > 32 && first < 127) && text.trim() === '';
}

export const required: RuleDefinition<true> = {
  name: 'required',
  help: 'Neither NULL nor blank text.',
  params: 'list of columns',
  scope: 'row',
  compile(_params, column) {
    if (column.kind !== 'text' && column.kind !== 'opaque') return { check: (value) => value !== null, nullOnly: true };
    return {
      check: (value) => value !== null && !isBlank(value as string),
      checkBytes(bytes, start, end) {
        for (let i = start; i < end; i += 1) {
          const c = bytes[i]!;
          if (c >= 127) return undefined;
          // Of the ASCII control characters only tab to carriage return count as blank.
          if (c > 32 || (c < 32 && (c < 9 || c > 13))) return true;
        }
        return false;
      },
    };
  },
};
