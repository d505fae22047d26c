import { sha1 } from './sha';

/** Canonical text (lower case, hyphens) of a UUID written plain, with hyphens, in braces or as a URN; null when it is none. */
export function parseUuid(text: string): string | null {
  let t = text;
  if (t.length === 36 && isHyphenated(t)) return t.toLowerCase();
  if (t.length === 45 && t.slice(0, 9).toLowerCase() === 'urn:uuid:') t = t.slice(9);
  else if (t.length >= 34 && t.startsWith('{') && t.endsWith('}')) t = t.slice(1, -1);
  if (t.length === 32) t = `${t.slice(0, 8)}-${t.slice(8, 12)}-${t.slice(12, 16)}-${t.slice(16, 20)}-${t.slice(20)}`;
  return t.length === 36 && isHyphenated(t) ? t.toLowerCase() : null;
}

/** 8-4-4-4-12 hexadecimal digits, either case. */
export function isHyphenated(text: string): boolean {
  if (text.length !== 36) return false;
  for (let i = 0; i < 36; i += 1) {
    const c = text.charCodeAt(i);
    if (i === 8 || i === 13 || i === 18 || i === 23) {
      if (c !== 45) return false;
    } else if (!((c >= 48 && c <= 57) || (c >= 97 && c <= 102) || (c >= 65 && c <= 70))) {
      return false;
    }
  }
  return true;
}

/** Name-based UUID, version 5 (RFC 9562 section 5.5): the same namespace and name always give the same UUID. */
export function uuidV5(namespace: string, name: Uint8Array): string {
  const hex = namespace.replaceAll('-', '');
  const message = new Uint8Array(16 + name.length);
  for (let i = 0; i < 16; i += 1) message[i] = parseInt(hex.slice(i * 2, i * 2 + 2), 16);
  message.set(name, 16);
  const digest = sha1(message);
  digest[6] = ((digest[6] ?? 0) & 0x0f) | 0x50;
  digest[8] = ((digest[8] ?? 0) & 0x3f) | 0x80;
  let out = '';
  for (let i = 0; i < 16; i += 1) {
    if (i === 4 || i === 6 || i === 8 || i === 10) out += '-';
    out += (digest[i] ?? 0).toString(16).padStart(2, '0');
  }
  return out;
}
