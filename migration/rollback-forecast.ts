/** A forecast of a rollback in words, for the terminal and the details of the Temporal UI. Pure. */
import type { RollbackForecast } from './protocol';

const DATASETS_SHOWN = 30;

/** Markdown without tables. `confirm`: how to go on. */
export function forecastMarkdown(forecast: RollbackForecast): string {
  const lines = forecastLines(forecast).map((line) => `- ${line}`);
  const rows = forecast.datasets.slice(0, DATASETS_SHOWN).map(({ dataset, state, rows: count, strangers }) => `${dataset}  ${state}  ${count} rows${strangers === 0 ? '' : `, ${strangers ?? '?'} touched by others`}`);
  const more = forecast.datasets.length > DATASETS_SHOWN ? [`and ${forecast.datasets.length - DATASETS_SHOWN} more`] : [];
  return [
    `## Rollback (${forecast.tier}) of ${forecast.migration}: waiting for a confirmation`, lines.join('\n'), `\`\`\`\n${[...rows, ...more].join('\n')}\n\`\`\``,
    'Nothing has been changed. To go on: *More Actions* → *Send an Update* → `approve` with `{"gate": "rollback", "by": "your name", "reason": "…"}`. To leave it: *Cancel*.',
  ].join('\n\n');
}

/** One sentence a line. */
export function forecastLines(forecast: RollbackForecast): string[] {
  const { datasets, rows, applications, inUseSince, seconds, loss, others, owner, halfWay } = forecast;
  return [
    `${rows} rows of ${datasets.length} ${datasets.length === 1 ? 'dataset' : 'datasets'} would be taken back${forecast.tier === 'full' && inUseSince !== null ? ', after what the new side wrote was brought home; the rows stay on the new side, which is closed' : ''}.`,
    `It takes about ${timeWords(seconds)}.`,
    ...(applications.length > 0 ? [`Applications that are pointed to the old side: ${applications.join(', ')}.`] : []),
    ...(others.length > 0 ? [`These stay migrated: ${others.join(', ')}.`] : []),
    ...loss,
    ...(halfWay ? ['It was begun before and goes on where it ended.'] : []),
    ...(owner.status === 'running' || owner.status === 'blocked' || owner.status === 'paused' ? [`The run under way (workflow ${owner.workflowId}) is ended: its work is fenced.`] : []),
  ];
}

function timeWords(seconds: number): string {
  return seconds < 90 ? `${seconds} s` : `${Math.ceil(seconds / 60)} min`;
}
