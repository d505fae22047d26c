import { readFileSync } from 'node:fs';
import path from 'node:path';
import { Eta } from 'eta';
import { gateViews } from '../../migration/plan/life-view';
import { orderDatasets } from '../../migration/plan/order';
import type { DatasetPlan, Plan } from '../../migration/plan/schema';
import { formatDuration } from '../terminal/quantities';

const page = readFileSync(path.join(__dirname, 'runbook.eta'), 'utf8');
const eta = new Eta({ autoEscape: false, autoTrim: false, useWith: false, varName: 'it' });

export interface ValidationQuery { what: string; connection: string; sql: string }
export interface DatasetQueries { dataset: string; queries: ValidationQuery[] }

/**
 * The runbook of one migration as Markdown: who approves what and when, the day in order, the queries that check it by hand, how to go back, what to do
 * afterwards. Made from the plan alone, so it can be read before anything runs. Names and SQL of the plan, no row values.
 */
export function renderRunbook(plan: Plan, id: string): string {
  const view = { plan, id, gates: gateViews(plan), datasets: orderDatasets(plan), queries: validationQueries(plan), duration: formatDuration };
  return `${eta.renderString(page, view).replace(/\n{3,}/g, '\n\n').trim()}\n`;
}

/** Counts and extremes of both sides for each dataset, then the plan's own checks: what a person runs to see for themselves. */
export function validationQueries(plan: Plan): DatasetQueries[] {
  const datasets = orderDatasets(plan).flatMap((name) => {
    const dataset = plan.datasets[name];
    return dataset ? [{ dataset: name, queries: queriesOf(name, dataset) }] : [];
  });
  const checks = [...Object.entries(plan.checks.integrity), ...Object.entries(plan.checks.business_rules)].flatMap(([name, check]) => {
    const sides = [['source', check.source, check.source_connection], ['target', check.target, check.target_connection]] as const;
    return sides.flatMap(([side, sql, connection]) => (sql === undefined ? [] : [{ what: `${name}, ${side}`, connection: connection ?? '', sql: `${sql.trim()};` }]));
  });
  return checks.length > 0 ? [...datasets, { dataset: 'checks of the plan', queries: checks }] : datasets;
}

function queriesOf(name: string, { source, target, validation }: DatasetPlan): ValidationQuery[] {
  const from = source.query === undefined ? sqlName(source.table ?? name) : `(${source.query.trim()}) AS rows`;
  const to = sqlName(target.table ?? name);
  const where = source.where === undefined ? '' : ` WHERE ${source.where}`;
  const queries: ValidationQuery[] = [
    { what: 'rows that should arrive', connection: source.connection, sql: `SELECT count(*) FROM ${from}${where};` },
    { what: 'rows that arrived', connection: target.connection, sql: `SELECT count(*) FROM ${to};` },
    {
      what: 'rows in quarantine', connection: target.connection,
      sql: `SELECT state, reasons->0->>'rule' AS rule, count(*) FROM caravan.quarantine WHERE dataset = '${name.replaceAll("'", "''")}' GROUP BY 1, 2 ORDER BY 3 DESC;`,
    },
  ];
  if (validation.required.length > 0) {
    const missing = validation.required.map((column) => `count(*) FILTER (WHERE ${sqlName(column, false)} IS NULL) AS ${sqlName(`no_${column}`, false)}`).join(', ');
    queries.push({ what: 'required columns, each should be 0', connection: target.connection, sql: `SELECT ${missing} FROM ${to};` });
  }
  for (const unique of validation.unique) {
    const columns = [unique].flat().map((column) => sqlName(column, false)).join(', ');
    queries.push({ what: `repeats of ${[unique].flat().join(', ')}, should be none`, connection: target.connection, sql: `SELECT ${columns}, count(*) FROM ${to} GROUP BY ${columns} HAVING count(*) > 1 LIMIT 10;` });
  }
  return queries;
}

/** A name as SQL: plain lower-case names stay as they are, what is quoted already, too. */
function sqlName(text: string, dotted = true): string {
  const parts = dotted ? (text.match(/"(?:[^"]|"")*"|[^.]+/g) ?? [text]) : [text];
  return parts.map((part) => (/^([a-z_][a-z0-9_]*|".*")$/.test(part) ? part : `"${part.replaceAll('"', '""')}"`)).join('.');
}
