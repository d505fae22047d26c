import { z } from 'zod';
import { inputOf, onValue, transform } from './definition';
import { textReader } from './text-form';
import { parseUuid, uuidV5 } from './uuid-text';

const encoder = new TextEncoder();

export const toUuid = transform({
  name: 'to_uuid',
  help: 'UUID: read from its usual spellings, or with `namespace` derived from the value (version 5, the same every time).',
  params: z.strictObject({ namespace: z.guid().optional().describe('Namespace UUID: derive instead of read.') }),
  inputs: 'one',
  outputs: 'one',
  lossy: ({ namespace }) => namespace !== undefined,
  compile({ namespace }, context) {
    const column = inputOf(context);
    if (column.kind === 'uuid' && namespace === undefined) return onValue('uuid', (value) => value);
    const read = textReader(column);
    if (namespace !== undefined) return onValue('uuid', (value) => uuidV5(namespace, encoder.encode(read(value))));
    return onValue('uuid', (value) => parseUuid(read(value).trim()) ?? context.fail());
  },
});
