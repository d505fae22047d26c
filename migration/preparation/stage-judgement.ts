/** What the measured stages say: which is the slowest, and what would help. */
import type { Speed } from './findings';
import type { RehearsalEvidence, StageSpeed } from './rehearsal';

type Times = Record<StageSpeed['stage'], { rows: number; bytes: number; ms: number }>;

const ADVICE: Record<StageSpeed['stage'], string> = {
  read: 'reading is the slowest: more batch.parallel_workers read more splits at the same time; a larger batch.batch_size helps over slow networks',
  transform: 'the transforms are the slowest: they take a core per lane; raise batch.parallel_workers and run more workers, or leave out what is not needed',
  validate: 'the rules are the slowest: they take a core per lane; raise batch.parallel_workers and run more workers',
  write: 'writing is the slowest: raise batch.checkpoint_interval for fewer commits, and max_wal_size in the target for fewer checkpoints; more batch.parallel_workers help while its disk keeps up',
};

export function judgeStages(times: Times): Pick<RehearsalEvidence, 'stages' | 'bottleneck' | 'speed'> {
  const stages = (Object.keys(times) as StageSpeed['stage'][]).flatMap((stage): StageSpeed[] => {
    const { rows, bytes, ms } = times[stage];
    return rows === 0 ? [] : [{ stage, milliseconds: Math.round(ms), rowsPerSecond: Math.round((rows / Math.max(ms, 0.1)) * 1000), bytesPerSecond: Math.round((bytes / Math.max(ms, 0.1)) * 1000) }];
  });
  const [slowest] = [...stages].sort((a, b) => a.rowsPerSecond - b.rowsPerSecond);
  return { stages, ...(slowest ? { bottleneck: { stage: slowest.stage, advice: ADVICE[slowest.stage] } } : {}), ...speedOf(times) };
}

/** A lane reads and judges the next commit while one is written: the longer of the two counts. */
function speedOf({ read, transform, validate, write }: Times): { speed?: Speed } {
  const ms = Math.max(read.ms + transform.ms + validate.ms, write.ms);
  if (read.rows === 0 || ms <= 0) return {};
  return { speed: { rowsPerSecond: (read.rows / ms) * 1000, bytesPerSecond: Math.max(1, (read.bytes / ms) * 1000), from: 'rehearsal' } };
}
