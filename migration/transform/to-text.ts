import { z } from 'zod';
import { inputOf, onValue, transform } from './definition';
import { toHex } from './sha';
import { textReader } from './text-form';

const BASE64 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';

/** Base64 with padding (RFC 4648 section 4). */
export function toBase64(bytes: Uint8Array): string {
  let out = '';
  for (let i = 0; i < bytes.length; i += 3) {
    const triple = (bytes[i]! << 16) | ((bytes[i + 1] ?? 0) << 8) | (bytes[i + 2] ?? 0);
    out += BASE64.charAt(triple >> 18) + BASE64.charAt((triple >> 12) & 63)
      + (i + 1 < bytes.length ? BASE64.charAt((triple >> 6) & 63) : '=') + (i + 2 < bytes.length ? BASE64.charAt(triple & 63) : '=');
  }
  return out;
}

export const toText = transform({
  name: 'to_text',
  help: 'Text of any value; bytes by `encoding` (bytes that are not valid UTF-8 fail).',
  params: z.strictObject({ encoding: z.enum(['utf8', 'hex', 'base64']).default('utf8').describe('How bytes become text.') }),
  inputs: 'one',
  outputs: 'one',
  lossy: false,
  compile({ encoding }, context) {
    const column = inputOf(context);
    if (column.kind !== 'bytes') return onValue('text', textReader(column));
    if (encoding === 'hex') return onValue('text', (value) => toHex(value as Uint8Array));
    if (encoding === 'base64') return onValue('text', (value) => toBase64(value as Uint8Array));
    const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
    return onValue('text', (value) => {
      try {
        return decoder.decode(value as Uint8Array);
      } catch {
        return context.fail();
      }
    });
  },
});
