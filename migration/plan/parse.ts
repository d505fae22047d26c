/** From a plan's text to a checked plan, or to every problem it has. Runs in the command and in activities, never in workflow code. */
import { isMap, isScalar, isSeq, LineCounter, parseDocument, type Document } from 'yaml';
import { MigrationError } from '../errors';
import type { Problem } from '../protocol';
import { fail, pathText, type Finding, type PlanPath } from './finding';
import { fillDefaults, lintPlan } from './lint';
import { schemaFindings } from './schema-findings';
import { planSchema, type Plan } from './schema';
import type { TransformCatalog } from './transformations';

const SIZE_MAX = 5_000_000;
const DEPTH_MAX = 40;
/** How often aliases (`*name`) may repeat content before it looks like a bomb. */
const ALIASES_MAX = 1_000;

/** What the process knows beyond the plan. Without transforms, their names and parameters are not judged. */
export interface Known { transforms: TransformCatalog }

export interface Inspection {
  /** Null when there are errors. */
  plan: Plan | null;
  /** Errors first, then warnings, each in the order of the text. */
  problems: Problem[];
  findings: Finding[];
}

/**
 * The plan with every default applied, and its warnings. Accepts YAML or JSON text, or the value such text stands for.
 * @throws MigrationError `PLAN_INVALID` naming every problem with its place, line (for text) and remedy; `APPROACH_NOT_BUILT`.
 */
export function parsePlan(text: string | object, known?: Known): { plan: Plan; warnings: Problem[] } {
  const { plan, problems, findings } = inspectPlan(text, known);
  if (plan) return { plan, warnings: problems };
  const errors = problems.filter((problem) => problem.severity === 'error');
  const code = findings.find((finding) => finding.code !== undefined)?.code ?? 'PLAN_INVALID';
  const lines = errors.map((problem) => `  ${problemText(problem)}`);
  throw new MigrationError(code, `The plan has ${errors.length === 1 ? 'a problem' : `${errors.length} problems`}:\n${lines.join('\n')}`, { problems: errors.length });
}

/** One problem as a line for people. */
export function problemText(problem: Problem): string {
  const { place, message, remedy } = problem;
  if (!remedy) return `${place}: ${message}.`;
  return `${place}: ${message}. ${remedy}${/[.?!]$/.test(remedy) ? '' : '.'}`;
}

/** Like `parsePlan`, but never throws for what is wrong with the plan. */
export function inspectPlan(text: string | object, known?: Known): Inspection {
  const read = typeof text === 'string' ? readText(text) : readObject(text);
  if (read.findings.length > 0) return conclude(null, read.findings, read.lineOf);
  const parsed = planSchema.safeParse(read.raw);
  if (parsed.success) {
    const plan = fillDefaults(parsed.data);
    return conclude(plan, lintPlan(plan, known?.transforms), read.lineOf);
  }
  const findings = schemaFindings(parsed.error, read.raw);
  return conclude(null, [...findings, ...lintTheRest(read.raw, findings, known)], read.lineOf);
}

function conclude(plan: Plan | null, findings: Finding[], lineOf: LineOf): Inspection {
  const seen = new Set<string>();
  const placed = findings
    .map((finding) => ({ finding, line: lineOf(finding) }))
    .sort((a, b) => Number(a.finding.severity === 'warning') - Number(b.finding.severity === 'warning') || (a.line ?? 0) - (b.line ?? 0))
    .filter(({ finding }) => {
      const key = `${pathText(finding.path)}\n${finding.message}`;
      return !seen.has(key) && seen.add(key);
    });
  const problems = placed.map(({ finding, line }): Problem => ({
    severity: finding.severity,
    place: `${pathText(finding.path)}${line === undefined ? '' : ` (line ${line})`}`,
    message: finding.message,
    remedy: finding.remedy,
  }));
  const broken = problems.some((problem) => problem.severity === 'error');
  return { plan: broken ? null : plan, problems, findings: placed.map(({ finding }) => finding) };
}

/**
 * What the linter says about the sound part of a plan with a wrong shape, so that one look shows all problems: the wrong parts are cut out,
 * and nothing is said about the dataset, check or setting that holds one.
 */
function lintTheRest(raw: unknown, wrong: readonly Finding[], known: Known | undefined): Finding[] {
  const rest = structuredClone(raw);
  for (const { path } of wrong) cutOut(rest, path);
  const parsed = planSchema.safeParse(rest);
  if (!parsed.success) return [];
  const area = (path: PlanPath): string => path.slice(0, path[0] === 'checks' ? 3 : 2).join('\n');
  const areas = new Set(wrong.map(({ path }) => area(path)));
  const topLevel = wrong.some(({ path }) => path.length < 2);
  return lintPlan(fillDefaults(parsed.data), known?.transforms).filter(({ severity, path, code }) => (
    severity === 'error' && !areas.has(area(path)) && (code !== undefined || !topLevel || path.length > 1)
  ));
}

function cutOut(raw: unknown, path: PlanPath): void {
  let value = raw;
  for (const part of path.slice(0, -1)) {
    if (typeof value !== 'object' || value === null) return;
    value = (value as Record<string | number, unknown>)[part];
  }
  const last = path[path.length - 1];
  if (last === undefined || typeof value !== 'object' || value === null) return;
  if (!Array.isArray(value)) delete (value as Record<string, unknown>)[last];
}

type LineOf = (finding: Finding) => number | undefined;
interface Read { raw: unknown; findings: Finding[]; lineOf: LineOf }

const noLine: LineOf = () => undefined;

function readObject(value: object): Read {
  const findings = unsafeParts(value);
  if (findings.length > 0) return { raw: null, findings, lineOf: noLine };
  const text = JSON.stringify(value);
  if (text.length > SIZE_MAX) return { raw: null, findings: [tooLarge()], lineOf: noLine };
  return { raw: JSON.parse(text), findings, lineOf: noLine };
}

const tooLarge = (): Finding => fail([], 'is larger than 5 MB', 'Split it into several migrations');
const tooDeep = (): Finding => fail([], `is nested deeper than ${DEPTH_MAX} levels`, 'A plan needs fewer than ten: look for brackets or dashes that are not meant');

function readText(text: string): Read {
  if (text.length > SIZE_MAX) return { raw: null, findings: [tooLarge()], lineOf: noLine };
  if (text.trim() === '') return { raw: null, findings: [fail([], 'is empty', 'Start one with `caravan init`')], lineOf: noLine };
  // The parser takes seconds for a million brackets, so they are counted before.
  if (/(?:[[{]\s*){50}|(?:-[ \t]+){50}/.test(text)) return { raw: null, findings: [tooDeep()], lineOf: noLine };
  const lines = new LineCounter();
  try {
    const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: true, merge: false, logLevel: 'silent' });
    const syntax = [...document.errors, ...document.warnings].map((error) => ({ finding: fail([], syntaxText(error.code, error.message)), line: lines.linePos(error.pos[0]).line }));
    if (syntax.length > 0) {
      const lineOf = new Map(syntax.map(({ finding, line }) => [finding, line]));
      return { raw: null, findings: syntax.map(({ finding }) => finding), lineOf: (finding) => lineOf.get(finding) };
    }
    const raw: unknown = document.toJS({ maxAliasCount: ALIASES_MAX });
    return { raw, findings: unsafeParts(raw), lineOf: ({ path }) => lineAt(document, lines, path) };
  } catch (error) {
    if (error instanceof RangeError) return { raw: null, findings: [tooDeep()], lineOf: noLine };
    if (error instanceof ReferenceError) return { raw: null, findings: [fail([], 'repeats too much by aliases (`*name`)', 'Write the content out')], lineOf: noLine };
    throw error;
  }
}

/** The parser's own words, but where they do not help the writer of a plan. */
function syntaxText(code: string, message: string): string {
  switch (code) {
    case 'DUPLICATE_KEY': return 'the same key stands here twice; only one of them could count';
    case 'TAB_AS_INDENT': return 'a tab indents this line; YAML needs spaces';
    case 'TAG_RESOLVE_FAILED': return 'tags (`!name`) are not supported';
    case 'MULTIPLE_DOCS': return 'a second document starts here (`---`); a plan is one document';
    case 'BLOCK_AS_IMPLICIT_KEY': return 'a text with `: ` in it needs quotes';
    // Some of its messages repeat the text that they stumbled over.
    default: return `not valid YAML: ${message.replace(/: ["'{`[].*$/s, '').replace(/\.$/, '').replace(/^./, (letter) => letter.toLowerCase())}`;
  }
}

/** Line (from 1) of the key or list entry at `path`, else of the nearest part above it that the text holds. */
function lineAt(document: Document.Parsed, lines: LineCounter, path: PlanPath): number | undefined {
  let node: unknown = document.contents;
  let line: number | undefined;
  for (const part of path) {
    let start: number | undefined;
    if (isMap(node)) {
      const pair = node.items.find((item) => isScalar(item.key) && String(item.key.value) === String(part));
      if (!pair) break;
      start = isScalar(pair.key) ? pair.key.range?.[0] : undefined;
      node = pair.value;
    } else if (isSeq(node) && typeof part === 'number') {
      node = node.items[part];
      const range: unknown = typeof node === 'object' && node !== null && 'range' in node ? node.range : undefined;
      start = Array.isArray(range) ? Number(range[0]) : undefined;
    } else break;
    if (start !== undefined) line = lines.linePos(start).line;
  }
  return line;
}

/** Content that may not reach the schema: prototype tricks, numbers that lost digits, values JSON cannot carry, great depth. */
function unsafeParts(root: unknown): Finding[] {
  const findings: Finding[] = [];
  const visit = (value: unknown, path: PlanPath): void => {
    if (path.length > DEPTH_MAX) {
      if (!findings.some((finding) => finding.path.length === 0)) findings.push(tooDeep());
      return;
    }
    if (typeof value === 'string' && value.includes('\0')) findings.push(fail(path, 'holds a NUL character', 'Take it out: databases refuse it'));
    if (typeof value === 'number' && (!Number.isFinite(value) || (Number.isInteger(value) && !Number.isSafeInteger(value)))) {
      findings.push(fail(path, 'is a number that cannot be kept exactly', 'Put it in quotes'));
    }
    if (['bigint', 'function', 'symbol'].includes(typeof value)) findings.push(fail(path, `is a ${typeof value}, which a plan cannot hold`));
    if (typeof value !== 'object' || value === null) return;
    if (Array.isArray(value)) {
      value.forEach((entry, index) => visit(entry, [...path, index]));
      return;
    }
    const prototype: unknown = Object.getPrototypeOf(value);
    if (prototype !== null && prototype !== Object.prototype && Object.getPrototypeOf(prototype) !== null) findings.push(fail(path, 'is not a plain object'));
    for (const [key, entry] of Object.entries(value)) {
      if (key === '__proto__') findings.push(fail([...path, key], 'this name is not allowed', 'Choose another one'));
      else visit(entry, [...path, key]);
    }
  };
  visit(root, []);
  return findings;
}
