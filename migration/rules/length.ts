import { textOfValue } from '../transform/text-form';
import { cannotJudge, passNull, type RuleDefinition } from './definition';

/** Characters as PostgreSQL counts them: code points. */
export function codePoints(text: string): number {
  let count = text.length;
  for (let i = 0; i < text.length - 1; i += 1) {
    if ((text.charCodeAt(i) & 0xfc00) === 0xd800 && (text.charCodeAt(i + 1) & 0xfc00) === 0xdc00) {
      count -= 1;
      i += 1;
    }
  }
  return count;
}

export interface LengthBounds { min?: number | undefined; max?: number | undefined }

export const length: RuleDefinition<LengthBounds> = {
  name: 'length',
  help: 'Number of characters (code points) of a text, of bytes of a binary value; both ends included.',
  params: '`column: { min, max }`',
  scope: 'row',
  compile({ min = 0, max = Infinity }, column) {
    if (min > max) cannotJudge(`min ${min} is greater than max ${max}.`);
    if (column.kind === 'bytes') return { check: passNull((value) => (value as Uint8Array).length >= min && (value as Uint8Array).length <= max) };
    return {
      check: passNull((value) => {
        const text = textOfValue(value);
        // Code points are at most the code units, at least half of them.
        if (text.length < min || text.length > 2 * max) return false;
        if (text.length <= max && text.length >= 2 * min) return true;
        const count = codePoints(text);
        return count >= min && count <= max;
      }),
    };
  },
};
