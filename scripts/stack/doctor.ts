import pc from 'picocolors';
import { postgresRungs } from './postgres-binaries';
import { survey, type RungReport } from './provider-ladder';
import { temporalRungs } from './temporal-program';

/** Every way to get one service on this machine, best first. */
export interface ServiceReport {
  service: string;
  /** At least one way works. */
  ok: boolean;
  rungs: RungReport[];
}

/** Looks at every way to get every service. Starts and installs nothing. */
export async function doctor(options: { postgres?: string[]; env?: NodeJS.ProcessEnv } = {}): Promise<ServiceReport[]> {
  const { postgres = ['legacy', 'new'], env = process.env } = options;
  const looks = [
    { service: 'Temporal', rungs: survey(temporalRungs(env)) },
    ...postgres.map((name) => ({ service: `PostgreSQL "${name}"`, rungs: survey(postgresRungs(name, env)) })),
  ];
  return Promise.all(
    looks.map(async ({ service, rungs: pending }) => {
      const rungs = await pending;
      return { service, ok: rungs.some((rung) => rung.used), rungs };
    }),
  );
}

/** The same for people. Ways to help are shown for a service that has none. */
export function renderDoctor(reports: ServiceReport[]): string {
  return reports.map(renderService).join('\n\n');
}

function renderService({ service, ok, rungs }: ServiceReport): string {
  const lines = rungs.map(({ rung, used, fits, detail }) => {
    const mark = used ? pc.green('used     ') : fits ? 'possible ' : pc.dim('no       ');
    return `  ${mark} ${rung}: ${detail}`;
  });
  const remedies = ok ? [] : ['  One of these would help:', ...rungs.flatMap(({ remedy }) => (remedy ? [`    ${remedy}`] : []))];
  return [`${pc.bold(service)}  ${ok ? pc.green('ok') : pc.red('missing')}`, ...lines, ...remedies].join('\n');
}
