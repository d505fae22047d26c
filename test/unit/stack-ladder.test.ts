import { climb, survey, type Rung } from '../../scripts/stack/provider-ladder';
import { renderDoctor } from '../../scripts/stack/doctor';
import { StackError } from '../../scripts/stack/stack-error';

const missing: Rung<string> = { name: 'program', look: async () => ({ fits: false, reason: 'not on PATH', remedy: 'install it' }) };
const broken: Rung<string> = { name: 'package', look: async () => ({ fits: true, detail: 'version 1', prepare: () => Promise.reject(new Error('no network')) }) };
const working: Rung<string> = { name: 'download', look: async () => ({ fits: true, detail: 'version 2', prepare: async () => 'downloaded' }) };
const untouched: Rung<string> = { name: 'last', look: () => Promise.reject(new Error('must not be looked at')) };

describe('the ladder of providers', () => {
  it('takes the first way that fits and can be prepared, and says which', async () => {
    const lines: string[] = [];
    const provided = await climb('Service', [missing, broken, working, untouched], (line) => lines.push(line));
    expect(provided).toEqual({ value: 'downloaded', provider: 'download: version 2' });
    expect(lines).toEqual(['Service: package failed, trying the next way']);
  });

  it('names every reason and every remedy when no way works', async () => {
    const failure = await climb('Service', [missing, broken]).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(StackError);
    expect((failure as Error).message).toMatch(/program: not on PATH[^]*package: no network[^]*One of these would help:\n {2}install it/);
  });

  it('reports one way as used and the later ones as possible', async () => {
    const rungs = await survey([missing, broken, working]);
    expect(rungs.map(({ fits, used }) => ({ fits, used }))).toEqual([
      { fits: false, used: false },
      { fits: true, used: true },
      { fits: true, used: false },
    ]);
    const text = renderDoctor([{ service: 'Service', ok: true, rungs }]);
    expect(text).toMatch(/used +package: version 1/);
    expect(text).toMatch(/possible +download: version 2/);
    expect(text).not.toContain('install it');
  });

  it('shows what would help a service that has no way', async () => {
    expect(renderDoctor([{ service: 'Service', ok: false, rungs: await survey([missing]) }])).toMatch(/missing[^]*One of these would help:\n {4}install it/);
  });
});
