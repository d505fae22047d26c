import { isIpv6 } from './ip-address';

/** Absolute URL with an authority: `scheme://host[:port][/...]`. No white space, control characters, quotes or angle brackets. One pass per part. */
export function isUrl(text: string): boolean {
  const colon = text.indexOf('://');
  if (colon < 1 || text.length > 65_536) return false;
  for (let i = 0; i < colon; i += 1) {
    const c = text.charCodeAt(i) | 32;
    const letter = c >= 97 && c <= 122;
    const other = i > 0 && ((text.charCodeAt(i) >= 48 && text.charCodeAt(i) <= 57) || '+-.'.includes(text.charAt(i)));
    if (!letter && !other) return false;
  }
  let end = text.length;
  for (let i = colon + 3; i < text.length; i += 1) {
    const c = text.charCodeAt(i);
    if (c <= 32 || c === 127 || c === 34 || c === 60 || c === 62 || c === 92 || c === 94 || c === 96 || (c >= 123 && c <= 125) || isSpace(c)) return false;
    if (end === text.length && (c === 47 || c === 63 || c === 35)) end = i;
  }
  return isAuthority(text.slice(colon + 3, end));
}

/** White space beyond ASCII, as JavaScript's `trim` has it. */
function isSpace(c: number): boolean {
  return c === 0xa0 || c === 0x1680 || (c >= 0x2000 && c <= 0x200a) || c === 0x2028 || c === 0x2029 || c === 0x202f || c === 0x205f || c === 0x3000 || c === 0xfeff;
}

function isAuthority(text: string): boolean {
  let host = text.slice(text.lastIndexOf('@') + 1);
  const bracket = host.startsWith('[') ? host.indexOf(']') : -1;
  const colon = host.indexOf(':', bracket + 1);
  if (colon >= 0) {
    const port = host.slice(colon + 1);
    for (let i = 0; i < port.length; i += 1) if (port.charCodeAt(i) < 48 || port.charCodeAt(i) > 57) return false;
    if (port.length > 5 || Number(port) > 65_535) return false;
    host = host.slice(0, colon);
  }
  if (host.startsWith('[')) return bracket === host.length - 1 && isIpv6(host.slice(1, -1));
  return host !== '' && host !== '.' && !host.startsWith('.') && !host.includes('..') && !host.includes('[') && !host.includes(']');
}
