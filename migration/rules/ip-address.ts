/** Four decimal numbers up to 255 without leading zeros. */
export function isIpv4(text: string): boolean {
  if (text.length < 7 || text.length > 15) return false;
  let parts = 0;
  let value = -1;
  for (let i = 0; i <= text.length; i += 1) {
    const c = i === text.length ? 46 : text.charCodeAt(i);
    if (c === 46) {
      if (value < 0) return false;
      parts += 1;
      value = -1;
    } else {
      if (c < 48 || c > 57 || value === 0) return false;
      value = (value < 0 ? 0 : value * 10) + c - 48;
      if (value > 255) return false;
    }
  }
  return parts === 4;
}

/** RFC 4291 text: eight groups, one `::` for at least one of them, an IPv4 tail allowed. No zone. */
export function isIpv6(text: string): boolean {
  if (text.length < 2 || text.length > 45) return false;
  let rest = text;
  let groups = 0;
  const tail = text.lastIndexOf(':') + 1;
  if (text.includes('.')) {
    if (tail === 0 || !isIpv4(text.slice(tail))) return false;
    rest = `${text.slice(0, tail)}0:0`;
  }
  const gap = rest.indexOf('::');
  if (gap < 0) return groupCount(rest) === 8;
  if (rest.indexOf('::', gap + 1) >= 0) return false;
  for (const side of [rest.slice(0, gap), rest.slice(gap + 2)]) {
    if (side === '') continue;
    const count = groupCount(side);
    if (count < 0) return false;
    groups += count;
  }
  return groups <= 7;
}

/** Number of groups of one to four hexadecimal digits, or -1. */
function groupCount(text: string): number {
  let groups = 1;
  let digits = 0;
  for (let i = 0; i < text.length; i += 1) {
    const c = text.charCodeAt(i);
    if (c === 58) {
      if (digits === 0) return -1;
      groups += 1;
      digits = 0;
    } else {
      const hex = (c >= 48 && c <= 57) || (c >= 97 && c <= 102) || (c >= 65 && c <= 70);
      digits += 1;
      if (!hex || digits > 4) return -1;
    }
  }
  return digits === 0 ? -1 : groups;
}
