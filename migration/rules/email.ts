/**
 * E-mail addresses as mail systems take them: dot-atom local part of at most 64 bytes, domain of at least two labels (letters, digits, inner hyphens),
 * 254 bytes in all (RFC 5321, RFC 6531 for letters beyond ASCII). No quoted local parts, comments or address literals. One pass, no backtracking.
 */

const LOCAL = 1;
const LABEL = 2;

/** What an ASCII character may be part of. */
const CLASS = new Uint8Array(128);
for (let c = 48; c <= 57; c += 1) CLASS[c] = LOCAL | LABEL;
for (let c = 65; c <= 90; c += 1) CLASS[c] = LOCAL | LABEL;
for (let c = 97; c <= 122; c += 1) CLASS[c] = LOCAL | LABEL;
for (const c of "!#$%&'*+/=?^_`{|}~") CLASS[c.charCodeAt(0)] = LOCAL;
CLASS[45] = LOCAL | LABEL;

const AT = 64;
const DOT = 46;
const HYPHEN = 45;
/** Stands for one letter, digit or mark beyond ASCII. */
const INTERNATIONAL = /^[\p{L}\p{N}\p{M}]$/u;

const BYTES_MAX = 254;
const LOCAL_BYTES_MAX = 64;
const LABEL_BYTES_MAX = 63;

export function isEmail(text: string): boolean {
  const length = text.length;
  if (length < 6 || length > BYTES_MAX) return false;
  let at = -1;
  let labelStart = 0;
  let previous = DOT;
  let dots = 0;
  for (let i = 0; i < length; i += 1) {
    const c = text.charCodeAt(i);
    if (c === DOT) {
      if (previous === DOT || previous === AT || (at >= 0 && (previous === HYPHEN || i - labelStart > LABEL_BYTES_MAX))) return false;
      if (at >= 0) { dots += 1; labelStart = i + 1; }
    } else if (c === AT) {
      if (at >= 0 || previous === DOT || i === 0 || i > LOCAL_BYTES_MAX) return false;
      at = i;
      labelStart = i + 1;
    } else if (c >= 128) {
      return isInternational(text);
    } else {
      if ((CLASS[c]! & (at < 0 ? LOCAL : LABEL)) === 0) return false;
      if (c === HYPHEN && at >= 0 && i === labelStart) return false;
    }
    previous = c;
  }
  return at > 0 && dots > 0 && previous !== DOT && previous !== HYPHEN && length - labelStart <= LABEL_BYTES_MAX && !endsInDigitsOnly(text, labelStart);
}

/** A last label of digits only is an IP address, not a domain. */
function endsInDigitsOnly(text: string, from: number): boolean {
  for (let i = from; i < text.length; i += 1) {
    const c = text.charCodeAt(i);
    if (c < 48 || c > 57) return false;
  }
  return true;
}

/** The same on UTF-8 bytes; undefined when there is a character beyond ASCII. */
export function isEmailBytes(bytes: Uint8Array, start: number, end: number): boolean | undefined {
  const length = end - start;
  let at = -1;
  let labelStart = start;
  let previous = DOT;
  let dots = 0;
  let digitsOnly = true;
  let good = length >= 6 && length <= BYTES_MAX;
  for (let i = start; i < end; i += 1) {
    const c = bytes[i]!;
    if (c >= 128) return undefined;
    if (c === DOT) {
      if (previous === DOT || previous === AT || (at >= 0 && (previous === HYPHEN || i - labelStart > LABEL_BYTES_MAX))) good = false;
      if (at >= 0) { dots += 1; labelStart = i + 1; digitsOnly = true; }
    } else if (c === AT) {
      if (at >= 0 || previous === DOT || i === start || i - start > LOCAL_BYTES_MAX) good = false;
      at = i;
      labelStart = i + 1;
      digitsOnly = true;
    } else {
      if ((CLASS[c]! & (at < 0 ? LOCAL : LABEL)) === 0 || (c === HYPHEN && at >= 0 && i === labelStart)) good = false;
      if (c < 48 || c > 57) digitsOnly = false;
    }
    previous = c;
  }
  return good && at > start && dots > 0 && previous !== DOT && previous !== HYPHEN && end - labelStart <= LABEL_BYTES_MAX && !digitsOnly;
}

/** Rare: letters beyond ASCII stand for themselves; lengths count in UTF-8. */
function isInternational(text: string): boolean {
  let ascii = '';
  for (const point of text) {
    const code = point.codePointAt(0) ?? 0;
    if (code < 128) ascii += point;
    else if (INTERNATIONAL.test(point)) ascii += 'x'.repeat(code < 0x800 ? 2 : code < 0x10000 ? 3 : 4);
    else return false;
  }
  return isEmail(ascii);
}
