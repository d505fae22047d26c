import { Context } from '@temporalio/activity';
import { MigrationError } from '../migration/errors';
import { runSettings } from '../migration/plan/order';
import type { CheckPlan } from '../migration/plan/schema';
import type { CheckOutcome, ChecksResult, RunRef, Verdict } from '../migration/protocol';
import { asPostgres } from './connectors/postgres/system';
import { compareObjects } from './compare-objects';
import { comparePerformance } from './compare-performance';
import { answerOf, type Answer } from './check-query';
import { compareAnswers, isZero, sameAnswer, shown } from './check-answer';
import type { ActivityDependencies } from './dependencies';
import { loadRun, type RunContext } from './run-context';
import { readBaseline, readDatasetVerdicts, storeCheckResults } from './stores/control-store';
import { lookAtLedgers } from './stores/progress';
import { targetsOf } from './watch-progress';

const HEARTBEAT_MS = 5_000;
/** Datasets that one message names. */
const DATASETS_NAMED_MAX = 5;

/** What a check said, with the number behind it as the database wrote it. */
interface Judged extends CheckOutcome { value?: string | null }
type Side = 'source' | 'target';

/**
 * Runs the plan's integrity checks and business rules, in read-only transactions with a time limit. `before` asks the source alone and keeps its answers
 * as the baseline; `after` asks the target for integrity, both sides for business rules, and whether the target has all indexes, constraints and sequences. Outcomes are stored before it returns.
 * @throws MigrationError `SQL_INVALID`, `OBJECT_MISSING`, `PRIVILEGE_MISSING` naming the check and side, and those of `loadRun`.
 */
export async function runChecks(deps: ActivityDependencies, input: { ref: RunRef; when: 'before' | 'after' }): Promise<ChecksResult> {
  const context = Context.current();
  const beat = setInterval(() => context.heartbeat(), HEARTBEAT_MS);
  try {
    const run = await loadRun(deps, input.ref);
    const session: Session = { deps, run, signal: context.cancellationSignal };
    const outcomes = input.when === 'before' ? await checkBefore(session) : await checkAfter(session);
    await storeCheckResults(run.control, input.ref, input.when, outcomes);
    const told = outcomes.map(({ value: _value, ...outcome }): CheckOutcome => outcome);
    return { outcomes: told, failed: told.filter((outcome) => outcome.verdict === 'failed').length };
  } finally {
    clearInterval(beat);
  }
}

interface Session { deps: ActivityDependencies; run: RunContext; signal: AbortSignal }

async function checkBefore(session: Session): Promise<Judged[]> {
  const outcomes: Judged[] = [];
  for (const [name, check] of Object.entries(session.run.plan.checks.integrity)) {
    const source = await ask(session, name, check, 'source');
    if (!source) continue;
    const verdict = isZero(source) ? 'passed' : failing(check);
    outcomes.push({ name, kind: 'integrity', side: 'source', verdict, detail: `source: ${shown(source)}, should be 0`, ...kept(source) });
  }
  for (const [name, check] of Object.entries(session.run.plan.checks.business_rules)) {
    const source = await ask(session, name, check, 'source');
    if (!source) continue;
    const verdict = source.state === 'answer' ? 'passed' : failing(check);
    outcomes.push({ name, kind: 'business_rule', side: 'source', verdict, detail: `source: ${shown(source)}`, ...kept(source) });
  }
  return outcomes;
}

async function checkAfter(session: Session): Promise<Judged[]> {
  const { run } = session;
  const outcomes: Judged[] = [];
  const baseline = await readBaseline(run.control, run.ref.migration);
  for (const [name, check] of Object.entries(run.plan.checks.integrity)) {
    const target = await ask(session, name, check, 'target');
    if (target) outcomes.push({ name, kind: 'integrity', side: 'target', ...judgeIntegrity(check, target, baseline.get(name)), ...kept(target) });
  }
  for (const [name, check] of Object.entries(run.plan.checks.business_rules)) {
    const source = await ask(session, name, check, 'source');
    const target = await ask(session, name, check, 'target');
    if (source && target) outcomes.push({ name, kind: 'business_rule', ...(await judgeRule(session, check, source, target)) });
  }
  for (const system of targetsOf(session.deps, run.plan).values()) outcomes.push(...(await compareObjects(system, run.ref.migration)));
  outcomes.push(...(await comparePerformance(session.deps, run.plan, session.signal)));
  return outcomes;
}

/** With `warn`, what the source already had is a warning; more than that came with the migration. */
function judgeIntegrity(check: CheckPlan, target: Answer, before: string | undefined): { verdict: Verdict; detail: string } {
  if (isZero(target)) return { verdict: 'passed', detail: 'target: 0' };
  if (target.state !== 'answer' || before === undefined || check.on_fail === 'block') return { verdict: failing(check), detail: `target: ${shown(target)}, should be 0` };
  const more = compareAnswers(target.value, before);
  if (more === null || more > 0) return { verdict: 'failed', detail: `target: ${shown(target)}, more than the ${shown({ state: 'answer', value: before })} of the source before` };
  return { verdict: 'warned', detail: `target: ${shown(target)}, not more than the ${shown({ state: 'answer', value: before })} of the source before` };
}

async function judgeRule(session: Session, check: CheckPlan, source: Answer, target: Answer): Promise<{ verdict: Verdict; detail: string }> {
  const detail = `source: ${shown(source)}, target: ${shown(target)}`;
  if (source.state === 'answer' && target.state === 'answer') {
    if (sameAnswer(source.value, target.value)) return { verdict: 'passed', detail };
    const look = await lookAtLedgers(targetsOf(session.deps, session.run.plan), session.run.control, session.run.plan);
    const held = [look.openQuarantine > 0 ? `${look.openQuarantine} open` : '', look.waivedQuarantine > 0 ? `${look.waivedQuarantine} waived` : ''].filter(Boolean).join(', ');
    const proof = held === '' ? null : await onlyQuarantineIsMissing(session);
    if (proof) return { verdict: proof.proved ? 'explained' : failing(check), detail: `${detail}; rows in quarantine (${held}) ${proof.words}` };
  }
  return { verdict: failing(check), detail };
}

/**
 * Rows in quarantine explain a difference only where this run proved that nothing else differs: by comparing every row of every dataset or, where the
 * plan leaves that out, by exact counts.
 */
async function onlyQuarantineIsMissing({ run }: Session): Promise<{ proved: boolean; words: string }> {
  const everyRow = runSettings(run.plan).validate;
  const verdicts = await readDatasetVerdicts(run.control, run.ref, everyRow ? 'rows' : 'counts');
  const open = Object.keys(run.plan.datasets).filter((name) => !['passed', 'explained'].includes(verdicts.get(name) ?? ''));
  if (open.length > 0) {
    const named = open.slice(0, DATASETS_NAMED_MAX).join(', ') + (open.length > DATASETS_NAMED_MAX ? ', …' : '');
    return { proved: false, words: `would explain it only if nothing else differed, and this run's ${everyRow ? 'row comparisons' : 'counts'} do not say so of: ${named}. Repair or copy what is missing there, then check again` };
  }
  return { proved: true, words: everyRow ? 'explain it: every other row is the same on both sides' : 'explain it as far as the counts tell: rows were not compared' };
}

const failing = (check: CheckPlan): Verdict => (check.on_fail === 'warn' ? 'warned' : 'failed');
/** Only numbers are kept: other answers may be row values. */
const kept = (answer: Answer): { value?: string | null } => (answer.state === 'answer' && shown(answer) === answer.value ? { value: answer.value } : {});

/** Null when the check says nothing about this side. @throws MigrationError with the check's name. */
async function ask(session: Session, name: string, check: CheckPlan, side: Side): Promise<Answer | null> {
  const sql = check[side];
  const connection = side === 'source' ? check.source_connection : check.target_connection;
  if (sql === undefined) return null;
  if (connection === undefined) throw new MigrationError('PLAN_INVALID', `check ${name}: several connections could answer its ${side} SQL; name one as \`${side}_connection\``);
  return answerOf(asPostgres(session.deps.systems.open(connection)), sql, `check ${name}, ${side} (connection ${connection})`, session.signal);
}
