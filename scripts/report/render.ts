import { readFileSync } from 'node:fs';
import path from 'node:path';
import { Eta } from 'eta';
import { STATUS_WORDS } from '../../migration/dashboard';
import type { Verdict } from '../../migration/protocol';
import { formatCount, formatDuration, formatPercent } from '../terminal/quantities';
import { strategySections } from './render-strategy';
import type { PlannedDuration } from './planned-times';
import { evidenceElement, type Evidence } from './evidence';

const DECISION_WORDS: Record<string, string> = { retry: 'try again', skip: 'leave out', abort: 'end the run' };
const VERDICT_WORDS: Record<Verdict, string> = { passed: 'Passed', explained: 'Explained by quarantine', warned: 'Warning', failed: 'Failed' };

const page = readFileSync(path.join(__dirname, 'report.eta'), 'utf8');
const eta = new Eta({ autoEscape: true, useWith: false, varName: 'it' });

/** One self-contained HTML page: no scripts, nothing loaded from elsewhere, every value escaped. Prints well, and carries the evidence it was made from. */
export function renderReport(view: Evidence): string {
  return eta.renderString(page, { view, words, evidence: evidenceElement(view), strategy: view.strategy ? strategySections(view.strategy, 'h3') : null });
}

/** What the template may use to write numbers and instants. */
const words = {
  count: formatCount,
  percent: formatPercent,
  duration: (milliseconds: number | null): string => (milliseconds === null ? '' : formatDuration(milliseconds)),
  planned: plannedWords,
  margin: marginWords,
  beyond: beyondWords,
  instant: (text: string | null): string => (text ? `${new Date(text).toISOString().slice(0, 16).replace('T', ' ')} UTC` : ''),
  status: (status: string): string => (STATUS_WORDS as Record<string, string>)[status] ?? status,
  verdict: (verdict: Verdict): string => VERDICT_WORDS[verdict],
  decision: (action: string): string => DECISION_WORDS[action] ?? action,
  event: (event: string): string => event.replaceAll('_', ' '),
  /** Width of a bar's part. Anything that is there stays visible. */
  share: (part: number, whole: number): string => (whole <= 0 || part <= 0 ? '0' : Math.max(0.6, (part / whole) * 100).toFixed(2)),
};

/** A dash where nothing is planned. */
function plannedWords(duration: PlannedDuration | null): string {
  if (!duration) return '–';
  return duration.likelyMs === null ? `at most ${formatDuration(duration.highMs)}` : formatDuration(duration.likelyMs);
}

function marginWords({ lowMs, highMs, source }: PlannedDuration): string {
  return lowMs === null ? source : `${formatDuration(lowMs)} to ${formatDuration(highMs)}, ${source}`;
}

function beyondWords(beyondMs: number | null): string {
  if (beyondMs === null) return '';
  return beyondMs === 0 ? 'as planned' : beyondMs > 0 ? `${formatDuration(beyondMs)} longer` : `${formatDuration(-beyondMs)} shorter`;
}
