import { z } from 'zod';
import { inputOf, onValue, transform } from './definition';
import { textReader } from './text-form';

export const mask = transform({
  name: 'mask',
  help: 'Hides the characters of a text, keeping some at its ends. A text too short to hide any is hidden whole.',
  params: z.strictObject({
    keep_first: z.number().int().min(0).default(0).describe('Characters kept at the start.'),
    keep_last: z.number().int().min(0).default(0).describe('Characters kept at the end.'),
    char: z.string().min(1).max(2).default('*').describe('What stands for a hidden character.'),
  }),
  inputs: 'one',
  outputs: 'one',
  lossy: true,
  compile({ keep_first: first, keep_last: last, char }, context) {
    const read = textReader(inputOf(context));
    return onValue('text', (value) => {
      const points = Array.from(read(value));
      const hidden = points.length - first - last;
      if (hidden <= 0) return char.repeat(points.length);
      return points.slice(0, first).join('') + char.repeat(hidden) + points.slice(points.length - last).join('');
    });
  },
});
