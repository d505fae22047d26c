/** Lossless reading of JSON: numbers stay text, so that no digit is lost. */

/** A JSON number, as its text. */
export class JsonNumber { constructor(readonly text: string) {} }

export type JsonNode = null | boolean | string | JsonNumber | JsonNode[] | Map<string, JsonNode>;

/** Deeper nesting is not taken apart. */
const DEPTH_MAX = 1000;

/** The value of a JSON text; of equal keys the last one counts, as in PostgreSQL's jsonb. Undefined when it is no JSON or nested too deeply. */
export function readJson(text: string): JsonNode | undefined {
  try {
    return new JsonReader(text).whole();
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** Some object of the text has two equal keys. False also for what is no JSON. */
export function hasDuplicateKeys(text: string): boolean {
  if (!text.includes(',')) return false;
  const reader = new JsonReader(text);
  try {
    reader.whole();
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  return reader.repeatsKey;
}

const LITERALS: readonly [string, JsonNode][] = [['true', true], ['false', false], ['null', null]];

class JsonReader {
  private at = 0;
  private depth = 0;
  repeatsKey = false;

  constructor(private readonly text: string) {}

  whole(): JsonNode {
    const node = this.value();
    this.space();
    if (this.at !== this.text.length) this.wrong();
    return node;
  }

  private wrong(): never {
    throw new SyntaxError('no JSON');
  }

  private space(): void {
    for (let c = this.text.charCodeAt(this.at); c === 32 || c === 10 || c === 13 || c === 9; c = this.text.charCodeAt(this.at)) this.at += 1;
  }

  private value(): JsonNode {
    this.space();
    switch (this.text.charCodeAt(this.at)) {
      case 123: return this.nested(() => this.object());
      case 91: return this.nested(() => this.array());
      case 34: return this.string();
    }
    for (const [word, node] of LITERALS) {
      if (this.text.startsWith(word, this.at)) {
        this.at += word.length;
        return node;
      }
    }
    return this.number();
  }

  private nested<T>(read: () => T): T {
    this.depth += 1;
    if (this.depth > DEPTH_MAX) this.wrong();
    this.at += 1;
    const result = read();
    this.depth -= 1;
    return result;
  }

  /** After the items: true at a comma, false at the end sign. */
  private more(end: number): boolean {
    this.space();
    const c = this.text.charCodeAt(this.at);
    if (c !== 44 && c !== end) this.wrong();
    this.at += 1;
    return c === 44;
  }

  private ends(end: number): boolean {
    this.space();
    if (this.text.charCodeAt(this.at) !== end) return false;
    this.at += 1;
    return true;
  }

  private object(): Map<string, JsonNode> {
    const node = new Map<string, JsonNode>();
    if (this.ends(125)) return node;
    do {
      this.space();
      const key = this.string();
      this.space();
      if (this.text.charCodeAt(this.at) !== 58) this.wrong();
      this.at += 1;
      if (node.has(key)) this.repeatsKey = true;
      node.set(key, this.value());
    } while (this.more(125));
    return node;
  }

  private array(): JsonNode[] {
    const node: JsonNode[] = [];
    if (this.ends(93)) return node;
    do node.push(this.value()); while (this.more(93));
    return node;
  }

  private string(): string {
    const start = this.at;
    if (this.text.charCodeAt(start) !== 34) this.wrong();
    let escaped = false;
    for (let i = start + 1; i < this.text.length; i += 1) {
      const c = this.text.charCodeAt(i);
      if (c === 34) {
        this.at = i + 1;
        // Only the escapes of a single string are left to the runtime: it holds no number.
        return escaped ? (JSON.parse(this.text.slice(start, i + 1)) as string) : this.text.slice(start + 1, i);
      }
      if (c < 32) this.wrong();
      if (c === 92) { escaped = true; i += 1; }
    }
    return this.wrong();
  }

  private number(): JsonNumber {
    const start = this.at;
    if (this.text.charCodeAt(this.at) === 45) this.at += 1;
    const first = this.text.charCodeAt(this.at);
    const whole = this.digits();
    if (first === 48 && whole > 1) this.wrong();
    if (this.text.charCodeAt(this.at) === 46) { this.at += 1; this.digits(); }
    const e = this.text.charCodeAt(this.at);
    if (e === 101 || e === 69) {
      this.at += 1;
      const sign = this.text.charCodeAt(this.at);
      if (sign === 43 || sign === 45) this.at += 1;
      this.digits();
    }
    return new JsonNumber(this.text.slice(start, this.at));
  }

  private digits(): number {
    const start = this.at;
    for (let c = this.text.charCodeAt(this.at); c >= 48 && c <= 57; c = this.text.charCodeAt(this.at)) this.at += 1;
    return this.at === start ? this.wrong() : this.at - start;
  }
}
