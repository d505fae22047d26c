import { generateKeyPairSync, sign } from 'node:crypto';
import { admit } from '../../activities/admit';
import { recordApproval } from '../../activities/record-approval';
import { readMigrationReport } from '../../activities/status-reading';
import { approvalText } from '../../migration/approval-text';
import type { Approval, RunView } from '../../migration/protocol';
import { admission, ControlBench, planOf } from '../fixtures/control-bench';

jest.setTimeout(60_000);

const { publicKey, privateKey } = generateKeyPairSync('ed25519');
const KEY = publicKey.export({ type: 'spki', format: 'der' }).toString('base64');
const PLAN = planOf({
  gates: ['go', { gate: 'team_briefed', role: 'technical_lead' }, { gate: 'data_ready', role: 'data_owner', before: 'finish' }],
  roles: { technical_lead: { people: ['ann'] }, data_owner: { people: ['zoë', 'ben'], key: KEY } },
});

let bench: ControlBench;
beforeEach(async () => { bench = await ControlBench.start(); });
afterEach(() => bench.close());

async function admitted() {
  const deps = bench.dependencies();
  const view: RunView = await admit(deps, admission('a', { plan: PLAN }));
  const { ref } = view;
  return {
    view, ref,
    approve: (approval: Approval) => recordApproval(deps, { ref, approval }),
    report: () => readMigrationReport(deps, null, 'shop'),
  };
}

test('the view tells the workflow who opens which gate', async () => {
  const { view } = await admitted();
  expect(view.gates).toEqual(['go', 'team_briefed']);
  expect(view.life?.gates).toEqual([
    { gate: 'go', stage: 'production' },
    { gate: 'team_briefed', stage: 'production', role: 'technical_lead', people: ['ann'] },
    { gate: 'data_ready', stage: 'finish', role: 'data_owner', people: ['zoë', 'ben'], signed: true },
  ]);
});

test('an approval counts for its role only, and an identity is as claimed', async () => {
  const { approve, report } = await admitted();
  expect(await approve({ gate: 'team_briefed', by: 'ann' })).toEqual({ refused: 'team_briefed is given by the role technical_lead' });
  expect(await approve({ gate: 'team_briefed', by: 'ben', role: 'technical_lead' })).toEqual({ refused: 'ben does not hold the role technical_lead' });
  expect(await approve({ gate: 'team_briefed', by: 'ann', role: 'technical_lead', reason: 'all were there', evidence: 'https://wiki/briefing' })).toEqual({});
  expect(await approve({ gate: 'go', by: 'anyone', role: 'guest' })).toEqual({});
  expect((await report()).approvals).toMatchObject([
    { gate: 'team_briefed', by: 'ann', role: 'technical_lead', reason: 'all were there', evidence: 'https://wiki/briefing', identity: 'claimed' },
    { gate: 'go', by: 'anyone', role: 'guest', identity: 'claimed' },
  ]);
  expect((await report()).audit.filter(({ event }) => event === 'approval_refused')).toMatchObject([{ actor: 'ann' }, { actor: 'ben', body: { gate: 'team_briefed', why: 'ben does not hold the role technical_lead' } }]);
});

test('a role with a key signs: this gate, this person, this plan', async () => {
  const { ref, approve, report } = await admitted();
  const approval = { gate: 'data_ready', by: 'zoë', role: 'data_owner' };
  const signature = (text: string, key = privateKey) => sign(null, Buffer.from(text), key).toString('base64');
  const refused = { refused: 'the signature is not one of the role data_owner over this approval of this plan' };
  expect(await approve(approval)).toEqual({ refused: 'the role data_owner signs its approvals, and this one has no signature' });
  expect(await approve({ ...approval, signature: 'nonsense' })).toEqual(refused);
  expect(await approve({ ...approval, signature: signature(approvalText('shop', 'f'.repeat(64), approval)) })).toEqual(refused);
  expect(await approve({ ...approval, signature: signature(approvalText('shop', ref.planHash, { ...approval, by: 'ben' })) })).toEqual(refused);
  expect(await approve({ ...approval, signature: signature(approvalText('shop', ref.planHash, approval), generateKeyPairSync('ed25519').privateKey) })).toEqual(refused);
  expect(await approve({ ...approval, signature: signature(approvalText('shop', ref.planHash, approval)) })).toEqual({});
  expect((await report()).approvals).toMatchObject([{ gate: 'data_ready', by: 'zoë', identity: 'signed' }]);
});
