import { ApplicationFailure, CancelledFailure, defaultFailureConverter, defaultPayloadConverter } from '@temporalio/common';
import { Context } from '@temporalio/activity';
import { MockActivityEnvironment } from '@temporalio/testing';
import { pino } from 'pino';
import { MigrationError } from '../../migration/errors';
import { errorsInterceptor } from '../../workers/errors-interceptor';
import { Marks } from '../fixtures/leak-marks';

/** What an activity throws goes through the interceptor as in a worker, and through Temporal's own converter: that is what lands in the history. */
describe('what leaves an activity', () => {
  const marks = new Marks();
  const s = (where: string): string => marks.text('row', where);
  const lines: string[] = [];
  const log = pino({ level: 'trace' }, { write: (line: string) => { lines.push(line); } });

  async function thrown(error: unknown): Promise<Error> {
    return new MockActivityEnvironment().run(async () => {
      const { inbound } = errorsInterceptor(log)(Context.current());
      try {
        await inbound?.execute?.({ args: [], headers: {} }, () => Promise.reject(error));
      } catch (failure) {
        return failure as Error;
      }
      throw new Error('nothing was thrown');
    });
  }
  const inHistory = (failure: Error): string => JSON.stringify(defaultFailureConverter.errorToFailure(failure, defaultPayloadConverter), (_, value: unknown) => (value instanceof Uint8Array ? Buffer.from(value).toString() : value));

  const driver = (): Error => Object.assign(new Error(`duplicate key ${s('message of the driver')}`), {
    severity: 'ERROR', code: '23505', detail: `Key (email)=(${s('detail')}) already exists.`, where: s('context'), hint: s('hint'), parameters: [s('parameter')], query: `INSERT ${s('query')}`,
  });
  class RowError extends TypeError {}
  const unforeseen: [string, () => unknown][] = [
    ['an error of the driver', driver],
    ['an error with a cause', () => new Error(s('message'), { cause: driver() })],
    ['a class of its own', () => new RowError(s('message'))],
    ['errors of many tries', () => new AggregateError([driver(), new Error(s('inner'))], s('message'))],
    ['a text', () => s('thrown text')],
    ['an object', () => ({ message: s('thrown object'), row: [s('row')] })],
    ['a name made of a value', () => Object.assign(new Error('x'), { name: s('name'), stack: `${s('stack')}\n    at f (file.ts:1:1)` })],
    ['nothing', () => undefined],
  ];

  test.each(unforeseen)('%s: only its class, as INTERNAL, not tried again', async (_, make) => {
    const failure = await thrown(make());
    expect(failure).toBeInstanceOf(ApplicationFailure);
    expect(failure).toMatchObject({ type: 'INTERNAL', nonRetryable: true, cause: undefined, stack: '' });
    expect(marks.find('history', inHistory(failure))).toEqual([]);
    expect(marks.find('log', lines.join('\n'))).toEqual([]);
    expect(failure.message).toMatch(/not foreseen/);
  });

  test('an error of ours: code, message, kind and names; no cause, no stack; only what passes by itself is tried again', async () => {
    const told = await thrown(new MigrationError('SYSTEM_BUSY', `table users: postgres://u:${s('password')}@h/db is busy`, { table: 'users' }));
    expect(told).toMatchObject({ type: 'SYSTEM_BUSY', nonRetryable: false, stack: '', cause: undefined, details: ['transient', { table: 'users' }] });
    expect(told.message).toContain('table users');
    expect(marks.find('history', inHistory(told))).toEqual([]);
    const caused = Object.assign(new MigrationError('ROW_REFUSED', 'a row is refused'), { cause: driver() });
    const refused = await thrown(caused);
    expect(refused).toMatchObject({ type: 'ROW_REFUSED', nonRetryable: true });
    expect(marks.find('history', inHistory(refused))).toEqual([]);
  });

  test('cancellation stays cancellation, and a failure that is fit stays as it is', async () => {
    const cancelled = new CancelledFailure('cancelled');
    expect(await thrown(cancelled)).toBe(cancelled);
    const fit = ApplicationFailure.create({ type: 'FENCED', message: 'fit' });
    expect(await thrown(fit)).toBe(fit);
  });
});
