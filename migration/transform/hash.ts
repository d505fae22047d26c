import { z } from 'zod';
import { cannot, inputOf, onValue, transform } from './definition';
import { sha256, toHex } from './sha';
import { textReader } from './text-form';
import { toBase64 } from './to-text';

const encoder = new TextEncoder();

export const hash = transform({
  name: 'hash',
  help: 'SHA-256 of the value, with a salt in front that the plan only names. The same value gives the same hash.',
  params: z.strictObject({
    salt: z.string().min(1).optional().describe('Name of the constant that holds the salt; the salt itself never stands in the plan.'),
    encoding: z.enum(['hex', 'base64']).default('hex'),
  }),
  inputs: 'one',
  outputs: 'one',
  lossy: true,
  compile({ salt: saltName, encoding }, context) {
    const column = inputOf(context);
    const salt = saltName === undefined ? '' : context.constants[saltName];
    if (typeof salt !== 'string') return cannot(`there is no text constant \`${String(saltName)}\` for the salt.`);
    const prefix = encoder.encode(salt);
    const print = encoding === 'hex' ? toHex : toBase64;
    const bytesOf = column.kind === 'bytes' ? null : textReader(column);
    return onValue('text', (value) => {
      const bytes = bytesOf === null ? (value as Uint8Array) : encoder.encode(bytesOf(value));
      if (prefix.length === 0) return print(sha256(bytes));
      const message = new Uint8Array(prefix.length + bytes.length);
      message.set(prefix);
      message.set(bytes, prefix.length);
      return print(sha256(message));
    });
  },
});
