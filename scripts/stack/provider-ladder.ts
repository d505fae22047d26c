import { StackError } from './stack-error';

/** What a look at one rung finds. Looking changes nothing and is quick; `prepare` may install something. */
export type Finding<T> =
  | { fits: true; detail: string; prepare(): Promise<T> }
  | { fits: false; reason: string; remedy?: string };

/** One way to get a service. A ladder is a list of them, best first. */
export interface Rung<T> {
  name: string;
  look(): Promise<Finding<T>>;
}

export interface Provided<T> {
  value: T;
  /** For people: the rung and what it found, e.g. `npm package: PostgreSQL 18.4`. */
  provider: string;
}

export interface RungReport {
  rung: string;
  fits: boolean;
  /** The first rung that fits. */
  used: boolean;
  detail: string;
  remedy?: string;
}

/** The first rung that fits and can be prepared. Throws a StackError that names every reason and remedy when none can. */
export async function climb<T>(service: string, rungs: Rung<T>[], onProgress: (line: string) => void = () => undefined): Promise<Provided<T>> {
  const refusals: string[] = [];
  const remedies: string[] = [];
  for (const rung of rungs) {
    const finding = await rung.look();
    if (!finding.fits) {
      refusals.push(`  ${rung.name}: ${finding.reason}`);
      if (finding.remedy) remedies.push(`  ${finding.remedy}`);
      continue;
    }
    try {
      return { value: await finding.prepare(), provider: `${rung.name}: ${finding.detail}` };
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      onProgress(`${service}: ${rung.name} failed, trying the next way`);
      refusals.push(`  ${rung.name}: ${reason}`);
    }
  }
  throw new StackError(`${service} cannot be provided on this machine:\n${refusals.join('\n')}`, remedies.length > 0 ? `One of these would help:\n${remedies.join('\n')}` : undefined);
}

/** Looks at every rung, for `doctor`. */
export async function survey<T>(rungs: Rung<T>[]): Promise<RungReport[]> {
  const reports: RungReport[] = [];
  for (const rung of rungs) {
    const finding = await rung.look();
    const used = finding.fits && !reports.some((report) => report.used);
    reports.push(finding.fits ? { rung: rung.name, fits: true, used, detail: finding.detail } : { rung: rung.name, fits: false, used, detail: finding.reason, remedy: finding.remedy });
  }
  return reports;
}
