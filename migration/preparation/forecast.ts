/** How long the move takes and how much room it needs, with the margin of error said. Pure arithmetic. */
import type { Forecast, ForecastStage, Speed } from './findings';

/** Without a measurement: what one lane of copy moves on ordinary servers. Measured ones lie between a third and three times of it. */
export const ASSUMED_SPEED: Speed = { rowsPerSecond: 40_000, bytesPerSecond: 12_000_000, from: 'assumed' };
/** How far off a forecast may be, either way. A rehearsal is small and runs beside nothing; a former run was of other tables. */
const MARGIN: Record<Speed['from'], number> = { assumed: 4, 'former runs': 2, rehearsal: 1.6 };
/** Bytes of indexes that one session builds in a second; sorts that spill are slower, which the margin covers. */
const INDEX_BYTES_PER_SECOND = 20_000_000;
/** The row comparison reads both sides and computes no index: measured at about the speed of the copy. */
const VALIDATION_SHARE = 0.9;
/** Fixed time of opening, closing and checking a dataset. */
const DATASET_MS = 400;
/** Rows take more or less room in the target than in the source: fill, padding, other types. */
const SIZE_MARGIN = 0.35;

export interface ForecastRequest {
  datasets: readonly { rows: number; bytes: number }[];
  /** Of one lane. */
  speed: Speed;
  /** Copies at the same time that the plan asks for. */
  lanes: number;
  indexBytes: number;
  validate: boolean;
}

export function forecast({ datasets, speed, lanes, indexBytes, validate }: ForecastRequest): Forecast {
  const rows = datasets.reduce((sum, one) => sum + one.rows, 0);
  const bytes = datasets.reduce((sum, one) => sum + one.bytes, 0);
  // Lanes share disks, locks and cores: each further one adds less.
  const gain = 1 + 0.6 * (Math.max(1, lanes) - 1);
  const copy = datasets.reduce((sum, one) => sum + Math.max(one.rows / speed.rowsPerSecond, one.bytes / speed.bytesPerSecond) * 1000, 0) / gain + (datasets.length * DATASET_MS) / Math.min(lanes, 4);
  const stages: ForecastStage[] = [stage('copy', copy, speed), stage('indexes', (indexBytes / INDEX_BYTES_PER_SECOND) * 1000, { ...speed, from: 'assumed' })];
  if (validate) stages.push(stage('validation', copy * VALIDATION_SHARE, speed));
  const total = { lowMs: sumOf(stages, 'lowMs'), likelyMs: sumOf(stages, 'likelyMs'), highMs: sumOf(stages, 'highMs') };
  const size = bytes + indexBytes;
  return {
    rows, bytes, speed, stages, total,
    targetBytes: { low: Math.round(size * (1 - SIZE_MARGIN)), likely: size, high: Math.round(size * (1 + SIZE_MARGIN)) },
    assumptions: assumptionsOf(speed, lanes, validate),
  };
}

function stage(name: ForecastStage['stage'], milliseconds: number, speed: Speed): ForecastStage {
  const margin = MARGIN[speed.from];
  return { stage: name, lowMs: Math.round(milliseconds / margin), likelyMs: Math.round(milliseconds), highMs: Math.round(milliseconds * margin) };
}

function sumOf(stages: readonly ForecastStage[], of: 'lowMs' | 'likelyMs' | 'highMs'): number {
  return stages.reduce((sum, one) => sum + one[of], 0);
}

function assumptionsOf(speed: Speed, lanes: number, validate: boolean): string[] {
  const measured = speed.from === 'assumed'
    ? 'no speed was measured yet: one lane is taken to move 40,000 rows or 12 MB per second, whichever is less; a rehearsal or a first run replaces this'
    : `the speed of one lane was measured in ${speed.from === 'rehearsal' ? 'the rehearsal' : 'former runs'}: ${Math.round(speed.rowsPerSecond).toLocaleString('en')} rows per second`;
  return [
    measured,
    `${lanes} lanes at the same time; each further one adds 60 % of the first`,
    'index builds of 20 MB per second',
    ...(validate ? ['the comparison of every row takes nine tenths of the copy'] : ['rows are not compared one by one (checks.rows: false)']),
    'sizes are the servers\' estimates; the systems carry no other load than now',
  ];
}
