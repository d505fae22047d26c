/** An address without user, password and parameters: `postgres://host:5432/database`. */
export function redactUrl(url: string): string {
  try {
    const { protocol, host, pathname } = new URL(url);
    // Without `//` the user counts as the scheme, and the password would stand in the path.
    return !url.trim().startsWith(`${protocol}//`) || pathname.includes('@') ? '(not an address)' : `${protocol}//${host}${pathname}`;
  } catch {
    return '(not an address)';
  }
}

/** A text in which user and password of every address, and every password parameter, are blotted out. */
export function redactText(text: string): string {
  return text
    .replace(/([a-z][a-z0-9+.-]*:\/\/)[^\s/@]*(?:@[^\s/@]*)*@/gi, '$1***@')
    .replace(/\b(password|passwd|pwd|secret|token|api[-_]?key)(["']?\s*[=:]\s*["']?)[^\s"'&,;]+/gi, '$1$2***');
}
