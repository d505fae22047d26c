import { SIDES, type FaultServers } from '../fixtures/fault-servers';
import { describeRunFaults, type RunFault } from '../fixtures/run-faults';
import { TcpProxy, type Cut } from '../fixtures/tcp-proxy';
import type { WholeRunOptions } from '../fixtures/whole-run';

const LATENCY_MS = 10;
const AWAY_MS = 20_000;

const proxies: TcpProxy[] = [];
async function throughProxies(servers: FaultServers): Promise<WholeRunOptions> {
  const bySide = { legacy: await TcpProxy.start(new URL(servers.url('legacy'))), new: await TcpProxy.start(new URL(servers.url('new'))) };
  for (const side of SIDES) proxies.push(bySide[side]);
  return { through: (side, url) => bySide[side].address(url) };
}
const each = (act: (proxy: TcpProxy) => void) => (): Promise<void> => { proxies.forEach(act); return Promise.resolve(); };
async function release(): Promise<void> {
  for (const proxy of proxies.splice(0)) await proxy.stop();
}

/** Every so many pieces one breaks its connection, some after it was passed on. */
function unsteady(every: number): Cut {
  let pieces = 0;
  return () => (++pieces % every > 0 ? 'pass' : pieces % (2 * every) > 0 ? 'cut' : 'cut-after');
}

const FAULTS: RunFault[] = [
  { name: 'a firewall forgets every connection, and tells nobody', act: each((proxy) => proxy.stall()), ends: [0] },
  {
    name: 'nothing gets through for a while', ends: [0, 3],
    act: async () => {
      proxies.forEach((proxy) => { proxy.stall(); proxy.cut = () => 'hold'; });
      await new Promise((resolve) => setTimeout(resolve, AWAY_MS));
      proxies.forEach((proxy) => { proxy.cut = () => 'pass'; });
    },
  },
  { name: 'a long line', prepare: each((proxy) => { proxy.delayMs = LATENCY_MS; }), act: () => Promise.resolve(), ends: [0] },
  {
    name: 'connections are reset every now and then', act: each((proxy) => { proxy.cut = unsteady(250); }), ends: [0, 3, 5],
    mend: () => {
      expect(proxies.reduce((sum, { cuts }) => sum + cuts, 0)).toBeGreaterThan(3);
      return each((proxy) => { proxy.cut = () => 'pass'; })();
    },
  },
];

describeRunFaults('Faults of networks', FAULTS.map((fault) => ({ ...fault, options: throughProxies, release })));
