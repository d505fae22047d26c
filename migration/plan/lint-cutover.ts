import { fail, listed, warn, type Finding } from './finding';
import type { Plan, ProbePlan } from './schema';

/** Ways to switch an application. */
const WAYS = ['sql', 'webhook', 'file', 'command'] as const;

/** Probes with the connection that each side's SQL runs on, where only one is possible. */
export function fillProbes(probes: Record<string, ProbePlan>, source: string | undefined, target: string | undefined): Record<string, ProbePlan> {
  return Object.fromEntries(Object.entries(probes).map(([name, probe]) => {
    const sourceConnection = probe.source === undefined ? probe.source_connection : probe.source_connection ?? source;
    const targetConnection = probe.target_connection ?? target;
    return [name, { ...probe, ...(sourceConnection === undefined ? {} : { source_connection: sourceConnection }), ...(targetConnection === undefined ? {} : { target_connection: targetConnection }) }];
  }));
}

/** What is wrong or risky in the cutover and the probes of a plan that went through `fillDefaults`. */
export function lintCutover(plan: Plan): Finding[] {
  return [...lintProbes(plan), ...lintSwitches(plan), ...lintWindow(plan), ...lintCare(plan)];
}

function lintProbes({ probes }: Plan): Finding[] {
  return Object.entries(probes).flatMap(([name, probe]) => [
    ...(probe.source !== undefined && probe.source_connection === undefined ? [fail(['probes', name], 'needs `source_connection`: the plan has several sources')] : []),
    ...(probe.target_connection === undefined ? [fail(['probes', name], 'needs `target_connection`: the plan has several targets')] : []),
  ]);
}

function lintSwitches({ cutover }: Plan): Finding[] {
  const applications = cutover?.switch ?? [];
  return applications.flatMap((application, at) => {
    const ways = WAYS.filter((way) => application[way] !== undefined);
    return [
      ...(ways.length === 1 ? [] : [fail(['cutover', 'switch', at], `application ${application.name} needs exactly one of ${listed(WAYS)}${ways.length > 1 ? `; it has ${listed(ways)}` : ''}`)]),
      ...(applications.findIndex(({ name }) => name === application.name) < at ? [fail(['cutover', 'switch', at, 'name'], `two applications are called ${application.name}: give each a name of its own`)] : []),
      ...(application.file && application.file.new === application.file.legacy ? [fail(['cutover', 'switch', at, 'file'], '`new` and `legacy` are the same: nothing would be switched, and the read-back could not tell them apart')] : []),
    ];
  });
}

function lintWindow({ window }: Plan): Finding[] {
  const { start, abort_by: abortBy } = window ?? {};
  return start !== undefined && abortBy !== undefined && Date.parse(abortBy) <= Date.parse(start) ? [fail(['window', 'abort_by'], 'is not after `start`: every cutover would be undone at once')] : [];
}

function lintCare(plan: Plan): Finding[] {
  const { cutover, probes } = plan;
  if (!cutover) return [];
  return [
    ...(plan.downtime_tolerance === undefined && plan.window?.abort_by === undefined ? [warn(['cutover'], 'has no time limit: a cutover that hangs keeps both sides read-only until somebody decides', 'Set `downtime_tolerance`')] : []),
    ...(cutover.monitor && Object.keys(probes).length === 0 ? [warn(['cutover', 'monitor'], 'watches nothing: the plan has no `probes`')] : []),
  ];
}
