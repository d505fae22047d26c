import { z } from 'zod';
import { cannot, inputOf, onValue, transform } from './definition';
import { isJson } from './literal';
import { textOfValue } from './text-form';

export const toJson = transform({
  name: 'to_json',
  help: 'JSON: a text must be JSON already (`as: parse`) or becomes a JSON string (`as: string`); numbers keep every digit.',
  params: z.strictObject({ as: z.enum(['parse', 'string']).default('parse').describe('How a text is taken.') }),
  inputs: 'one',
  outputs: 'one',
  lossy: false,
  compile(params, context) {
    const column = inputOf(context);
    switch (column.kind) {
      case 'json': return onValue('json', (value) => value);
      case 'bytes': return cannot(`\`${column.name}\` holds bytes: put \`to_text\` before.`);
      case 'boolean': case 'integer': return onValue('json', (value) => textOfValue(value));
      case 'decimal': case 'float': return onValue('json', (value) => {
        const text = textOfValue(value);
        return text === 'NaN' || text.endsWith('Infinity') ? context.fail() : text;
      });
      case 'text': case 'opaque':
        if (params.as === 'parse') return onValue('json', (value) => (isJson(value as string) ? value : context.fail()));
        return onValue('json', (value) => JSON.stringify(value));
      default: return onValue('json', (value) => JSON.stringify(value));
    }
  },
});
