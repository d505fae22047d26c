import { readFileSync } from 'node:fs';
import path from 'node:path';
import { Eta } from 'eta';
import type { Strategy } from './strategy';

const template = (name: string): string => readFileSync(path.join(__dirname, name), 'utf8');
const markdown = new Eta({ autoEscape: false, autoTrim: false, useWith: false, varName: 'it' });
const html = new Eta({ autoEscape: true, useWith: false, varName: 'it' });

/** Markdown with tables and task lists. */
export function strategyMarkdown(strategy: Strategy): string {
  return `${markdown.renderString(template('strategy.md.eta'), { strategy, cell }).replace(/\n{3,}/g, '\n\n').trim()}\n`;
}

/** One self-contained page: no scripts, nothing loaded from elsewhere, every value escaped. */
export function strategyHtml(strategy: Strategy): string {
  return html.renderString(template('strategy.html.eta'), { strategy, sections: strategySections(strategy, 'h2') });
}

/** Its sections alone, as markup for a page that has classes `boxes`, `ticked`, `evidence` and `wide`. */
export function strategySections({ sections }: Strategy, heading: 'h2' | 'h3'): string {
  return html.renderString(template('strategy-sections.eta'), { sections, heading });
}

/** A table's cell ends at a bar or a line end. */
const cell = (value: string): string => value.replaceAll('|', '\\|').replaceAll(/\s*\n\s*/g, ' ');
