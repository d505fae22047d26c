import type { Plan } from '../../migration/plan/schema';
import { gateViews } from '../../migration/plan/life-view';
import { orderDatasets } from '../../migration/plan/order';
import type { ReportData } from '../../workers/door';
import { formatBytes, formatCount, formatDuration } from '../terminal/quantities';
import { shapeReport } from './shape';

/** A box is ticked by its evidence; without any it is open. */
export interface Box { text: string; evidence: string | null }
export type Block =
  | { kind: 'text'; text: string }
  | { kind: 'table'; head: string[]; rows: string[][] }
  | { kind: 'boxes'; boxes: Box[] };
export interface Section { title: string; blocks: Block[] }
/** The strategy of one migration: what the plan says, what the preparation found, and what was done so far. Names and counts, no row values. */
export interface Strategy { title: string; migration: string; generatedAt: string; ticked: number; boxes: number; sections: Section[] }

/** Sizes of source tables before any run has taken stock, by dataset. */
export type LiveSizes = ReadonlyMap<string, { rows: number; bytes: number }>;
/** `data` is null before the migration was ever started. */
export interface StrategyRequest { plan: Plan; data: ReportData | null; sizes: LiveSizes }

/** Pure. */
export function shapeStrategy({ plan, data, sizes }: StrategyRequest, generatedAt: Date): Strategy {
  const facts = factsOf(plan, data, sizes);
  const sections = [overview, inventory, approach, phases, validation, rollbackPlan, performance, monitoring, security, testing, success, signOff].map((section) => section(facts));
  const boxes = sections.flatMap(({ blocks }) => blocks).flatMap((block) => (block.kind === 'boxes' ? block.boxes : []));
  return { title: plan.project ?? plan.migration, migration: plan.migration, generatedAt: generatedAt.toISOString(), sections, boxes: boxes.length, ticked: boxes.filter(({ evidence }) => evidence !== null).length };
}

interface Facts {
  plan: Plan; data: ReportData | null; sizes: LiveSizes; findings: NonNullable<ReportData['preparation']>['findings']; preparation: ReportData['preparation'] | undefined;
  /** When an application went over for good. */
  switched(application: string): string | null;
  complete: boolean;
}

function factsOf(plan: Plan, data: ReportData | null, sizes: LiveSizes): Facts {
  return {
    plan, data, sizes, findings: data?.preparation?.findings ?? {}, preparation: data?.preparation, complete: data?.status.status === 'complete',
    switched(application) {
      const last = data?.steps.filter(({ undo }) => undo.do === 'switch_application' && undo.application === application).at(-1);
      return last?.state === 'done' && last.closedAt !== null ? day(last.closedAt) : null;
    },
  };
}

const day = (instant: string): string => `${new Date(instant).toISOString().slice(0, 16).replace('T', ' ')} UTC`;
const box = (text: string, evidence: string | null = null): Box => ({ text, evidence });
const text = (value: string): Block => ({ kind: 'text', text: value });
const orNone = (items: readonly string[], none: string): string => (items.length > 0 ? items.join(', ') : none);

function sizeOf({ findings, sizes }: Facts, dataset: string): { rows: number; bytes: number } | null {
  return findings.datasets?.find((one) => one.dataset === dataset) ?? sizes.get(dataset) ?? null;
}

function overview(facts: Facts): Section {
  const { plan, findings } = facts;
  const datasets = Object.entries(plan.datasets);
  const known = datasets.flatMap(([name]) => sizeOf(facts, name) ?? []);
  const systems = (side: 'source' | 'target'): string => [...new Set(datasets.map(([, dataset]) => dataset[side].connection))].map((name) => {
    const system = findings.systems?.find(({ connection }) => connection === name);
    return system ? `${name} (PostgreSQL ${system.version}, ${formatBytes(system.limits.databaseBytes)})` : name;
  }).join(', ');
  const volume = known.length === 0 ? 'not looked at yet' : `${formatCount(known.reduce((sum, one) => sum + one.rows, 0))} rows, ${formatBytes(known.reduce((sum, one) => sum + one.bytes, 0))}, ${datasets.length} datasets`;
  return { title: 'Overview', blocks: [{ kind: 'table', head: ['', ''], rows: [
    ['From', systems('source')], ['To', systems('target')], ['Volume', volume],
    ['Downtime tolerance', plan.downtime_tolerance === undefined ? 'not stated' : formatDuration(plan.downtime_tolerance)],
    ['Window', plan.window ? `${plan.window.start ?? 'any time'} to ${plan.window.abort_by ?? 'open end'}` : 'any time'],
    ['Compliance', orNone(plan.compliance, 'none stated')],
  ] }] };
}

function inventory(facts: Facts): Section {
  const { plan, findings } = facts;
  const rows = orderDatasets(plan).map((name) => {
    const dataset = plan.datasets[name];
    const found = findings.datasets?.find((one) => one.dataset === name);
    const size = sizeOf(facts, name);
    const kinds = found ? [...new Set(found.changed.map(({ how }) => how))].map((how) => `${found.changed.filter((one) => one.how === how).length} ${how}`) : [];
    return [
      name, dataset?.priority ?? '', `${dataset?.source.connection ?? ''}: ${dataset?.source.query === undefined ? (dataset?.source.table ?? name) : 'query'}`, `${dataset?.target.connection ?? ''}: ${dataset?.target.table ?? name}`,
      size ? formatCount(size.rows) : '', size ? formatBytes(size.bytes) : '', found ? orNone([...kinds, ...(found.added.length > 0 ? [`${found.added.length} new`] : []), ...(found.left.length > 0 ? [`${found.left.length} stay behind`] : [])], 'as it is') : '',
    ];
  });
  return { title: 'Inventory', blocks: [{ kind: 'table', head: ['Dataset', 'Priority', 'From', 'To', 'Rows', 'Size', 'Fields'], rows }, ...(findings.datasets ? [] : [text('Fields and mapping are found in the preparation.')])] };
}

function approach({ plan }: Facts): Section {
  const words = plan.approach === 'phased' ? 'Phased: groups of datasets move one after the other while the old system works; what changed since is brought over at the switch.' : 'Big bang: everything moves in one go.';
  const groups = Object.entries(plan.groups).map(([name, { after, gate }]) => [name, Object.entries(plan.datasets).filter(([, { group }]) => group === name).map(([dataset]) => dataset).join(', '), after.join(', '), gate ?? '']);
  return { title: 'Approach', blocks: [
    text(words),
    text(plan.cutover ? `Cutover: writes on the source are blocked and the block is proved, the last changes follow, everything is validated, then ${orNone(plan.cutover.switch.map(({ name }) => name), 'nothing by itself')} switch over.` : 'No cutover in the plan: the applications are switched by hand.'),
    ...(groups.length > 0 ? [{ kind: 'table' as const, head: ['Group', 'Datasets', 'After', 'Gate'], rows: groups }] : []),
  ] };
}

function phases(facts: Facts): Section {
  const { plan, preparation, complete, data } = facts;
  const backups = preparation?.backups.filter(({ state }) => state === 'verified') ?? [];
  const rehearsal = preparation?.rehearsals[0];
  const moved = data?.datasets.filter(({ commits }) => commits > 0).length ?? 0;
  const rehearsed = rehearsal?.state === 'passed' ? `passed ${day(rehearsal.closedAt ?? rehearsal.openedAt)}, ${formatCount(rehearsal.evidence.rows)} rows` : rehearsal?.state === 'waived' ? `waived by ${rehearsal.evidence.waivedBy ?? 'a person'}: ${rehearsal.evidence.reason ?? ''}` : null;
  return { title: 'Phases', blocks: [
    text('Preparation (workflow preparation)'),
    { kind: 'boxes', boxes: [
      box('Systems, sizes and mapping looked at', preparation?.at ? `found ${day(preparation.at)}` : null),
      ...(plan.backup ? [box(`Backup of ${plan.backup.sides.join(' and ')}, verified by restoring it`, backups.length > 0 ? backups.map(({ side, connection, verifiedAt, evidence }) => `${side} ${connection}: ${formatCount(evidence.rows)} rows, ${day(verifiedAt ?? '')}`).filter((one, at, all) => all.indexOf(one) === at).slice(0, 4).join('; ') : null)] : []),
    ] },
    ...(plan.rehearsal ? [text('Test (workflow testMigration)'), { kind: 'boxes' as const, boxes: [box('A sample went through the whole process', rehearsed), box('Its rollback brought back what was there', rehearsal?.evidence.rollback?.equal ? `${formatCount(rehearsal.evidence.rollback.rows)} rows in ${formatDuration(rehearsal.evidence.rollback.milliseconds)}` : null)] }] : []),
    text(`Production (workflows productionMigration, datasetMigration${plan.cutover ? ', cutover' : ''})`),
    { kind: 'boxes', boxes: [
      ...gateBoxes(facts, 'production'),
      box('All datasets moved', complete ? `${moved} datasets` : null),
      ...(plan.cutover ? [...gateBoxes(facts, 'switch'), ...plan.cutover.switch.map(({ name }) => box(`${name} works on the new side`, facts.switched(name)))] : []),
    ] },
    text('Validation (workflow validation)'),
    { kind: 'boxes', boxes: checkBoxes(facts) },
  ] };
}

function gateBoxes({ plan, data }: Facts, stage: string): Box[] {
  return gateViews(plan).filter((gate) => gate.stage === stage).map(({ gate, role }) => {
    const approval = data?.approvals.find((one) => one.gate === gate);
    return box(`${gate.replaceAll('_', ' ')}${role === undefined || role === gate ? '' : ` (${role.replaceAll('_', ' ')})`}`, approval ? `${approval.by}, ${day(approval.at)}` : null);
  });
}

/** One box per kind of proof: ticked when every dataset has it and none failed. */
function checkBoxes({ plan, data }: Facts): Box[] {
  const names = Object.keys(plan.datasets);
  const kinds: [string, string][] = [['counts', 'Rows counted on both sides'], ['sample', 'A sample compared column by column'], ...(plan.checks.rows ? [['rows', 'Every row compared by hash'] as [string, string]] : [])];
  const boxes = kinds.map(([stage, words]) => {
    const found = data?.checks.filter((one) => one.stage === stage) ?? [];
    const passed = names.every((name) => found.some(({ outcome }) => outcome.dataset === name && outcome.verdict !== 'failed'));
    return box(words, passed && found.length > 0 ? `${names.length} of ${names.length} datasets, ${day(found.at(-1)?.at ?? '')}` : null);
  });
  const own = [...Object.keys(plan.checks.integrity), ...Object.keys(plan.checks.business_rules)];
  return [...boxes, ...own.map((name) => {
    const after = data?.checks.find(({ stage, outcome }) => stage === 'after' && 'name' in outcome && outcome.name === name);
    return box(`Check ${name.replaceAll('_', ' ')}`, after && after.outcome.verdict !== 'failed' ? after.outcome.detail : null);
  })];
}

function validation(facts: Facts): Section {
  const { plan } = facts;
  const rules = Object.entries(plan.datasets).flatMap(([name, { validation: rule }]) => {
    const bounded = Object.keys({ ...rule.pattern, ...rule.range, ...rule.length, ...rule.one_of });
    const parts = [
      ...rule.required.map((column) => `${column} is there`), ...rule.unique.map((columns) => `${[columns].flat().join(', ')} unique`), ...Object.entries(rule.formats).map(([column, format]) => `${column} is ${format}`),
      ...bounded.map((column) => `${column} in its bounds`), ...Object.entries(rule.references).map(([column, to]) => `${column} exists in ${to}`),
    ];
    return parts.length > 0 ? [[name, parts.join('; ')]] : [];
  });
  return { title: 'Validation', blocks: [
    text('Rules decide about each row before it is written; rows that break one are kept in quarantine with the reason. Counts, samples and every row are compared afterwards, by another path than the copy.'),
    ...(rules.length > 0 ? [{ kind: 'table' as const, head: ['Dataset', 'Rules'], rows: rules }] : []),
  ] };
}

function rollbackPlan({ plan, preparation }: Facts): Section {
  const rehearsed = preparation?.rehearsals.find(({ evidence }) => evidence.rollback)?.evidence.rollback;
  return { title: 'Rollback plan', blocks: [
    { kind: 'table', head: ['Tier', 'When', 'What'], rows: [
      ['immediate', 'first hour', 'the new side is stopped, what was written there is exported, what the migration changed is restored, applications go back'],
      ['partial', 'first day', 'chosen datasets are taken back, others stay'],
      ['full', 'later', 'the reverse migration from the new system, with what was written there since'],
    ] },
    text(`Must stay possible: ${plan.rollback.require ?? 'nothing stated'}. Rows that somebody else changed: ${plan.rollback.changed_rows.replaceAll('_', ' ')}. Undo data is kept for ${formatDuration(plan.rollback.retention)} after the end, then removed.`),
    { kind: 'boxes', boxes: [box('Rollback rehearsed and compared row by row', rehearsed?.equal ? `${formatCount(rehearsed.rows)} rows in ${formatDuration(rehearsed.milliseconds)}` : null)] },
  ] };
}

function performance({ plan, findings, preparation }: Facts): Section {
  const foreseen = findings.forecast;
  const rehearsal = preparation?.rehearsals.find(({ evidence }) => evidence.stages);
  const blocks: Block[] = [];
  if (foreseen) {
    blocks.push({ kind: 'table', head: ['Stage', 'Likely', 'From', 'To'], rows: [...foreseen.stages.map((one) => [one.stage, formatDuration(one.likelyMs), formatDuration(one.lowMs), formatDuration(one.highMs)]), ['total', formatDuration(foreseen.total.likelyMs), formatDuration(foreseen.total.lowMs), formatDuration(foreseen.total.highMs)]] });
    blocks.push(text(`Size in the target: ${formatBytes(foreseen.targetBytes.likely)} (${formatBytes(foreseen.targetBytes.low)} to ${formatBytes(foreseen.targetBytes.high)}). Taken for granted: ${foreseen.assumptions.join('; ')}.`));
  } else blocks.push(text('The forecast is made in the preparation.'));
  if (rehearsal?.evidence.stages) {
    blocks.push({ kind: 'table', head: ['Stage, measured', 'Rows per second', 'Bytes per second'], rows: rehearsal.evidence.stages.map((one) => [one.stage, formatCount(one.rowsPerSecond), formatBytes(one.bytesPerSecond)]) });
    if (rehearsal.evidence.bottleneck) blocks.push(text(`Bottleneck: ${rehearsal.evidence.bottleneck.advice}.`));
  }
  const { batch } = plan;
  blocks.push(text(`${batch.parallel_datasets} datasets at the same time, ${batch.parallel_workers} workers each, batches of ${formatCount(batch.batch_size)} rows, commits of ${formatCount(batch.checkpoint_interval)} rows, memory up to ${formatBytes(batch.memory_limit)}.`));
  if (findings.resources) blocks.push({ kind: 'table', head: ['Connections of', 'Needed', 'Free'], rows: findings.resources.connections.map(({ system, needed, free }) => [system, String(needed), String(free)]) });
  for (const advice of findings.resources?.advice ?? []) blocks.push(text(`To consider: ${advice}.`));
  const indexes = findings.indexes ?? [];
  if (indexes.length > 0) blocks.push({ kind: 'table', head: ['Dataset', 'Index or constraint', 'During the load', 'Why'], rows: indexes.map(({ dataset, name, action, why }) => [dataset, name, action, why]) });
  return { title: 'Performance', blocks };
}

function monitoring({ plan }: Facts): Section {
  const { alerts, cutover, probes } = plan;
  const told = [alerts.notify?.webhook && `webhook ${alerts.notify.webhook}`, alerts.notify?.command && `command ${alerts.notify.command}`].filter((one): one is string => Boolean(one));
  return { title: 'Monitoring', blocks: [
    { kind: 'table', head: ['', ''], rows: [
      ['Error rate', alerts.error_rate === undefined ? 'no limit' : `alert above ${percent(alerts.error_rate)}`], ['Speed', alerts.min_speed === undefined ? 'no limit' : 'alert below the plan\'s limit'], ['An alert', alerts.on_alert === 'block' ? 'pauses the run and asks' : 'is told'],
      ['Who is told', orNone(told, 'nobody')], ['Probes', orNone(Object.keys(probes), 'none')],
      ['After the switch', cutover?.monitor ? `watched for ${formatDuration(cutover.monitor.for)}; on failure: ${cutover.monitor.on_fail}` : 'not watched'],
    ] },
    text('Live: Current details of the workflow in the Temporal Web UI, or caravan watch.'),
  ] };
}

function security({ findings, plan }: Facts): Section {
  const boxes = (findings.systems ?? []).flatMap(({ connection, encryption, surplus, missing }) => [
    box(`${connection}: the connection is encrypted`, encryption.state === 'encrypted' ? `${encryption.version ?? 'TLS'}, ${encryption.cipher ?? ''}` : encryption.state === 'local' ? 'within one machine' : null),
    box(`${connection}: no rights too many${surplus.length > 0 ? ` (now: ${surplus.map(({ right }) => right).join('; ')})` : ''}`, surplus.length === 0 ? 'none found' : null),
    box(`${connection}: no rights too few`, missing.length === 0 ? 'none missing' : null),
  ]);
  const personal = (findings.personal_data ?? []).map((one) => [one.dataset, one.column, one.classes.join(', ').replaceAll('_', ' '), one.by, one.declared ? 'declared' : 'not declared']);
  const declared = Object.entries(plan.datasets).flatMap(([name, { pii }]) => pii.map((column) => `${name}.${column}`));
  return { title: 'Security', blocks: [
    ...(boxes.length > 0 ? [{ kind: 'boxes' as const, boxes }] : [text('Connections and rights are looked at in the preparation.')]),
    text(`Declared personal data: ${orNone(declared, 'none')}.`),
    ...(personal.length > 0 ? [{ kind: 'table' as const, head: ['Dataset', 'Column', 'Looks like', 'By', 'In the plan'], rows: personal }] : []),
  ] };
}

function testing({ plan, preparation }: Facts): Section {
  if (!plan.rehearsal) return { title: 'Testing', blocks: [text('The plan has no rehearsal.')] };
  const rows = (preparation?.rehearsals ?? []).map(({ openedAt, state, evidence }) => [day(openedAt), state, formatCount(evidence.rows), evidence.milliseconds === undefined ? '' : formatDuration(evidence.milliseconds), evidence.failures.slice(0, 3).join('; ') || (evidence.reason ?? '')]);
  return { title: 'Testing', blocks: [
    text(`${formatCount(plan.rehearsal.sample)} rows of each dataset (seed ${plan.rehearsal.seed}), with all that they refer to, go through the whole process into the schema ${plan.rehearsal.schema}. It opens production for ${formatDuration(plan.rehearsal.max_age)}.`),
    ...(rows.length > 0 ? [{ kind: 'table' as const, head: ['Rehearsal', 'Result', 'Rows', 'Took', 'Notes'], rows }] : [text('None yet.')]),
  ] };
}

function success({ plan, data }: Facts): Section {
  const judged = data ? shapeReport(data, new Date(0)).criteria : [];
  const wanted: [string, number | undefined, string][] = [['Migrated', plan.success.migrated, 'at least'], ['Error rate', plan.success.error_rate, 'at most'], ['Performance', plan.success.performance_within, 'within']];
  const boxes = wanted.flatMap(([name, limit, words]) => {
    if (limit === undefined) return [];
    const found = judged.find((one) => one.name === name);
    return [box(`${name}: ${words} ${percent(limit)}`, found?.met && data?.status.status === 'complete' ? found.found : null)];
  });
  return { title: 'Success criteria', blocks: boxes.length > 0 ? [{ kind: 'boxes', boxes }] : [text('The plan states none.')] };
}

function signOff(facts: Facts): Section {
  const finish = gateBoxes(facts, 'finish');
  const others = facts.plan.sign_off.filter((role) => !gateViews(facts.plan).some(({ gate, stage }) => gate === role && stage === 'finish')).map((role) => box(role.replaceAll('_', ' ')));
  const boxes = [...finish, ...others];
  return { title: 'Sign-off', blocks: boxes.length > 0 ? [{ kind: 'boxes', boxes }] : [text('The plan names nobody.')] };
}

const percent = (share: number): string => `${Number((share * 100).toFixed(4))} %`;
